"""Scrapy's own scheduler, for one process without Redis; it keeps delayed requests until due."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.core.scheduler import Scheduler
from scrapy.utils.asyncio import call_later

from ali1688_spider.addon import context_of
from ali1688_spider.quota.breaker import FIRST_CALLS

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.utils.asyncio import CallLaterResult
    from twisted.internet.defer import Deferred


class MemoryScheduler(Scheduler):
    """A request with a ``delay`` waits here, not in one of the places for running calls.

    While the breaker holds calls back, these do not take all places: a call whose error was mended,
    such as a first one with an expired token, has to go out for the others to follow.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delayed: dict[Request, CallLaterResult] = {}
        self._mended: deque[Request] = deque()

    def open(self, spider: Spider) -> Deferred[None] | None:
        """Take over the spider's crawl."""
        assert self.crawler is not None
        self._breaker = context_of(self.crawler).breaker
        concurrency = self.crawler.settings.getint("CONCURRENT_REQUESTS")
        self._places = max(1, concurrency - FIRST_CALLS)
        return super().open(spider)

    async def room(self) -> None:
        """Return when another start request would be sent soon, so that few wait in memory."""
        assert self.crawler is not None
        if self.crawler.engine.needs_backout():
            await self.crawler.signals.wait_for(signals.scheduler_empty)

    def enqueue_request(self, request: Request) -> bool:
        """Queue *request*, or keep it for as long as its ``delay`` says."""
        delay: float = getattr(request, "delay", 0)
        if delay <= 0 and getattr(request, "recoveries", None):
            self._mended.append(request)
            return True
        if delay <= 0:
            return super().enqueue_request(request)
        self._delayed[request] = call_later(delay, self._end_delay, request)
        return True

    def next_request(self) -> Request | None:
        """Return the next request; None while those that are held back leave no place."""
        assert self.crawler is not None
        if self._mended:
            return self._mended.popleft()
        if self._breaker.holds_back and len(self.crawler.engine.downloader.active) >= self._places:
            return None
        return super().next_request()

    def has_pending_requests(self) -> bool:
        """Tell whether requests are queued or delayed."""
        return bool(self._delayed or self._mended) or super().has_pending_requests()

    def close(self, reason: str) -> Deferred[None] | None:
        """Put the delayed requests into the queue, which JOBDIR keeps for the next run."""
        for request in self._mended:
            super().enqueue_request(request)
        for request, timer in self._delayed.items():
            timer.cancel()
            request.delay = 0  # type: ignore[attr-defined]  # only an ApiRequest is delayed
            super().enqueue_request(request)
        return super().close(reason)

    def _end_delay(self, request: Request) -> None:
        assert self.crawler is not None
        del self._delayed[request]
        request.delay = 0  # type: ignore[attr-defined]  # only an ApiRequest is delayed
        self.crawler.engine.crawl(request)
