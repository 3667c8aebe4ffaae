"""The quota that all workers of one app share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.quota.limits import (
    HORIZON_SECONDS,
    DailyQuotaExhaustedError,
    Reservation,
    Usage,
    slot_interval,
)
from ali1688_spider.redis_server import LuaScripts

if TYPE_CHECKING:
    from ali1688_spider.redis_server import RedisClient

MICROSECONDS = 1_000_000


class RedisQuota:
    """Does what :class:`~ali1688_spider.quota.limits.MemoryQuota` does, in Redis, on Redis's clock.

    Its key is ``{ali1688:quota:<app key>}:schedule``, a HASH of ``next_slot`` (microseconds since
    1970), ``day`` (days since 1970, in China), ``used`` (calls of that day), and of the last pause
    ``paused_at`` and ``paused_until`` (microseconds). It expires when nobody calls for two days.
    What lies further ahead than any reservation or pause reaches comes from a clock that went back,
    and is not waited for.

    All methods block, and raise :class:`redis.exceptions.RedisError` when Redis does not answer or
    rejects the command.

    Args:
        server: Client of Redis, as :mod:`scrapy_redis.connection` makes it.
        app_key: The app whose quota it is.
        qps: Calls per second; 0 for no limit. May be changed at any time.
        daily_quota: Calls per day; 0 for no limit. May be changed at any time.
    """

    def __init__(self, server: RedisClient, app_key: str, qps: float, daily_quota: int) -> None:
        self.qps = qps
        self.daily_quota = daily_quota
        self.key = f"{{ali1688:quota:{app_key}}}:schedule"
        self._scripts = LuaScripts(server, [self.key], __package__, prelude="schedule")

    def reserve(self, count: int, lead_seconds: float = 0.0) -> Reservation:
        """Take up to *count* slots, none of them earlier than in *lead_seconds*.

        Raises:
            DailyQuotaExhaustedError: The day has no calls left.
        """
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
        """Return calls of *day* that were reserved and not made; their slots are lost."""
        self._scripts.run("give_back", count, day)

    def pause(self, seconds: float) -> None:
        """Give out no slot of the next *seconds*, to no worker; 0 ends a pause."""
        self._scripts.run("pause", round(seconds * MICROSECONDS))

    def usage(self) -> Usage:
        """Return what is used."""
        used, *times = self._scripts.run("usage")
        return Usage(used, self.daily_quota, *(each / MICROSECONDS for each in times))
