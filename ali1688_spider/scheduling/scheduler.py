"""The scheduler of a worker: its calls come from, and go to, the queue in Redis."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING

from scrapy.utils.defer import deferred_from_coro
from scrapy_redis import connection
from scrapy_redis.scheduler import Scheduler

import ali1688_spider
from ali1688_spider.addon import account_of
from ali1688_spider.requests import ApiRequest
from ali1688_spider.scheduling.courier import CLOSING_SECONDS, Courier
from ali1688_spider.scheduling.dupefilter import QueueDupeFilter
from ali1688_spider.scheduling.entries import QueueEntry
from ali1688_spider.scheduling.handling import Handling
from ali1688_spider.scheduling.heartbeat import Heartbeat
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.scheduling.recorder import StoreRecorder
from ali1688_spider.scheduling.seeding import Seeding

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from scrapy import Request
    from scrapy.crawler import Crawler
    from twisted.internet.defer import Deferred

    from ali1688_spider.scheduling.leased_calls import LeasedCall, Outcome
    from ali1688_spider.spiders.api_spider import ApiSpider

logger = logging.getLogger(__name__)


class RedisScheduler(Scheduler):  # type: ignore[misc]  # scrapy-redis has no types
    """scrapy-redis's scheduler over a queue of leases.

    Scrapy's interface does not wait, so nothing here talks to Redis but the courier, beside the
    crawl: calls are handed out from a small stock, and what becomes of them is gathered.

    As many calls are in hand at most as requests may run at once, stored products included: that
    is what a worker that is killed can make others do again.
    """

    crawler: Crawler
    spider: ApiSpider

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the scheduler; Redis need not be there yet."""
        settings = crawler.settings
        scheduler = cls(
            server=connection.from_settings(settings),
            persist=True,  # a worker that closes must not delete the queue of all
            queue_key=settings.get("SCHEDULER_QUEUE_KEY") or QUEUE_KEY,
            dupefilter_cls=QueueDupeFilter,
            serializer=settings.get("SCHEDULER_SERIALIZER"),
        )
        scheduler.stats = crawler.stats
        scheduler.crawler = crawler
        return scheduler

    def open(self, spider: ApiSpider) -> Deferred[None]:
        """Join the workers on the spider's queue, waiting for Redis if need be."""
        self.spider = spider
        self.df = QueueDupeFilter.from_spider(spider)
        configuration = account_of(self.crawler).configuration
        self._most_in_hand = self.crawler.settings.getint("CONCURRENT_REQUESTS")
        self._in_hand = 0
        self._stock: deque[LeasedCall | ApiRequest] = deque()
        self._closing = False
        self._last_work = time.monotonic()
        self.queue = LeaseQueue(
            self.server,
            spider,
            self.queue_key,
            self.serializer,
            lease_seconds=configuration.lease_seconds,
            max_attempts=configuration.max_attempts,
        )
        self._seeding = self._make_seeding()
        self._courier = Courier(
            self.queue,
            StoreRecorder(self.crawler),
            self.crawler.stats,
            wanted=2 * self._most_in_hand,
            seeding=self._seeding,
            deliver=self._receive,
        )
        self._heartbeat = Heartbeat(self.queue, configuration.lease_seconds)
        return deferred_from_coro(self._open())

    def close(self, reason: str) -> Deferred[None]:  # noqa: ARG002  # Scrapy's interface
        """Settle what is done and give back the rest."""
        return deferred_from_coro(self._close())

    def has_pending_requests(self) -> bool:
        """Tell that there may be more to do, until this worker has decided that there is not."""
        return not self._closing

    def enqueue_request(self, request: Request) -> bool:
        """Queue a call that the crawl begins with, or another try of one that was leased."""
        if not isinstance(request, ApiRequest):
            raise TypeError(f"only calls of the API can be queued, not {type(request).__name__}")
        if request.handling is None:
            assert self._seeding is not None
            return self._seeding.add(QueueEntry(request.call, request.priority))
        if request.delay > 0:
            request.handling.postpone(request.delay)
        else:
            # An error was mended, and the call can go on at once.
            self._in_hand -= 1
            self._stock.appendleft(request)
        return True

    def next_request(self) -> ApiRequest | None:
        """Return the next call to be made; None while enough are in hand or none is there."""
        if not self._stock or self._in_hand >= self._most_in_hand:
            return None
        self._in_hand += 1
        entry = self._stock.popleft()
        if isinstance(entry, ApiRequest):
            return entry
        self._courier.took_one()
        handling = Handling(entry, self._settled, self.spider.repeat_in)
        return self.spider.request(
            entry.call, priority=entry.priority, attempt=entry.attempt, handling=handling
        )

    async def room(self) -> None:
        """Return when the queue has taken most of the calls that the crawl begins with."""
        assert self._seeding is not None
        while self._seeding.full:
            self._courier.wake()
            await asyncio.sleep(0.01)

    def end_of_calls(self) -> None:
        """Note that the crawl begins with no further calls."""
        if self._seeding is not None:
            self._seeding.end()
            self._courier.wake()

    def __len__(self) -> int:
        return len(self._stock)

    def _make_seeding(self) -> Seeding | None:
        if not self.spider.has_source:
            return None
        digest = self.spider.source_digest or uuid.uuid4().hex
        return Seeding(self.queue, digest if self.spider.joins_crawl else None)

    async def _open(self) -> None:
        if self._seeding is not None:
            seeding = self._seeding
            age = time.monotonic() - ali1688_spider.STARTED
            crawl = await self._courier.patiently(lambda: seeding.begin(age))
            if crawl.cursor:
                logger.info("Joining a crawl whose first %d calls are queued", crawl.cursor)
        await self._courier.patiently(self.queue.heartbeat)
        self._heartbeat.start()
        self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        try:
            while not self._closing:
                await self._courier.exchange()
                if self._heartbeat.lost.is_set():
                    self._drop_stock()
                if await self._is_done():
                    self._end("finished")
        except Exception:
            # Nobody awaits this task: without this the worker would stand still for ever.
            logger.exception("The queue cannot be worked on any further")
            self._end("queue_failed")

    def _end(self, reason: str) -> None:
        self._closing = True
        # A task of its own: closing waits for the present one.
        closing = self.crawler.engine.close_spider_async(reason=reason)
        self._closing_task = asyncio.create_task(closing)

    def _receive(self, leases: Sequence[LeasedCall]) -> None:
        """Take delivered calls into stock, and have Scrapy ask for them."""
        self._stock.extend(leases)
        self._last_work = time.monotonic()
        self.crawler.engine._slot.nextcall.schedule()  # type: ignore[union-attr]  # noqa: SLF001

    def _settled(self, outcome: Outcome) -> None:
        self._in_hand -= 1
        self._last_work = time.monotonic()
        self._courier.settle(outcome)

    def _drop_stock(self) -> None:
        """Give back the stock after this worker was silent for too long: others have it by now."""
        self._heartbeat.lost.clear()
        leases = [entry for entry in self._stock if not isinstance(entry, ApiRequest)]
        self._stock = deque(entry for entry in self._stock if isinstance(entry, ApiRequest))
        self._courier.dropped(leases)
        logger.warning("This worker was silent for too long; its calls went to others")

    async def _is_done(self) -> bool:
        if self._stock or self._in_hand or self._courier.has_outcomes:
            return False
        if self.spider.idle_seconds is not None:
            counts = self._courier.counts
            if counts is None or counts.calls or counts.messages:
                self._last_work = time.monotonic()
            return time.monotonic() - self._last_work >= self.spider.idle_seconds
        if self._seeding is None:
            return False
        return await self._courier.patiently(self._seeding.check_finished)

    async def _close(self) -> None:
        self._closing = True
        self._courier.wake()
        # A round that is under way is let finish: what it leases has to be given back.
        await asyncio.wait({self._task}, timeout=CLOSING_SECONDS)
        self._task.cancel()
        self._heartbeat.stop()
        await self._courier.close()
