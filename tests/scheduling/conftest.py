"""Queues and workers on a real Redis, and time that passes when a test says so."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import redis
from scrapy import signals
from scrapy.utils.defer import maybe_deferred_to_future
from scrapy.utils.test import get_crawler

from ali1688_spider import settings as defaults
from ali1688_spider.addon import Ali1688Addon
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.scheduling.scheduler import RedisScheduler
from ali1688_spider.spiders.product import ProductSpider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from ali1688_spider.spiders.base import ApiSpider

    Open = Callable[..., Awaitable[RedisScheduler]]

OURS = ("ALI1688_", "REDIS_", "MONGO_")


class Clock:
    """Lets the moments come that are written in Redis."""

    def __init__(self, queue: LeaseQueue) -> None:
        self._client: Any = queue.server
        self._keys = queue.keys

    def delays_end(self) -> None:
        self._make_past(self._keys.delayed)

    def leases_run_out(self) -> None:
        self._make_past(self._keys.workers)

    def crawls_grow_old(self) -> None:
        self._make_past(self._keys.crawl_expiry)

    def _make_past(self, key: str) -> None:
        for member in self._client.zrange(key, 0, -1):
            self._client.zadd(key, {member: 0})


@pytest.fixture(params=[False, True], ids=["bytes", "decoded"])
def client(redis_url: str, request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A client of either kind that scrapy-redis's settings may ask for."""
    client = redis.Redis.from_url(redis_url, decode_responses=request.param)
    yield client
    client.close()


@pytest.fixture
def make_queue(client: redis.Redis) -> Callable[..., LeaseQueue]:
    """Make queues over the same keys, each a worker of its own."""

    def make(**settings: Any) -> LeaseQueue:
        return LeaseQueue(client, SimpleNamespace(name="product"), QUEUE_KEY, **settings)

    return make


@pytest.fixture
def queue(make_queue: Callable[..., LeaseQueue]) -> LeaseQueue:
    return make_queue()


@pytest.fixture
def clock(queue: LeaseQueue) -> Clock:
    return Clock(queue)


class Engine(SimpleNamespace):
    """What a worker needs of Scrapy's engine; notes with which reason the crawl was closed."""

    def __init__(self) -> None:
        nextcall = SimpleNamespace(schedule=lambda: None)
        slot = SimpleNamespace(closing=None, nextcall=nextcall)
        super().__init__(_slot=slot, running=True, reasons=[])

    async def close_spider_async(self, *, reason: str) -> None:
        self.reasons.append(reason)


@pytest_asyncio.fixture
async def open_scheduler(redis_url: str) -> AsyncIterator[Open]:
    """Open schedulers, each a worker of its own on the queue of the spider ``product``."""
    schedulers: list[RedisScheduler] = []

    async def open_(
        settings: dict[str, Any] | None = None,
        *,
        spider: type[ApiSpider] = ProductSpider,
        **arguments: str,
    ) -> RedisScheduler:
        settings = {
            **{name: value for name, value in vars(defaults).items() if name.startswith(OURS)},
            "ADDONS": {Ali1688Addon: 0},
            "ALI1688_APP_KEY": "1000000",
            "ALI1688_APP_SECRET": "test123",
            "ALI1688_QPS": "0",
            "CONCURRENT_REQUESTS": 4,
            "REDIS_URL": redis_url,
            "MONGO_URI": "",
            **(settings or {}),
        }
        crawler = get_crawler(spider, settings)
        crawler._engine = Engine()  # type: ignore[assignment]
        crawler.spider = spider.from_crawler(crawler, **arguments)
        scheduler = RedisScheduler.from_crawler(crawler)
        await maybe_deferred_to_future(scheduler.open(crawler.spider))
        schedulers.append(scheduler)
        await crawler.signals.send_catch_log_async(signals.spider_opened, spider=crawler.spider)
        return scheduler

    yield open_
    for scheduler in schedulers:
        await maybe_deferred_to_future(scheduler.close("shutdown"))
        scheduler.server.close()


async def until(condition: Callable[[], Any]) -> Any:
    """Return what *condition* returns as soon as it is true."""
    async with asyncio.timeout(20):
        while not (value := condition()):  # noqa: ASYNC110  # it may be in Redis
            await asyncio.sleep(0.005)
    return value


def reasons(scheduler: RedisScheduler) -> list[str]:
    """Return with which reasons the crawl was closed."""
    engine: Any = scheduler.crawler.engine
    closed_with: list[str] = engine.reasons
    return closed_with
