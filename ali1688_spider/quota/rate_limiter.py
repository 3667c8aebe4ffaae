"""Lets each call of a worker go at its slot."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from redis.exceptions import RedisError

from ali1688_spider.quota.limits import DailyQuotaExhaustedError, slot_interval

if TYPE_CHECKING:
    from ali1688_spider.quota.limits import MemoryQuota, RedisQuota, Reservation
    from ali1688_spider.retrying import ServerRetry

    RunInThread: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]

logger = logging.getLogger(__name__)

BATCH_SECONDS = 0.25
"""Slots of this time are reserved at once: few round trips, and little to give back."""

LARGEST_BATCH = 100

TOLERANCE_SECONDS = 0.02
"""A slot that is later than this is not used: calls would come closer than they may."""

LONGEST_LEAD_SECONDS = 1.0

ASK_AGAIN_SECONDS = 15.0
"""Longest time until a quota without slots is asked again: somebody may have ended a pause."""

LONG_PAUSE_SECONDS = 10.0
"""A pause of this length or more, which another worker was asked for, is worth a warning."""


class Slot(NamedTuple):
    """A moment, on the limiter's clock, for a call that counts for *day*."""

    at: float
    day: int


class RateLimiter:
    """Gives the slots of a quota to the calls of a worker, first come, first served.

    Slots are reserved in batches, ahead of time; those that come late, and those that no call
    wants any more, are given back. All methods belong to one event loop.

    Args:
        quota: Where the slots come from; its methods are run in threads.
        retry: Repeats the reservation while Redis is away: until then no call is made.
        run: Runs a blocking function in a thread.
        clock: Returns seconds of a clock that never jumps, the same in every thread.
        sleep: Waits for a number of seconds.

    Attributes:
        slots_used: How many calls got a slot.
        slots_discarded: How many slots came too late and were given back.
        wait_seconds: Time that calls waited, all together.
    """

    def __init__(
        self,
        quota: MemoryQuota | RedisQuota,
        retry: ServerRetry,
        *,
        run: RunInThread = asyncio.to_thread,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.slots_used = 0
        self.slots_discarded = 0
        self.wait_seconds = 0.0
        self._quota = quota
        self._retry = retry
        self._run = run
        self._clock = clock
        self._sleep = sleep
        self._waiters: deque[asyncio.Future[Slot]] = deque()
        self._slots: deque[Slot] = deque()
        self._unused: Counter[int] = Counter()  # calls to give back, of each day
        self._task: asyncio.Task[None] | None = None
        self._refill: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._paused_until = 0.0
        self._lead = 0.0

    async def acquire(self) -> int:
        """Wait until a call may be made, which is then to be made at once.

        Returns:
            The day that the call counts for, see :meth:`count_unmade`.

        Raises:
            DailyQuotaExhaustedError: The day has no calls left.
        """
        asked = self._clock()
        waiter: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._start()
        try:
            slot = await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not waiter.cancelled() and waiter.exception() is None:
                self._slots.appendleft(waiter.result())  # for the next call, while it is not late
                self._start()
            raise
        self.slots_used += 1
        self.wait_seconds += self._clock() - asked
        return slot.day

    def count_unmade(self, day: int) -> None:
        """Note that a call of *day* (0: of none) has used a slot and did not reach the gateway."""
        if day:
            self._unused[day] += 1

    async def pause(self, seconds: float) -> None:
        """Make no call for *seconds*, in any worker: the gateway said that there were too many."""
        until = self._clock() + seconds
        self._paused_until = max(self._paused_until, until)
        self._not_before = max(self._not_before, until)
        self._drop_slots()
        try:
            await self._run(partial(self._quota.pause, seconds))
        except RedisError as error:
            logger.warning("The pause is not known to the other workers: %s", error)
            return
        self._not_before = 0.0  # from here on the quota itself says when the pause ends
        self._drop_slots()

    @property
    def is_paused(self) -> bool:
        """Whether this worker knows of a pause that has not ended."""
        return self.pause_left > 0

    @property
    def pause_left(self) -> float:
        """Seconds until the end of the pause that this worker knows of; 0 without one."""
        return max(0.0, self._paused_until - self._clock())

    async def close(self) -> None:
        """Give back the slots that are left; calls that still wait are cancelled."""
        for waiter in self._waiters:
            waiter.cancel()
        self._waiters.clear()
        tasks = [task for task in (self._task, self._refill) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._refill = None
        self._drop_slots()
        await self._give_back()

    def _start(self) -> None:
        self._task = self._task or asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        """Wake the calls that wait, each at its slot; then give back what is left."""
        try:
            while self._waiters or self._slots or self._unused or self._refill:
                if self._waiters:
                    await self._advance()
                else:
                    await self._give_back_leftovers()
        except Exception as error:  # noqa: BLE001  # every call that waits has to get it
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_exception(error)
            self._waiters.clear()
        finally:
            self._task = None

    async def _advance(self) -> None:
        """Give out a slot whose time has come, or do what brings the next one closer."""
        now = self._clock()
        if now < self._not_before:
            await self._sleep(min(self._not_before - now, ASK_AGAIN_SECONDS))
        elif not self._slots:
            await self._wait_for_refill()
        elif now < self._slots[0].at:
            self._refill_early(now)
            await self._sleep(self._slots[0].at - now)
        else:
            self._give_out(self._slots.popleft(), now)

    def _give_out(self, slot: Slot, now: float) -> None:
        if now - slot.at > TOLERANCE_SECONDS:
            self.slots_discarded += 1
            self._unused[slot.day] += 1
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():  # else it was cancelled just now
                waiter.set_result(slot)
                return
        self._slots.appendleft(slot)

    def _refill_early(self, now: float) -> None:
        """Reserve the next slots while the last ones are used, so that none is lost meanwhile."""
        ahead = 2 * self._lead + slot_interval(self._quota.qps)
        ends_soon = self._slots[-1].at - now <= ahead
        if self._refill is None and ends_soon and len(self._waiters) > len(self._slots):
            self._refill = asyncio.create_task(self._reserve())

    async def _wait_for_refill(self) -> None:
        if self._refill is None:
            self._refill = asyncio.create_task(self._reserve())
        try:
            await self._refill
        except DailyQuotaExhaustedError:
            if not self._unused:
                raise
            # Slots that came too late count still: they are given back before it is asked again.
        finally:
            self._refill = None

    async def _reserve(self) -> None:
        await self._give_back()
        interval = slot_interval(self._quota.qps)
        most = int(BATCH_SECONDS / interval) if interval else LARGEST_BATCH
        wanted = max(1, min(len(self._waiters) - len(self._slots), most, LARGEST_BATCH))
        reservation, made_at = await self._retry.run(partial(self._ask, wanted))
        first = made_at + reservation.wait_seconds
        if reservation.count == 0:
            self._note_pause(made_at, reservation.wait_seconds)
            self._not_before = max(self._not_before, min(first, made_at + ASK_AGAIN_SECONDS))
        for number in range(reservation.count):
            self._slots.append(Slot(first + number * reservation.interval, reservation.day))

    async def _ask(self, count: int) -> tuple[Reservation, float]:
        """Return a reservation, and when the quota made it, on this clock."""

        def ask() -> tuple[Reservation, float]:
            began = self._clock()
            reservation = self._quota.reserve(count, self._lead)
            return reservation, (began + self._clock()) / 2

        asked = self._clock()
        reply: tuple[Reservation, float] = await self._run(ask)
        # A slot that is closer than a round trip takes would be late before it is known.
        round_trip = self._clock() - asked
        self._lead = min(LONGEST_LEAD_SECONDS, max(round_trip, 0.9 * self._lead))
        return reply

    def _note_pause(self, now: float, seconds: float) -> None:
        """Warn once of a pause that another worker was asked for; its log says by what."""
        if seconds < LONG_PAUSE_SECONDS or now + seconds <= self._paused_until + 1:
            return
        self._paused_until = now + seconds
        logger.warning(
            "No call is made for %.0f s: another worker was asked to wait. "
            "`scrapy doctor --end-pause` ends it",
            seconds,
        )

    def _drop_slots(self) -> None:
        self._unused.update(slot.day for slot in self._slots)
        self._slots.clear()

    async def _give_back_leftovers(self) -> None:
        if self._refill:
            await self._wait_for_refill()
        if not self._waiters:  # else a new call uses them
            self._drop_slots()
            await self._give_back()

    async def _give_back(self) -> None:
        unused, self._unused = self._unused, Counter()
        for day, count in unused.items():
            try:
                await self._run(partial(self._quota.give_back, count, day))
            except RedisError as error:
                logger.info("%d calls that were not made stay counted: %s", count, error)
