"""The arithmetic of slots, without a clock of its own.

This is the generic cell rate algorithm (GCRA) that books ahead: who asks is told when to call
instead of being refused. ``lua/reserve.lua`` does the same in Redis.
"""

from __future__ import annotations

from dataclasses import dataclass

from ali1688_spider.quota.exceptions import DailyQuotaExhaustedError
from ali1688_spider.quota.quota import HORIZON_SECONDS, Reservation

DAY_SECONDS = 86400
CHINA_SECONDS = 8 * 3600


@dataclass(slots=True)
class Moment:
    """A moment on two clocks.

    Attributes:
        now: Seconds of a clock that never jumps.
        unix_time: Seconds since 1970.
    """

    now: float
    unix_time: float

    @property
    def day(self) -> int:
        """The day in China, as days since 1970."""
        return int((self.unix_time + CHINA_SECONDS) // DAY_SECONDS)

    @property
    def reset_in(self) -> float:
        """Seconds until the next day begins in China."""
        return DAY_SECONDS - (self.unix_time + CHINA_SECONDS) % DAY_SECONDS


@dataclass(slots=True)
class Schedule:
    """What a quota remembers.

    Attributes:
        next_slot: When the next free slot is, on the clock that never jumps.
        day: The day that ``used`` counts for.
        used: Calls of that day.
        paused_until: No slot is given out before, on the clock that never jumps.
    """

    next_slot: float = 0.0
    day: int = 0
    used: int = 0
    paused_until: float = 0.0

    def reserve(
        self, count: int, moment: Moment, *, interval: float, daily_quota: int, lead: float
    ) -> Reservation:
        """Take up to *count* slots; see :meth:`Quota.reserve`."""
        used = self.used_on(moment.day)
        if daily_quota and used >= daily_quota:
            raise DailyQuotaExhaustedError(moment.reset_in)
        pause = self.paused_until - moment.now
        if pause > 0:
            return Reservation(min(pause, moment.reset_in), interval, 0, moment.day)
        wait = max(self.next_slot - moment.now, lead)
        if wait >= moment.reset_in:
            return Reservation(moment.reset_in, interval, 0, moment.day)
        if wait > max(HORIZON_SECONDS, lead):
            return Reservation(wait - HORIZON_SECONDS, interval, 0, moment.day)
        if daily_quota:
            count = min(count, daily_quota - used)
        if interval:
            count = min(count, int((moment.reset_in - wait) / interval) + 1)
        self.next_slot = moment.now + wait + count * interval
        self.day, self.used = moment.day, used + count
        return Reservation(wait, interval, count, moment.day)

    def give_back(self, count: int, day: int) -> None:
        """Return calls of *day*; those of an earlier day count no more."""
        if day == self.day:
            self.used = max(0, self.used - count)

    def pause(self, seconds: float, moment: Moment) -> None:
        """Give out no slot of the next *seconds*; 0 ends a pause."""
        self.paused_until = max(self.paused_until, moment.now + seconds) if seconds else 0.0
        if not seconds:
            self.next_slot = min(self.next_slot, moment.now)

    def used_on(self, day: int) -> int:
        """Return how many calls of *day* are used."""
        return self.used if day == self.day else 0
