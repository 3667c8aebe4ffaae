"""Acknowledges a leased call when all that its response led to is done, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy import signals

from ali1688_spider.http import ApiRequest
from ali1688_spider.scheduling.lease import QueueEntry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Self

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from twisted.python.failure import Failure

    from ali1688_spider.scheduling.lease import Lease


class AcknowledgementMiddleware:
    """A spider middleware that follows the items of each response through the pipelines.

    The calls that a response led to become children of the lease: the queue takes them over in the
    same step that acknowledges the call, so that neither is lost without the other.
    """

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the middleware and listen for items that leave the pipelines."""
        middleware = cls()
        crawler.signals.connect(middleware.item_done, signals.item_scraped)
        crawler.signals.connect(middleware.item_done, signals.item_dropped)
        crawler.signals.connect(middleware.failed, signals.item_error)
        crawler.signals.connect(middleware.failed, signals.spider_error)
        return middleware

    async def process_spider_output(
        self, response: Response, result: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        """Count the items that leave the spider, and keep its requests."""
        leases = leases_of(response)
        async for output in result:
            if leases and isinstance(output, ApiRequest):
                leases[0].children.append(QueueEntry(output.call, output.priority, output.delay))
                continue
            for lease in leases:
                lease.begin_item()
            yield output
        for lease in leases:
            lease.end_output()

    def item_done(self, response: Response | None) -> None:
        """Note that an item was stored, or rejected and kept."""
        for lease in leases_of(response):
            lease.end_item()

    def failed(self, response: Response | Failure | None, failure: Failure) -> None:
        """Put a call back whose response the spider, or a pipeline, failed on."""
        for lease in leases_of(response):
            lease.fail(failure.value)


def leases_of(response: Response | Failure | None) -> tuple[Lease, ...]:
    """Return the leases of the calls that *response* is to; none when they were not leased."""
    request = getattr(response, "request", None)
    return request.leases if isinstance(request, ApiRequest) else ()
