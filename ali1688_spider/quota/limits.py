"""How many calls an app may make: in any second, and in a day of China (GMT+8).

Slots are booked ahead by the generic cell rate algorithm (GCRA): a call is not refused, it is given
a time. :class:`MemoryQuota` does so for one process, :class:`RedisQuota` (in ``lua/reserve.lua``)
for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from ali1688_spider.exceptions import Ali1688Error
from ali1688_spider.redis_server import LuaScripts

if TYPE_CHECKING:
    from ali1688_spider.redis_server import RedisClient

MARGIN_SECONDS = 0.03
"""How much longer than a second the calls of one second take.

The gateway counts the calls of any second that just passed. Calls are spread evenly, and each may
arrive up to this much later than those after it, without more of them than allowed in any second:
room for the network and for a busy worker. It costs 3 % of the rate.
"""

HORIZON_SECONDS = 5.0
"""Slots are given out this far ahead at most: calls that wait must not use all of them up."""

DAY_SECONDS = 86400
CHINA_SECONDS = 8 * 3600


class DailyQuotaExhaustedError(Ali1688Error):
    """The day's calls are used up.

    Attributes:
        reset_in: Seconds until the next day begins in China (GMT+8).
    """

    def __init__(self, reset_in: float) -> None:
        super().__init__(f"the day's calls are used up; the next day begins in {reset_in:.0f} s")
        self.reset_in = reset_in


@dataclass(frozen=True, slots=True)
class Reservation:
    """Slots for calls, one after the other.

    Attributes:
        wait_seconds: Time until the first slot; without slots, until asking again.
        interval: Seconds from one slot to the next; 0 without a limit of the rate.
        count: How many slots there are, from 0 to the number that was asked for.
        day: The day that they count for (days since 1970 in China), to give them back to.
    """

    wait_seconds: float
    interval: float
    count: int
    day: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What is used of a quota.

    Attributes:
        used: Calls of today, in China.
        daily_quota: Calls that a day has; 0 for no limit.
        lag_seconds: Time until the next free slot.
        reset_in: Seconds until the next day begins.
        paused_seconds: Time until the end of a pause; 0 without one.
    """

    used: int
    daily_quota: int
    lag_seconds: float
    reset_in: float
    paused_seconds: float


class MemoryQuota:
    """The quota of one process, which forgets it when it ends; its methods are thread-safe.

    Args:
        qps: Calls per second; 0 for no limit. May be changed at any time.
        daily_quota: Calls per day; 0 for no limit. May be changed at any time.
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
        self._lock = Lock()
        self._next_slot = 0.0
        self._paused_until = 0.0
        self._day = 0
        self._used = 0  # calls of that day

    def reserve(self, count: int, lead_seconds: float = 0.0) -> Reservation:
        """Take up to *count* slots, none of them earlier than in *lead_seconds*.

        Raises:
            DailyQuotaExhaustedError: The day has no calls left.
        """
        with self._lock:
            now, interval, reset_in = self._clock(), slot_interval(self.qps), self._reset_in()
            if self.daily_quota and self._used >= self.daily_quota:
                raise DailyQuotaExhaustedError(reset_in)
            if now < self._paused_until:
                pause = self._paused_until - now
                return Reservation(min(pause, reset_in), interval, 0, self._day)
            wait = max(self._next_slot - now, lead_seconds)
            if wait >= reset_in:
                return Reservation(reset_in, interval, 0, self._day)
            if wait > max(HORIZON_SECONDS, lead_seconds):
                return Reservation(wait - HORIZON_SECONDS, interval, 0, self._day)
            if self.daily_quota:
                count = min(count, self.daily_quota - self._used)
            if interval:
                count = min(count, int((reset_in - wait) / interval) + 1)
            self._next_slot = now + wait + count * interval
            self._used += count
            return Reservation(wait, interval, count, self._day)

    def give_back(self, count: int, day: int) -> None:
        """Return calls of *day* that were reserved and not made; their slots are lost."""
        with self._lock:
            if day == self._day:
                self._used = max(0, self._used - count)

    def pause(self, seconds: float) -> None:
        """Give out no slot of the next *seconds*, to no worker; 0 ends a pause."""
        with self._lock:
            now = self._clock()
            if seconds:
                self._paused_until = max(self._paused_until, now + seconds)
            else:
                self._paused_until, self._next_slot = 0.0, min(self._next_slot, now)

    def usage(self) -> Usage:
        """Return what is used."""
        with self._lock:
            now, reset_in = self._clock(), self._reset_in()
            lag, pause = max(0.0, self._next_slot - now), max(0.0, self._paused_until - now)
            return Usage(self._used, self.daily_quota, lag, reset_in, pause)

    def _reset_in(self) -> float:
        """Begin a new day if it is time to; return the seconds until the next one."""
        day, seconds = divmod(self._unix_time() + CHINA_SECONDS, DAY_SECONDS)
        if day != self._day:
            self._day, self._used = int(day), 0
        return DAY_SECONDS - seconds


def slot_interval(qps: float) -> float:
    """Return the seconds from one slot to the next at *qps* calls per second; 0 for no limit."""
    return (1 + MARGIN_SECONDS) / qps if qps else 0.0


MICROSECONDS = 1_000_000


class RedisQuota:
    """Does what :class:`MemoryQuota` does, in Redis, on Redis's clock.

    ``{ali1688:quota:<app key>}:schedule`` HASH with expiry
        ``next_slot`` (microseconds since 1970), ``day`` (days since 1970, in China), ``used``
        (calls of that day), and of the last pause ``paused_at`` and ``paused_until``
        (microseconds). It expires when nobody calls for two days.

    What lies further ahead than any reservation or pause reaches comes from a clock that went back,
    and is not waited for.

    All methods block, and raise :class:`redis.exceptions.RedisError` when Redis does not answer or
    rejects the command.

    Args:
        server: Client of Redis, as :mod:`scrapy_redis.connection` makes it.
        app_key: The app whose quota it is.
        qps: See :class:`MemoryQuota`.
        daily_quota: Likewise.
    """

    def __init__(self, server: RedisClient, app_key: str, qps: float, daily_quota: int) -> None:
        self.qps = qps
        self.daily_quota = daily_quota
        self.key = f"{{ali1688:quota:{app_key}}}:schedule"
        self._scripts = LuaScripts(server, [self.key], __package__, prelude="schedule")

    def reserve(self, count: int, lead_seconds: float = 0.0) -> Reservation:
        """See :meth:`MemoryQuota.reserve`."""
        interval, lead, horizon = (
            round(seconds * MICROSECONDS)
            for seconds in (slot_interval(self.qps), lead_seconds, HORIZON_SECONDS)
        )
        wait, granted, day = self._scripts.run(
            "reserve", count, interval, self.daily_quota, lead, horizon
        )
        if granted < 0:
            raise DailyQuotaExhaustedError(wait / MICROSECONDS)
        return Reservation(wait / MICROSECONDS, interval / MICROSECONDS, granted, day)

    def give_back(self, count: int, day: int) -> None:
        """See :meth:`MemoryQuota.give_back`."""
        self._scripts.run("give_back", count, day)

    def pause(self, seconds: float) -> None:
        """See :meth:`MemoryQuota.pause`."""
        self._scripts.run("pause", round(seconds * MICROSECONDS))

    def usage(self) -> Usage:
        """Return what is used."""
        used, *times = self._scripts.run("usage")
        return Usage(used, self.daily_quota, *(each / MICROSECONDS for each in times))
