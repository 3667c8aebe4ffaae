from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request

from ali1688_spider.addon import context_of
from ali1688_spider.middlewares.throttle import ThrottleMiddleware
from ali1688_spider.quota.breaker import FIRST_CALLS
from ali1688_spider.quota.limits import CHINA_SECONDS, DAY_SECONDS, MemoryQuota
from ali1688_spider.quota.rate_limiter import RateLimiter
from ali1688_spider.shutdown import CrawlClosingError
from ali1688_spider.spiders.product import ProductSpider
from ali1688_spider.spiders.watch import WatchSpider

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler

    from ali1688_spider.http import ApiRequest

    CrawlerFor = Callable[..., Crawler]
    RequestFor = Callable[[Crawler, int], ApiRequest]

MIDNIGHT = 20_000 * DAY_SECONDS - CHINA_SECONDS  # in China
NO_LIMITS = {"ALI1688_QPS": "0", "ALI1688_DAILY_QUOTA": "0"}


class OpenCrawl:
    """A crawl that goes on although it is closed."""

    def __init__(self) -> None:
        self.closed: list[tuple[str, str]] = []

    async def or_cancelled(self, awaited: Any) -> Any:
        return await awaited

    def close(self, reason: str, explanation: str) -> None:
        self.closed.append((reason, explanation))


class Throttled:
    """A throttle middleware, and calls that pass through it."""

    def __init__(self, crawler: Crawler, quota: MemoryQuota, request_for: RequestFor) -> None:
        self.context = context_of(crawler)
        self.crawl = self.context.__dict__["shutdown"] = OpenCrawl()
        self.limiter = RateLimiter(quota, self.context.redis_retry)
        self.context.__dict__["quota"] = self.limiter
        self.quota = quota
        self.stats = crawler.stats
        self.middleware = ThrottleMiddleware.from_crawler(crawler)
        self.requests = [request_for(crawler, number) for number in range(1, FIRST_CALLS + 2)]

    async def call(self, request: ApiRequest) -> None:
        await self.middleware.process_request(request)


@pytest.fixture
def throttled(crawler_for: CrawlerFor, request_for: RequestFor) -> Callable[..., Throttled]:
    def make(quota: MemoryQuota, spider_class: type = ProductSpider, **settings: str) -> Throttled:
        return Throttled(crawler_for(spider_class, **settings), quota, request_for)

    return make


async def test_a_call_that_the_breaker_holds_back_takes_no_slot(
    throttled: Callable[..., Throttled],
) -> None:
    throttle = throttled(MemoryQuota(0, 100))
    *first, held_back = [
        asyncio.create_task(throttle.call(request)) for request in throttle.requests
    ]
    await asyncio.gather(*first)
    assert not held_back.done()
    assert throttle.quota.usage().used == FIRST_CALLS
    retry = throttle.requests[0].retry_now("token")
    await throttle.call(retry)
    assert throttle.quota.usage().used == FIRST_CALLS + 1

    await throttle.context.breaker.succeeded()
    await held_back
    assert throttle.quota.usage().used == FIRST_CALLS + 2
    assert all(request.quota_day > 0 for request in (*throttle.requests, retry))
    # A worker may run for weeks: others see its statistics before it ends.
    assert throttle.stats.get_value("ali1688/quota/slots_used") == FIRST_CALLS + 2
    await throttle.middleware.close()
    assert throttle.stats.get_value("ali1688/quota/slots_used") == FIRST_CALLS + 2
    assert throttle.stats.get_value("ali1688/quota/slots_discarded") >= 0  # those that came late
    assert throttle.stats.get_value("ali1688/quota/wait_seconds") >= 0


async def test_one_call_at_a_time_is_a_probe(throttled: Callable[..., Throttled]) -> None:
    throttle = throttled(MemoryQuota(0, 0), **NO_LIMITS)
    await throttle.context.breaker.failed("1", "refused", blameless=True)
    probe, waiting = (
        asyncio.create_task(throttle.call(request)) for request in throttle.requests[:2]
    )
    await probe
    assert throttle.requests[0].probe
    assert throttle.requests[0].retry_now("token").probe
    assert not waiting.done()
    await throttle.context.breaker.succeeded(probe=True)
    await waiting
    assert not throttle.requests[1].probe


async def test_without_limits_a_call_needs_a_slot_only_in_a_pause(
    throttled: Callable[..., Throttled],
) -> None:
    throttle = throttled(MemoryQuota(0, 0), **NO_LIMITS)
    await throttle.call(throttle.requests[0])
    assert throttle.limiter.slots_used == 0
    await throttle.limiter.pause(0.05)
    await throttle.call(throttle.requests[1])
    assert throttle.limiter.slots_used == 1
    assert not throttle.limiter.is_paused


async def test_a_day_without_calls_left_closes_the_crawl(
    throttled: Callable[..., Throttled],
) -> None:
    throttle = throttled(MemoryQuota(0, 1), ALI1688_DAILY_QUOTA="1")
    await throttle.call(throttle.requests[0])
    with pytest.raises(CrawlClosingError):
        await throttle.call(throttle.requests[1])
    ((reason, explanation),) = throttle.crawl.closed
    assert reason == "quota_exhausted"
    assert explanation.startswith(
        "ALI1688_DAILY_QUOTA (1 calls) is used up; the next day begins in"
    )
    assert explanation.endswith("or raise the setting to what the platform grants your app.")


async def test_a_spider_that_outlasts_the_quota_calls_on_the_next_day(
    throttled: Callable[..., Throttled], caplog: pytest.LogCaptureFixture
) -> None:
    # Each time that the quota looks at this clock, it is 40 ms later, and midnight with the fourth.
    moments = (MIDNIGHT + 0.04 * number for number in range(-3, 9))
    quota = MemoryQuota(0, 1, unix_time=lambda: next(moments))
    throttle = throttled(quota, WatchSpider, ALI1688_DAILY_QUOTA="1")
    today, tomorrow, *_ = throttle.requests
    await asyncio.gather(throttle.call(today), throttle.call(tomorrow))

    assert tomorrow.quota_day == today.quota_day + 1
    assert throttle.crawl.closed == []
    (message,) = caplog.messages
    assert message.startswith("ALI1688_DAILY_QUOTA (1 calls) is used up")
    assert message.endswith("Calls wait until then.")


async def test_other_requests_pass(throttled: Callable[..., Throttled]) -> None:
    throttle = throttled(MemoryQuota(0, 100))
    await throttle.middleware.process_request(Request("https://gateway.example/"))
    assert throttle.quota.usage().used == 0
