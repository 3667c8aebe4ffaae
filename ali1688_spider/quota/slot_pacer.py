"""Lets each call of a worker go at its slot."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ali1688_spider.quota.quota import slot_interval
from ali1688_spider.quota.slot_supply import SlotSupply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ali1688_spider.gateway.backoff import Backoff
    from ali1688_spider.quota.quota import Quota
    from ali1688_spider.quota.slot_supply import Run, Slot


@dataclass(frozen=True, slots=True)
class PacerStatistics:
    """What a pacer did.

    Attributes:
        granted: Slots that were used.
        discarded: Slots that came too late and were given back.
        waited_seconds: Time that calls waited, all together.
        utilisation: Which part of the rate this pacer used, from the first call that asked to the
            last slot that was used; those of all workers add up to at most 1. Without a limit, 0.
    """

    granted: int
    discarded: int
    waited_seconds: float
    utilisation: float


class SlotPacer:
    """Gives out the slots of a quota: who asks first goes first.

    Where the quota cannot be reached, calls wait until it can. All methods belong to one event
    loop.

    Attributes:
        day: The day that the last slot counts for.

    Args:
        quota: The quota; its methods go through *run*.
        run: Runs a blocking function in a thread.
        clock: Returns seconds of a clock that never jumps, the same in every thread.
        sleep: Waits for so many seconds.
        backoff: How long to wait before a quota is asked again that could not be reached.
    """

    def __init__(
        self,
        quota: Quota,
        *,
        run: Run = asyncio.to_thread,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        backoff: Backoff | None = None,
    ) -> None:
        self._quota = quota
        self._clock = clock
        self._supply = SlotSupply(
            quota, self._count_waiters, run=run, clock=clock, sleep=sleep, backoff=backoff
        )
        self._waiters: deque[asyncio.Future[Slot]] = deque()
        self._driver: asyncio.Task[None] | None = None
        self.day = 0
        self._granted = 0
        self._waited = 0.0
        self._first_asked = 0.0
        self._last_granted = 0.0

    async def slot(self) -> float:
        """Return when a call may be made, which is at once; return the seconds that it waited.

        Raises:
            DailyQuotaExhaustedError: The day has no calls left.
        """
        asked = self._clock()
        self._first_asked = self._first_asked or asked
        waiter: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._start()
        try:
            self.day = (await waiter).day
        except asyncio.CancelledError:
            if not waiter.cancelled() and waiter.exception() is None:
                self._supply.put_back(waiter.result())
                self._start()
            raise
        self._granted += 1
        self._last_granted = self._clock()
        self._waited += self._last_granted - asked
        return self._last_granted - asked

    async def pause(self, seconds: float) -> None:
        """Make no call for so long, in no worker: the gateway said that there were too many."""
        await self._supply.pause(seconds)

    @property
    def is_paused(self) -> bool:
        """Whether this worker knows of a pause that lasts."""
        return self._supply.is_paused

    def count_unmade(self, day: int) -> None:
        """Note that a call of *day*, see :attr:`day`, never reached the gateway."""
        self._supply.count_unmade(day)

    async def close(self) -> None:
        """Give back the slots that are not used; calls that still wait are cancelled."""
        if self._driver:
            self._driver.cancel()
            await asyncio.wait([self._driver])
        for waiter in self._waiters:
            waiter.cancel()
        self._waiters.clear()
        await self._supply.close()

    @property
    def statistics(self) -> PacerStatistics:
        """What the pacer has done so far."""
        active = self._last_granted - self._first_asked
        taken = self._granted * slot_interval(self._quota.qps)
        utilisation = min(1.0, taken / active) if active > 0 else 0.0
        return PacerStatistics(self._granted, self._supply.discarded, self._waited, utilisation)

    def _start(self) -> None:
        if self._driver is None:
            self._driver = asyncio.create_task(self._drive())

    async def _drive(self) -> None:
        """Serve those who wait; then give back what is left over."""
        try:
            while True:
                if self._has_waiters():
                    self._grant(await self._supply.next())
                elif self._supply.has_leftovers():
                    await self._supply.give_back_leftovers()
                else:
                    break
        except Exception as error:  # noqa: BLE001  # whatever it is, those who wait have to hear it
            while self._has_waiters():
                self._waiters.popleft().set_exception(error)
        finally:
            self._driver = None

    def _grant(self, slot: Slot) -> None:
        if self._has_waiters():
            self._waiters.popleft().set_result(slot)
        else:
            self._supply.put_back(slot)

    def _has_waiters(self) -> bool:
        while self._waiters and self._waiters[0].done():
            self._waiters.popleft()
        return bool(self._waiters)

    def _count_waiters(self) -> int:
        return sum(not waiter.done() for waiter in self._waiters)
