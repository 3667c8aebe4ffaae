"""Holds the calls of a crawl back while the gateway takes none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.addon import context_of
from ali1688_spider.http import ApiRequest

if TYPE_CHECKING:
    from typing import Self

    from scrapy import Request
    from scrapy.crawler import Crawler

    from ali1688_spider.context import CrawlContext


class BreakerMiddleware:
    """Waits for the :class:`~ali1688_spider.quota.breaker.Breaker`, before a slot is taken.

    What became of a call the errors middleware tells it.
    """

    def __init__(self, context: CrawlContext) -> None:
        self._context = context

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the middleware."""
        return cls(context_of(crawler))

    async def process_request(self, request: Request) -> None:
        """Return when the call may go on; one whose error was mended goes on at once.

        Raises:
            CrawlClosingError: The crawl ends before.
        """
        if isinstance(request, ApiRequest) and not request.recoveries:
            context = self._context
            request.probe = await context.shutdown.or_cancelled(context.breaker.enter())
