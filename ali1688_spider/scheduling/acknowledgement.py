"""Settles a leased call when all that its answer led to is done, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy import signals

from ali1688_spider.http import ApiRequest
from ali1688_spider.scheduling.entries import QueueEntry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Self

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure

    from ali1688_spider.scheduling.handling import Handling


class AcknowledgementMiddleware:
    """A spider middleware that follows the items of each answer through the pipelines.

    The calls that an answer led to are kept along: the queue takes them over in the same
    step that acknowledges the call, so that neither is lost without the other.
    """

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the middleware and listen for items that leave the pipelines."""
        middleware = cls()
        crawler.signals.connect(middleware.item_done, signals.item_scraped)
        crawler.signals.connect(middleware.item_done, signals.item_dropped)
        crawler.signals.connect(middleware.item_failed, signals.item_error)
        crawler.signals.connect(middleware.spider_failed, signals.spider_error)
        return middleware

    async def process_spider_output(
        self, response: Response, result: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        """Count the items that leave the spider, and keep its requests."""
        handling = handling_of(response)
        async for output in result:
            if handling is None:
                yield output
            elif isinstance(output, ApiRequest):
                handling.children.append(QueueEntry(output.call, output.priority, output.delay))
            else:
                handling.begin_item()
                yield output
        if handling is not None:
            handling.end_output()

    def item_done(self, response: Response | None) -> None:
        """Note that an item was stored, or rejected and kept."""
        handling = handling_of(response)
        if handling is not None:
            handling.end_item()

    def item_failed(self, response: Response | Failure | None, failure: Failure) -> None:
        """Put a call back whose item could not be handled."""
        handling = handling_of(response)
        if handling is not None:
            handling.failed(failure.value)

    def spider_failed(self, response: Response | Failure | None, failure: Failure) -> None:
        """Put a call back whose answer the spider failed on."""
        handling = handling_of(response)
        if handling is not None:
            handling.failed(failure.value)


def handling_of(response: Response | Failure | None) -> Handling | None:
    """Return the handling of the call that *response* answers; None when it was not leased."""
    request = getattr(response, "request", None)
    return request.handling if isinstance(request, ApiRequest) else None
