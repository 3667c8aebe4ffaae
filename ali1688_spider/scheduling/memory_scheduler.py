"""Scrapy's own scheduler, for one process without Redis.

It keeps delayed requests until they are due, and joins products where a call may be for several.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from scrapy import Request, Spider
from scrapy.core.scheduler import Scheduler
from scrapy.utils.asyncio import CallLaterResult, call_later
from twisted.internet.defer import Deferred

from ali1688_spider.addon import context_of
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest
from ali1688_spider.quota.breaker import FIRST_CALLS

JOIN_SECONDS = 0.05
"""How long products wait for one more, to be asked for in the same call."""


class MemoryScheduler(Scheduler):
    """A request with a ``delay`` waits here, not in one of the places for running calls.

    While the breaker holds calls back, these do not take all places: a call whose error was
    recovered, such as a first one with an expired token, has to go out for the others to follow.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delayed: dict[ApiRequest, CallLaterResult] = {}
        self._recovered: deque[ApiRequest] = deque()
        self._joining: list[ApiRequest] = []
        self._join_timer: CallLaterResult | None = None

    def open(self, spider: Spider) -> Deferred[None] | None:
        """Take over the spider's crawl."""
        crawler = spider.crawler
        self._engine = crawler.engine
        context = context_of(crawler)
        self._breaker = context.breaker
        self._most_products = context.client.apis.product.max_ids
        self._places = max(1, crawler.settings.getint("CONCURRENT_REQUESTS") - FIRST_CALLS)
        return super().open(spider)

    def enqueue_request(self, request: Request) -> bool:
        """Queue *request*, or keep it for as long as its ``delay`` says."""
        assert isinstance(request, ApiRequest)
        if request.delay > 0:
            self._delayed[request] = call_later(request.delay, self._end_delay, request)
        elif request.recoveries:
            self._recovered.append(request)
        elif self._may_be_joined(request):
            self._joining.append(request)
            if len(self._joining) == self._most_products:
                return super().enqueue_request(self._join())
            if self._join_timer is None:
                self._join_timer = call_later(JOIN_SECONDS, self._end_joining, 1)
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
        waiting = self._delayed or self._recovered or self._joining
        return bool(waiting) or super().has_pending_requests()

    def close(self, reason: str) -> Deferred[None] | None:
        """Send nothing from now on."""
        for timer in (*self._delayed.values(), self._join_timer):
            if timer is not None:
                timer.cancel()
        return super().close(reason)

    def _may_be_joined(self, request: ApiRequest) -> bool:
        is_for_one = len(request.call.product_ids) == 1
        return self._most_products > 1 and is_for_one and not request.alone

    def _end_joining(self, count: int) -> None:
        """Send the products that wait for others, unless one has come since there were *count*."""
        if len(self._joining) > count:
            self._join_timer = call_later(JOIN_SECONDS, self._end_joining, len(self._joining))
        else:
            self._engine.crawl(self._join())

    def _join(self) -> ApiRequest:
        """Return one request for the products that wait for others."""
        joined, self._joining = self._joining, []
        if self._join_timer is not None:
            self._join_timer.cancel()
            self._join_timer = None
        call = ApiCall.products(each.call.product_ids[0] for each in joined)
        return joined[0].replace(call=call, alone=True)

    def _end_delay(self, request: ApiRequest) -> None:
        del self._delayed[request]
        request.delay = 0
        self._engine.crawl(request)
