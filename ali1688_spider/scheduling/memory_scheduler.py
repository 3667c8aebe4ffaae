"""Scrapy's own scheduler, for one process without Redis; it keeps delayed requests until due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.core.scheduler import Scheduler
from scrapy.utils.asyncio import call_later

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.utils.asyncio import CallLaterResult
    from twisted.internet.defer import Deferred


class MemoryScheduler(Scheduler):
    """A request with a ``delay`` waits here, not in one of the places for running calls."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delayed: dict[Request, CallLaterResult] = {}

    async def room(self) -> None:
        """Return when another start request would be sent soon, so that few wait in memory."""
        assert self.crawler is not None
        if self.crawler.engine.needs_backout():
            await self.crawler.signals.wait_for(signals.scheduler_empty)

    def enqueue_request(self, request: Request) -> bool:
        """Queue *request*, or keep it for as long as its ``delay`` says."""
        delay: float = getattr(request, "delay", 0)
        if delay <= 0:
            return super().enqueue_request(request)
        self._delayed[request] = call_later(delay, self._end_delay, request)
        return True

    def has_pending_requests(self) -> bool:
        """Tell whether requests are queued or delayed."""
        return bool(self._delayed) or super().has_pending_requests()

    def close(self, reason: str) -> Deferred[None] | None:
        """Put the delayed requests into the queue, which JOBDIR keeps for the next run."""
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
