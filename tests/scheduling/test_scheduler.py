"""The scheduler between a real Redis and what it needs of Scrapy's engine."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from scrapy import Request, signals
from scrapy.utils.defer import maybe_deferred_to_future
from scrapy.utils.test import get_crawler
from scrapy_redis.scheduler import Scheduler

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest
from ali1688_spider.scheduling import seeding
from ali1688_spider.scheduling.scheduler import RedisScheduler
from ali1688_spider.spiders.product import ProductSpider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ali1688_spider.scheduling.queue import LeaseQueue

    Open = Callable[..., Awaitable[RedisScheduler]]


class Engine(SimpleNamespace):
    """Notes with which reason the crawl was closed."""

    def __init__(self) -> None:
        nextcall = SimpleNamespace(schedule=lambda: None)
        super().__init__(_slot=SimpleNamespace(closing=None, nextcall=nextcall), reasons=[])

    async def close_spider_async(self, *, reason: str) -> None:
        self.reasons.append(reason)


@pytest_asyncio.fixture
async def open_scheduler(redis_url: str) -> AsyncIterator[Open]:
    schedulers = []

    async def open_(**arguments: str) -> RedisScheduler:
        settings = {
            "ADDONS": {"ali1688_spider.addon.Ali1688Addon": 100},
            "ALI1688_APP_KEY": "1000000",
            "ALI1688_APP_SECRET": "test123",
            "CONCURRENT_REQUESTS": 4,
            "REDIS_URL": redis_url,
        }
        crawler = get_crawler(ProductSpider, settings | ALL_DEFAULTS)
        crawler._engine = Engine()  # type: ignore[assignment]
        crawler.spider = ProductSpider.from_crawler(crawler, **arguments)
        scheduler = RedisScheduler.from_crawler(crawler)
        schedulers.append(scheduler)
        await maybe_deferred_to_future(scheduler.open(crawler.spider))
        await crawler.signals.send_catch_log_async(signals.spider_opened, spider=crawler.spider)
        return scheduler

    yield open_
    for scheduler in schedulers:
        await maybe_deferred_to_future(scheduler.close("shutdown"))
        scheduler.server.close()


ALL_DEFAULTS = {
    "ALI1688_PROTOCOL": "router",
    "ALI1688_SIGN_METHOD": "md5",
    "ALI1688_HTTP_METHOD": "POST",
    "ALI1688_QPS": "0",
    "ALI1688_DAILY_QUOTA": "0",
    "ALI1688_CACHE_TTL": "0",
    "ALI1688_MAX_ATTEMPTS": "5",
    "ALI1688_LEASE_SECONDS": "60",
    "ALI1688_HISTORY_DAYS": "0",
    "MONGO_DATABASE": "ali1688",
}


async def until(condition: Callable[[], Any]) -> Any:
    """Return what *condition* returns as soon as it is true."""
    async with asyncio.timeout(10):
        while not (value := condition()):  # noqa: ASYNC110  # it may be in Redis
            await asyncio.sleep(0.005)
    return value


def reasons(scheduler: RedisScheduler) -> list[str]:
    engine: Any = scheduler.crawler.engine
    closed_with: list[str] = engine.reasons
    return closed_with


def produce(scheduler: RedisScheduler, *product_ids: int) -> None:
    scheduler.server.lpush(scheduler.queue.keys.start, *product_ids)


async def test_it_is_scrapy_redis_s_scheduler_and_what_spiders_expect(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    assert isinstance(scheduler, Scheduler)
    assert scheduler.persist
    assert scheduler.has_pending_requests()


async def test_a_message_becomes_a_request_that_is_acknowledged(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    produce(scheduler, 7)
    request = await until(scheduler.next_request)
    assert isinstance(request, ApiRequest)
    assert (request.call, request.attempt, request.delay) == (ApiCall.product(7), 1, 0)
    assert scheduler.next_request() is None
    assert request.handling is not None
    request.handling.acknowledge()
    await until(lambda: scheduler.stats.get_value("ali1688/leases/acked"))
    assert scheduler.queue.counts().calls == 0


async def test_a_later_try_waits_in_redis(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    produce(scheduler, 7)
    request = await until(scheduler.next_request)
    assert scheduler.enqueue_request(request.retried(3600))
    await until(lambda: scheduler.queue.counts().delayed)
    assert scheduler.queue.counts().leased == 0


async def test_a_retry_after_a_recovery_is_made_at_once(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    produce(scheduler, 7)
    request = await until(scheduler.next_request)
    retry = request.retry_now("token")
    assert scheduler.enqueue_request(retry)
    assert scheduler.next_request() is retry
    assert scheduler.queue.counts().leased == 1


async def test_no_more_are_in_hand_than_requests_may_run(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    produce(scheduler, *range(1, 10))
    requests = [await until(scheduler.next_request) for _ in range(4)]
    await until(lambda: len(scheduler) == 5)
    assert scheduler.next_request() is None
    requests[0].handling.acknowledge()
    assert scheduler.next_request() is not None


async def test_what_the_crawl_begins_with_is_queued_and_then_it_ends(open_scheduler: Open) -> None:
    scheduler = await open_scheduler(ids="7,8")
    for _ in range(2):
        request = await until(scheduler.next_request)
        assert scheduler.has_pending_requests()
        assert request.handling is not None
        request.handling.acknowledge()
    await until(lambda: not scheduler.has_pending_requests())
    await until(lambda: reasons(scheduler) == ["finished"])


async def test_a_source_that_cannot_be_read_to_its_end_is_incomplete(
    open_scheduler: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def calls(_: ProductSpider) -> AsyncIterator[tuple[ApiCall, int]]:
        yield ApiCall.product(7), 0
        raise OSError("the disk is gone")

    monkeypatch.setattr(ProductSpider, "calls", calls)
    scheduler = await open_scheduler(ids="7,8")
    await until(lambda: reasons(scheduler) == ["incomplete"])
    assert "What the crawl begins with cannot be read to its end" in caplog.text


@pytest.mark.parametrize("readable", [True, False])
async def test_what_redis_forgot_is_read_again_where_that_can_be(
    open_scheduler: Open,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    readable: bool,
) -> None:
    monkeypatch.setattr(seeding, "REMEMBERED", 1)
    monkeypatch.setattr(ProductSpider, "can_read_again", lambda _: readable)
    scheduler = await open_scheduler(ids="7,8,9")
    request = await until(scheduler.next_request)
    scheduler.server.flushall()
    request.handling.acknowledge()
    # What was leased is no longer; Redis says so with the next lease.
    await until(lambda: len(scheduler) == 0)
    if not readable:
        await until(lambda: reasons(scheduler) == ["incomplete"])
        assert "from entry number 1 on, and it cannot be read a second time" in caplog.text
        return
    made = set()
    while len(made) < 3:
        request = await until(scheduler.next_request)
        made.add(request.call.params["product_id"])
        request.handling.acknowledge()
    assert made == {7, 8, 9}
    await until(lambda: reasons(scheduler) == ["finished"])
    assert scheduler.stats.get_value("ali1688/queue/sources_read_again") == 1


async def test_an_idle_worker_ends_when_it_is_told_to(open_scheduler: Open) -> None:
    scheduler = await open_scheduler(idle="0.2")
    produce(scheduler, 7)
    request = await until(scheduler.next_request)
    request.handling.acknowledge()
    await until(lambda: reasons(scheduler) == ["finished"])


async def test_closing_gives_back_what_is_not_done(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    produce(scheduler, *range(1, 10))
    done, _ = [await until(scheduler.next_request) for _ in range(2)]
    await until(lambda: len(scheduler) == 7)
    done.handling.acknowledge()
    await maybe_deferred_to_future(scheduler.close("shutdown"))
    counts = scheduler.queue.counts()
    assert (counts.ready, counts.leased) == (8, 0)
    assert scheduler.stats.get_value("ali1688/leases/released") == 8


async def test_the_stock_is_given_back_as_soon_as_the_crawl_closes(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    produce(scheduler, *range(1, 10))
    in_hand = await until(scheduler.next_request)
    await until(lambda: len(scheduler) == 8)
    scheduler.crawler.engine._slot.closing = object()  # type: ignore[union-attr]
    await until(lambda: scheduler.queue.counts().ready == 8)
    assert scheduler.queue.counts().leased == 1
    in_hand.handling.acknowledge()
    await until(lambda: scheduler.queue.counts().leased == 0)


async def test_only_calls_can_be_queued(open_scheduler: Open) -> None:
    scheduler = await open_scheduler()
    with pytest.raises(TypeError, match="only leased calls can be queued again, not <GET"):
        scheduler.enqueue_request(Request("https://gw.api.1688.com"))


async def test_a_defect_closes_the_crawl_instead_of_standing_still(
    open_scheduler: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = await open_scheduler()

    def lease(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    queue: LeaseQueue = scheduler.queue
    monkeypatch.setattr(queue, "lease", lease)
    await until(lambda: reasons(scheduler) == ["queue_failed"])
    name = "ali1688_spider.scheduling.scheduler"
    expected = (name, logging.ERROR, "The queue cannot be worked on any further")
    assert expected in caplog.record_tuples
