"""The quota that all workers of one app share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from ali1688_spider.quota.exceptions import DailyQuotaExhaustedError, QuotaUnavailableError
from ali1688_spider.quota.quota import HORIZON_SECONDS, Reservation, Usage, slot_interval
from ali1688_spider.redis_server import LuaScripts

if TYPE_CHECKING:
    from ali1688_spider.redis_server import Argument, RedisClient

MICROSECONDS = 1_000_000


class RedisQuota:
    """A :class:`~ali1688_spider.quota.quota.Quota` in Redis, on Redis's own clock.

    Its key is ``{ali1688:quota:<app key>}:schedule``, a HASH of ``next_slot`` (microseconds since
    1970), ``day`` (days since 1970, in China), ``used`` (calls of that day), and of the last pause
    ``paused_at`` and ``paused_until`` (microseconds). It expires when nobody calls for two days.
    What lies further ahead than any reservation or pause reaches comes from a clock that went back,
    and is not waited for.

    Args:
        server: Client of Redis, as :mod:`scrapy_redis.connection` makes it.
        app_key: The app whose quota it is.
        qps: Calls per second; 0 for no limit.
        daily_quota: Calls per day; 0 for no limit.
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
            QuotaUnavailableError: Redis cannot be reached or refuses.
        """
        interval = round(slot_interval(self.qps) * MICROSECONDS)
        wait, granted, day = self._run(
            "reserve",
            count,
            interval,
            self.daily_quota,
            round(lead_seconds * MICROSECONDS),
            round(HORIZON_SECONDS * MICROSECONDS),
        )
        if granted < 0:
            raise DailyQuotaExhaustedError(wait / MICROSECONDS)
        return Reservation(wait / MICROSECONDS, interval / MICROSECONDS, granted, day)

    def give_back(self, count: int, day: int) -> None:
        """Return calls of *day* that were reserved and not made; their slots are lost.

        Raises:
            QuotaUnavailableError: Redis cannot be reached or refuses.
        """
        self._run("give_back", count, day)

    def pause(self, seconds: float) -> None:
        """Give out no slot of the next *seconds*, to no worker; 0 ends a pause.

        Raises:
            QuotaUnavailableError: Redis cannot be reached or refuses.
        """
        self._run("pause", round(seconds * MICROSECONDS))

    def usage(self) -> Usage:
        """Return what is used.

        Raises:
            QuotaUnavailableError: Redis cannot be reached or refuses.
        """
        used, *times = self._run("usage")
        return Usage(used, self.daily_quota, *(each / MICROSECONDS for each in times))

    def _run(self, script: str, *arguments: Argument) -> Any:
        try:
            return self._scripts.run(script, *arguments)
        except RedisError as error:
            raise QuotaUnavailableError(f"Redis does not tell the quota: {error}") from error
