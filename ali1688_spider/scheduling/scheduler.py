"""The scheduler of a worker: its calls come from, and go to, the queue in Redis."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.utils.defer import deferred_from_coro
from scrapy.utils.misc import load_object
from scrapy_redis.scheduler import Scheduler
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ali1688_spider.addon import context_of
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest
from ali1688_spider.items import ParsedProduct, Product
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.lease import Lease, QueueEntry
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.scheduling.worker import QueueWorker

if TYPE_CHECKING:
    from ali1688_spider.spiders.base import ApiSpider


class RedisScheduler(Scheduler):  # type: ignore[misc]  # scrapy-redis has no types
    """scrapy-redis's scheduler over a queue of leases.

    Scrapy's interface does not wait, so nothing here talks to Redis: the worker does, beside the
    crawl.
    """

    crawler: Crawler
    worker: QueueWorker

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the scheduler; Redis need not be there yet."""
        settings = crawler.settings
        if settings.get("SCHEDULER_SERIALIZER"):
            raise ConfigurationError(
                "SCHEDULER_SERIALIZER is set: leave it out, the queue holds API calls in JSON only"
            )
        scheduler = cls(
            server=context_of(crawler).redis,
            persist=True,  # a worker that closes must not delete the queue of all
            queue_key=settings.get("SCHEDULER_QUEUE_KEY") or QUEUE_KEY,
            dupefilter_cls=settings["DUPEFILTER_CLASS"],
        )
        scheduler.stats = crawler.stats
        scheduler.crawler = crawler
        return scheduler

    def open(self, spider: ApiSpider) -> Deferred[None]:
        """Join the workers on the spider's queue, waiting for Redis if need be."""
        self.spider = spider
        self.df = load_object(self.dupefilter_cls).from_spider(spider)
        context = context_of(self.crawler)
        config, self._products_at_once = context.config, context.client.apis.product.max_ids
        self.queue = LeaseQueue(
            self.server,
            spider,
            self.queue_key,
            lease_seconds=config.lease_seconds,
            max_attempts=config.max_attempts,
            operations=spider.operations,
        )
        self.worker = QueueWorker(self.crawler, self.queue, spider)
        self._to_go_on: deque[ApiRequest] = deque()
        # Not before the pipelines are open: what is leased must not wait for a database.
        self.crawler.signals.connect(self.worker.start, signals.spider_opened)
        return deferred_from_coro(self.worker.open())

    def close(self, reason: str) -> Deferred[None]:  # noqa: ARG002  # Scrapy's interface
        """Settle what is done and give back the rest."""
        return deferred_from_coro(self.worker.close())

    def has_pending_requests(self) -> bool:
        """Return True until the worker decides otherwise: others may queue or give back calls."""
        return not self.worker.has_ended

    def enqueue_request(self, request: Request) -> bool:
        """Queue another try of a leased call, or keep it for a retry at once."""
        if not isinstance(request, ApiRequest) or not request.leases:
            raise TypeError(f"only leased calls can be queued again, not {request}")
        if request.delay <= 0:
            self._to_go_on.append(request)
            return True
        for lease in request.leases:
            lease.retry(request.delay, counted=request.counted)
        return True

    def next_request(self) -> ApiRequest | None:
        """Return the next call to be made; None while enough are in flight or none is there."""
        if self._to_go_on and not self.worker.is_in_doubt:
            return self._to_go_on.popleft()
        leases = self.worker.next_leases(self._products_at_once)
        if not leases:
            return None
        calls = [lease.call for lease in leases if lease.call is not None]
        call = (
            calls[0] if len(calls) == 1 else ApiCall.products(each.product_ids[0] for each in calls)
        )
        first = leases[0]
        return self.spider.request(
            call, priority=first.priority, attempt=first.attempt, leases=tuple(leases)
        )

    def __len__(self) -> int:
        return self.worker.buffered + len(self._to_go_on)


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
            for lease in leases_of(response, output):
                lease.begin_item()
            yield output
        for lease in leases:
            lease.end_output()

    def item_done(self, item: Any, response: Response | None) -> None:
        """Note that an item was stored, or rejected and kept."""
        for lease in leases_of(response, item):
            lease.end_item()

    def failed(
        self, response: Response | Failure | None, failure: Failure, item: Any = None
    ) -> None:
        """Put a call back whose response the spider, or a pipeline, failed on."""
        for lease in leases_of(response, item):
            lease.fail(failure.value)


def leases_of(response: Response | Failure | None, item: Any = None) -> tuple[Lease, ...]:
    """Return the leases of the calls that *response* is to; none when they were not leased.

    Of a call for several products, that of the product alone which *item* is about.
    """
    request = getattr(response, "request", None)
    leases = request.leases if isinstance(request, ApiRequest) else ()
    if len(leases) > 1 and isinstance(item, Product | ParsedProduct):
        return tuple(each for each in leases if each.call == ApiCall.product(item.product_id))
    return leases
