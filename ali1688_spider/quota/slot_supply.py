"""Keeps a worker supplied with slots of the shared quota."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.quota.exceptions import QuotaUnavailableError
from ali1688_spider.quota.quota import slot_interval

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ali1688_spider.quota.quota import Quota, Reservation

logger = logging.getLogger(__name__)

T = TypeVar("T")

BATCH_SECONDS = 0.25
"""Slots of so much time are reserved at once: few round trips, and little to give back."""

MOST_SLOTS_AT_ONCE = 100

TOLERANCE_SECONDS = 0.02
"""A slot that is later than this is not used: calls would come closer than they may."""

LONGEST_LEAD_SECONDS = 1.0

ASK_AGAIN_SECONDS = 15.0
"""Longest time until a quota without slots is asked again: somebody may have ended a pause."""

LONG_PAUSE_SECONDS = 10.0
"""A pause of this length or more, which another worker was asked for, is worth a warning."""


class Run(Protocol):
    """Runs a blocking function in a thread, as :func:`asyncio.to_thread` does."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]:
        """Return what the function returns."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A moment at which a call may be made.

    Attributes:
        at: The moment, on the supply's clock.
        day: The day that the call counts for.
    """

    at: float
    day: int


class SlotSupply:
    """Reserves slots in batches, and gives back those that are late or that nobody wants.

    Args:
        quota: The quota; its methods go through *run*.
        demand: Returns how many calls wait for a slot at this moment.
        run: Runs a blocking function in a thread.
        clock: Returns seconds of a clock that never jumps, the same in every thread.
        sleep: Waits for so many seconds.
        backoff: How long to wait before a quota is asked again that could not be reached.

    Attributes:
        discarded: How many slots came too late.
    """

    def __init__(
        self,
        quota: Quota,
        demand: Callable[[], int],
        *,
        run: Run = asyncio.to_thread,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        backoff: Backoff | None = None,
    ) -> None:
        self.discarded = 0
        self._quota = quota
        self._demand = demand
        self._run = run
        self._clock = clock
        self._sleep = sleep
        self._backoff = backoff or Backoff(base=0.2, cap=5.0)
        self._slots: deque[Slot] = deque()
        self._unused: Counter[int] = Counter()
        self._not_before = 0.0
        self._pause_known_until = 0.0
        self._lead = 0.0
        self._refill: asyncio.Task[None] | None = None

    async def next(self) -> Slot:
        """Return the next slot when its time has come.

        Raises:
            DailyQuotaExhaustedError: The day has no calls left.
        """
        while True:
            now = self._clock()
            if now < self._not_before:
                await self._sleep(self._not_before - now)
            elif not self._slots:
                await self._wait_for_refill()
            elif now < self._slots[0].at:
                self._refill_in_time(now)
                await self._sleep(self._slots[0].at - now)
            else:
                slot = self._slots.popleft()
                if now - slot.at <= TOLERANCE_SECONDS:
                    return slot
                self.discarded += 1
                self._unused[slot.day] += 1

    def put_back(self, slot: Slot) -> None:
        """Take a slot back that was not used; it is given out once more while it is not late."""
        self._slots.appendleft(slot)

    async def pause(self, seconds: float) -> None:
        """Let no call go for so long, in no worker."""
        until = self._clock() + seconds
        self._pause_known_until = max(self._pause_known_until, until)
        self._not_before = max(self._not_before, until)
        self._drop_slots()
        try:
            await self._run(partial(self._quota.pause, seconds))
        except QuotaUnavailableError as error:
            logger.warning("The other workers are not told to slow down: %s", error)
        else:
            # From here on the quota itself says when the pause ends.
            self._not_before = min(self._not_before, self._clock())
            self._drop_slots()

    @property
    def is_paused(self) -> bool:
        """Whether this worker knows of a pause that lasts."""
        return self._clock() < self._pause_known_until

    def count_unmade(self, day: int) -> None:
        """Note that a call of *day* (0: of none) took a slot and never reached the gateway."""
        if day:
            self._unused[day] += 1

    def has_leftovers(self) -> bool:
        """Tell whether there are slots to give back, or slots on their way."""
        return bool(self._slots or self._unused or self._refill)

    async def give_back_leftovers(self) -> None:
        """Give back what is there."""
        if self._refill:
            await self._wait_for_refill()
        self._drop_slots()
        await self._give_back()

    async def close(self) -> None:
        """Give back what is there, and wait for nothing that is on its way."""
        if self._refill:
            self._refill.cancel()
            await asyncio.gather(self._refill, return_exceptions=True)
            self._refill = None
        await self.give_back_leftovers()

    def _refill_in_time(self, now: float) -> None:
        """Reserve the next slots while the last ones are used, so that none is lost meanwhile."""
        ahead = 2 * self._lead + slot_interval(self._quota.qps)
        ends_soon = self._slots[-1].at - now <= ahead
        if self._refill is None and ends_soon and self._demand() > len(self._slots):
            self._refill = asyncio.create_task(self._reserve())

    async def _wait_for_refill(self) -> None:
        if self._refill is None:
            self._refill = asyncio.create_task(self._reserve())
        try:
            await self._refill
        finally:
            self._refill = None

    async def _reserve(self) -> None:
        await self._give_back()
        reservation, answered_at = await self._ask(self._batch())
        first = answered_at + reservation.wait_seconds
        if not reservation.count:
            self._warn_of_pause(answered_at, reservation.wait_seconds)
            wait = min(reservation.wait_seconds, ASK_AGAIN_SECONDS)
            self._not_before = max(self._not_before, answered_at + wait)
        for index in range(reservation.count):
            self._slots.append(Slot(first + index * reservation.interval, reservation.day))

    def _warn_of_pause(self, now: float, seconds: float) -> None:
        """Say once that another worker was asked to wait; its log says by what."""
        if seconds < LONG_PAUSE_SECONDS or now + seconds <= self._pause_known_until + 1:
            return
        self._pause_known_until = now + seconds
        logger.warning(
            "No call is made for %.0f s: another worker was asked to wait. "
            "`scrapy doctor --end-pause` ends it",
            seconds,
        )

    def _batch(self) -> int:
        interval = slot_interval(self._quota.qps)
        most = int(BATCH_SECONDS / interval) if interval else MOST_SLOTS_AT_ONCE
        return max(1, min(self._demand() - len(self._slots), most, MOST_SLOTS_AT_ONCE))

    async def _ask(self, count: int) -> tuple[Reservation, float]:
        """Return the reservation, and when the quota made it, on this clock."""
        attempt = 0
        while True:
            asked = self._clock()
            try:
                answer = await self._run(partial(self._ask_in_thread, count, self._lead))
            except QuotaUnavailableError as error:
                attempt += 1
                delay = self._backoff.delay(attempt)
                level = logging.WARNING if attempt == 1 else logging.DEBUG
                logger.log(level, "No call is made until the quota is known: %s", error)
                await self._sleep(delay)
                continue
            # A slot that is closer than an answer takes would be late before it is known.
            round_trip = self._clock() - asked
            self._lead = min(LONGEST_LEAD_SECONDS, max(round_trip, 0.9 * self._lead))
            return answer

    def _ask_in_thread(self, count: int, lead: float) -> tuple[Reservation, float]:
        asked = self._clock()
        reservation = self._quota.reserve(count, lead)
        return reservation, (asked + self._clock()) / 2

    def _drop_slots(self) -> None:
        self._unused.update(slot.day for slot in self._slots)
        self._slots.clear()

    async def _give_back(self) -> None:
        unused, self._unused = self._unused, Counter()
        for day, count in unused.items():
            try:
                await self._run(partial(self._quota.give_back, count, day))
            except QuotaUnavailableError as error:
                logger.info("%d calls that were not made stay counted: %s", count, error)
