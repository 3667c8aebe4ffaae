"""The quota of one process."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

from ali1688_spider.quota.quota import Reservation, Usage, slot_interval
from ali1688_spider.quota.schedule import Moment, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable


class MemoryQuota:
    """A :class:`~ali1688_spider.quota.quota.Quota` without Redis: it forgets when the process ends.

    Args:
        qps: Calls per second; 0 for no limit.
        daily_quota: Calls per day; 0 for no limit.
        clock: Returns seconds of a clock that never jumps.
        unix_time: Returns the seconds since 1970.
    """

    def __init__(
        self,
        qps: float,
        daily_quota: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self.qps = qps
        self.daily_quota = daily_quota
        self._clock = clock
        self._unix_time = unix_time
        self._schedule = Schedule()
        self._lock = Lock()

    def reserve(self, count: int, lead_seconds: float = 0.0) -> Reservation:
        """Take up to *count* slots, none of them earlier than in *lead_seconds*.

        Raises:
            DailyQuotaExhaustedError: The day has no calls left.
        """
        with self._lock:
            return self._schedule.reserve(
                count,
                self._moment(),
                interval=slot_interval(self.qps),
                daily_quota=self.daily_quota,
                lead=lead_seconds,
            )

    def give_back(self, count: int, day: int) -> None:
        """Return calls of *day* that were reserved and not made."""
        with self._lock:
            self._schedule.give_back(count, day)

    def pause(self, seconds: float) -> None:
        """Give out no slot of the next *seconds*; 0 ends a pause."""
        with self._lock:
            self._schedule.pause(seconds, self._moment())

    def usage(self) -> Usage:
        """Return what is used."""
        with self._lock:
            moment = self._moment()
            return Usage(
                self._schedule.used_on(moment.day),
                self.daily_quota,
                max(0.0, self._schedule.next_slot - moment.now),
                moment.reset_in,
                max(0.0, self._schedule.paused_until - moment.now),
            )

    def _moment(self) -> Moment:
        return Moment(self._clock(), self._unix_time())
