"""What Redis knows of an installation: queues, workers, sums of all crawls, and the day's calls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import dropwhile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from redis.exceptions import AuthenticationError, NoPermissionError
from scrapy.settings import BaseSettings
from scrapy.spiderloader import get_spider_loader

from ali1688_spider.monitoring.one_at_a_time import SERVER_SECONDS, OneAtATime
from ali1688_spider.monitoring.state import QuotaState
from ali1688_spider.quota.breaker import RedisOutage
from ali1688_spider.quota.limits import RedisQuota
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.spiders.watch import WatchSpider
from ali1688_spider.statistics.sums import StatisticsReader

if TYPE_CHECKING:
    from ali1688_spider.config import Config
    from ali1688_spider.scheduling.steering import QueueStatus
    from ali1688_spider.statistics.sums import Minute, StatisticsReading

RATE_MINUTES = 15
"""Full minutes from which is derived when the day's calls will be used up."""


@dataclass(frozen=True, slots=True)
class RedisReading:
    """What Redis knows at a moment.

    Attributes:
        queues: By spider.
        statistics: Sums, workers and minutes; its time is that of Redis.
        quota: The calls of the app's day.
    """

    queues: dict[str, QueueStatus]
    statistics: StatisticsReading
    quota: QuotaState


class RedisStateReader:
    """Reads what Redis knows.

    Args:
        client: A client of Redis, by scrapy-redis's settings.
    """

    def __init__(self, settings: BaseSettings, config: Config, client: Any) -> None:
        key = settings.get("SCHEDULER_QUEUE_KEY") or QUEUE_KEY
        self._queues = {
            spider: LeaseQueue(client, SimpleNamespace(name=spider), key).steering
            for spider in sorted(get_spider_loader(settings).list())
        }
        self._statistics = StatisticsReader(client)
        self._quota = RedisQuota(client, config.app_key, config.qps, config.daily_quota)
        self._outage = RedisOutage(client, config.app_key)
        self._asking = OneAtATime(self._ask)

    async def read(self) -> RedisReading:
        """Return what is there.

        Raises:
            RedisError: Redis cannot be asked.
            TimeoutError: It does not answer in time.
        """
        return await self._asking.run()

    def _ask(self) -> RedisReading:
        queues = {spider: queue.status() for spider, queue in self._queues.items()}
        statistics = self._statistics.read()
        usage, now = self._quota.usage(), statistics.at
        quota = QuotaState(
            used=usage.used,
            daily_quota=usage.daily_quota,
            resets_at=_to_second(now + timedelta(seconds=usage.reset_in)),
            ends_at=None,
            paused_seconds=usage.paused_seconds,
            is_gateway_away=bool(self._outage.is_known()),
        )
        if quota.left is not None and calls_wanted(queues) > quota.left:
            ends_at = used_up_at(statistics.minutes, quota.left, now)
            if ends_at is not None and ends_at < quota.resets_at:
                quota = replace(quota, ends_at=ends_at)
        return RedisReading(queues, statistics, quota)


def calls_wanted(queues: Mapping[str, QueueStatus]) -> float:
    """Return how many calls the queues ask for today: without end where products are watched."""
    watch = queues.get(WatchSpider.name)
    if watch is not None and watch.counts.calls:
        return math.inf
    return sum(each.counts.calls + each.counts.messages for each in queues.values())


def used_up_at(minutes: Sequence[Minute], left: int, now: datetime) -> datetime | None:
    """Return when *left* calls will be used up, at the rate since calls are made, of late."""
    recent = list(dropwhile(lambda minute: not minute.calls, minutes[:-1][-RATE_MINUTES:]))
    if not recent:
        return None
    calls = sum(each.calls for each in recent)
    return now + timedelta(minutes=min(left * len(recent) / calls, 10**6))


def explain_redis(error: Exception) -> str:
    """Return why Redis cannot be asked."""
    text = str(error)
    if isinstance(error, TimeoutError):
        return f"no answer within {SERVER_SECONDS:.0f} s"
    if isinstance(error, AuthenticationError):
        return "it refuses the user name or the password of REDIS_URL, or misses them there"
    if isinstance(error, NoPermissionError):
        return f"it does not let the user of REDIS_URL do this ({text})"
    return text.rstrip(".") or type(error).__name__


def _to_second(when: datetime) -> datetime:
    return datetime.fromtimestamp(round(when.timestamp()), UTC)
