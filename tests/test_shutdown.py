"""A crawl that closes does not wait for what waits through its shutdown, however it is closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request, Spider, signals
from scrapy.utils.test import get_crawler

from ali1688_spider.shutdown import CrawlClosingError, Shutdown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from scrapy.crawler import Crawler
    from twisted.python.failure import Failure


class WaitingSpider(Spider):
    """Makes one request, which waits in a middleware."""

    name = "waiting"

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.failures: list[BaseException] = []

    async def start(self) -> AsyncIterator[Any]:
        yield Request("data:,", errback=self.note_failure)

    def note_failure(self, failure: Failure) -> None:
        self.failures.append(failure.value)


class WaitingMiddleware:
    def __init__(self, crawler: Crawler) -> None:
        self.shutdown = Shutdown(crawler)
        self.spider: Any = crawler.spider

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> WaitingMiddleware:
        return cls(crawler)

    async def process_request(self, request: Request) -> None:  # noqa: ARG002  # Scrapy's interface
        assert await self.shutdown.or_cancelled(asyncio.sleep(0, "result")) == "result"
        self.spider.begun.set()
        await self.shutdown.or_cancelled(asyncio.sleep(3600))


@pytest.mark.parametrize("reason", ["quota_exhausted", "memusage_exceeded", "shutdown"])
async def test_what_waits_is_cancelled_when_the_crawl_closes(
    reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {
        "TWISTED_REACTOR_ENABLED": False,
        "DOWNLOADER_MIDDLEWARES": {WaitingMiddleware: 1},
    }
    crawler = get_crawler(WaitingSpider, settings)
    crawl = asyncio.create_task(crawler.crawl_async())
    await asyncio.sleep(0)  # the crawl makes its spider at once
    spider: Any = crawler.spider
    await spider.begun.wait()
    middleware = crawler.get_downloader_middleware(WaitingMiddleware)
    assert middleware is not None
    assert not middleware.shutdown.in_progress
    match reason:
        case "quota_exhausted":  # our own
            for _ in range(2):
                middleware.shutdown.close(reason, "The day's calls are used up.")
        case "memusage_exceeded":  # any component's
            await crawler.engine.close_spider_async(reason=reason)
        case "shutdown":  # of SIGTERM
            await crawler.stop_async()
    assert middleware.shutdown.in_progress
    await crawl

    assert [type(failure) for failure in spider.failures] == [CrawlClosingError]
    assert crawler.stats.get_value("finish_reason") == reason
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == (["The day's calls are used up."] if reason == "quota_exhausted" else [])


class EarlySpider(Spider):
    """Waits through its shutdown as soon as it is opened, before the engine runs."""

    name = "early"
    start_urls = ()

    def __init__(self) -> None:
        super().__init__()
        self.was_running: bool | None = None
        self.result: object = None

    @classmethod
    def from_crawler(cls, crawler: Crawler, *_: Any, **__: Any) -> EarlySpider:
        spider = cls()
        spider._set_crawler(crawler)  # as Scrapy's own does
        crawler.signals.connect(spider.wait, signals.spider_opened)
        return spider

    async def wait(self) -> None:
        self.was_running = self.crawler.engine.running
        waiting = Shutdown(self.crawler).or_cancelled(asyncio.sleep(0, "result"))
        self.result = await asyncio.gather(waiting, return_exceptions=True)


async def test_nothing_is_cancelled_while_the_crawl_begins() -> None:
    crawler = get_crawler(EarlySpider, {"TWISTED_REACTOR_ENABLED": False})
    await crawler.crawl_async()
    spider: Any = crawler.spider
    assert spider.was_running is False
    assert spider.result == ["result"]
