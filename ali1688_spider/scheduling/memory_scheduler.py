"""Scrapy's own scheduler, for one process without Redis; it keeps delayed requests until due."""

from __future__ import annotations

from collections import deque
from typing import Any

from scrapy import Request, Spider
from scrapy.core.scheduler import Scheduler
from scrapy.utils.asyncio import CallLaterResult, call_later
from twisted.internet.defer import Deferred

from ali1688_spider.addon import context_of
from ali1688_spider.http import ApiRequest
from ali1688_spider.quota.breaker import FIRST_CALLS


class MemoryScheduler(Scheduler):
    """A request with a ``delay`` waits here, not in one of the places for running calls.

    While the breaker holds calls back, these do not take all places: a call whose error was
    recovered, such as a first one with an expired token, has to go out for the others to follow.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delayed: dict[ApiRequest, CallLaterResult] = {}
        self._recovered: deque[ApiRequest] = deque()

    def open(self, spider: Spider) -> Deferred[None] | None:
        """Take over the spider's crawl."""
        crawler = spider.crawler
        self._engine = crawler.engine
        self._breaker = context_of(crawler).breaker
        self._places = max(1, crawler.settings.getint("CONCURRENT_REQUESTS") - FIRST_CALLS)
        return super().open(spider)

    def enqueue_request(self, request: Request) -> bool:
        """Queue *request*, or keep it for as long as its ``delay`` says."""
        assert isinstance(request, ApiRequest)
        if request.delay > 0:
            self._delayed[request] = call_later(request.delay, self._end_delay, request)
        elif request.recoveries:
            self._recovered.append(request)
        else:
            return super().enqueue_request(request)
        return True

    def next_request(self) -> Request | None:
        """Return the next request; None while those that are held back leave no place."""
        if self._recovered:
            return self._recovered.popleft()
        if self._breaker.holds_back and len(self._engine.downloader.active) >= self._places:
            return None
        return super().next_request()

    def has_pending_requests(self) -> bool:
        """Return whether requests are queued or delayed."""
        return bool(self._delayed or self._recovered) or super().has_pending_requests()

    def close(self, reason: str) -> Deferred[None] | None:
        """Put the delayed requests into the queue, which JOBDIR keeps for the next run."""
        for timer in self._delayed.values():
            timer.cancel()
        for request in (*self._recovered, *self._delayed):
            request.delay = 0
            super().enqueue_request(request)
        return super().close(reason)

    def _end_delay(self, request: ApiRequest) -> None:
        del self._delayed[request]
        request.delay = 0
        self._engine.crawl(request)
