from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest_asyncio
from scrapy import Spider
from scrapy.utils.test import get_crawler

from ali1688_spider.addon import Ali1688Addon, context_of
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest
from ali1688_spider.quota.breaker import FIRST_CALLS
from ali1688_spider.scheduling.memory_scheduler import MemoryScheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scrapy import Request


MOST_HELD_BACK = 24 - FIRST_CALLS


class Engine(SimpleNamespace):
    """What the scheduler needs of Scrapy's engine."""

    crawled: asyncio.Queue[Request]
    downloader: Any = SimpleNamespace(active=())

    def crawl(self, request: Request) -> None:
        self.crawled.put_nowait(request)


def open_scheduler(settings: dict[str, Any]) -> MemoryScheduler:
    # Scrapy's usual queue wants to know how busy the engine's downloader is.
    settings = {
        "ADDONS": {Ali1688Addon: 0},
        "ALI1688_APP_KEY": "1000000",
        "ALI1688_APP_SECRET": "test123",
        "CONCURRENT_REQUESTS": 24,
        "SCHEDULER_PRIORITY_QUEUE": "scrapy.pqueues.ScrapyPriorityQueue",
        **settings,
    }
    crawler = get_crawler(settings_dict=settings)
    context_of(crawler).breaker = SimpleNamespace(holds_back=False)  # type: ignore[assignment]
    crawler._engine = Engine(crawled=asyncio.Queue())  # type: ignore[assignment]
    crawler.spider = Spider.from_crawler(crawler, "product")
    scheduler = MemoryScheduler.from_crawler(crawler)
    scheduler.open(crawler.spider)
    return scheduler


def engine_of(scheduler: MemoryScheduler) -> Any:
    assert scheduler.crawler is not None
    return scheduler.crawler.engine


def request_for(product_id: int, delay: float = 0.0) -> ApiRequest:
    url = "https://gw.api.1688.com/router/json"
    return ApiRequest(url, call=ApiCall.product(product_id), delay=delay, dont_filter=True)


@pytest_asyncio.fixture
async def scheduler() -> AsyncIterator[MemoryScheduler]:
    scheduler = open_scheduler({})
    yield scheduler
    scheduler.close("finished")


async def test_a_request_without_delay_is_queued(scheduler: MemoryScheduler) -> None:
    request = request_for(1)
    assert scheduler.enqueue_request(request)
    assert scheduler.next_request() is request
    assert not scheduler.has_pending_requests()


async def test_a_delayed_request_comes_when_it_is_due(scheduler: MemoryScheduler) -> None:
    request = request_for(1, delay=0.05)
    assert scheduler.enqueue_request(request)
    assert scheduler.next_request() is None
    assert scheduler.has_pending_requests()
    assert await engine_of(scheduler).crawled.get() is request
    assert request.delay == 0
    assert not scheduler.has_pending_requests()


async def test_nothing_comes_once_it_is_closed(scheduler: MemoryScheduler) -> None:
    scheduler.enqueue_request(request_for(1, delay=0.01))
    scheduler.close("shutdown")
    await asyncio.sleep(0.02)
    assert engine_of(scheduler).crawled.empty()


async def test_a_call_that_recovered_goes_out_although_calls_are_held_back(
    scheduler: MemoryScheduler,
) -> None:
    assert scheduler.crawler is not None
    context_of(scheduler.crawler).breaker.holds_back = True  # type: ignore[misc]
    engine_of(scheduler).downloader = SimpleNamespace(active=range(MOST_HELD_BACK))
    scheduler.enqueue_request(request_for(1))
    assert scheduler.next_request() is None
    recovered = request_for(2).retry_now("token")
    scheduler.enqueue_request(recovered)
    assert scheduler.has_pending_requests()
    assert scheduler.next_request() is recovered
    engine_of(scheduler).downloader = SimpleNamespace(active=range(MOST_HELD_BACK - 1))
    assert scheduler.next_request() is not None
