"""The scheduler of a worker: its calls come from, and go to, the queue in Redis."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import aclosing
from typing import TYPE_CHECKING

from scrapy import signals
from scrapy.utils.asyncio import run_in_thread
from scrapy.utils.defer import deferred_from_coro
from scrapy_redis import connection
from scrapy_redis.scheduler import Scheduler

import ali1688_spider
from ali1688_spider.addon import context_of
from ali1688_spider.diagnosis.servers import redis_warnings
from ali1688_spider.http import ApiRequest
from ali1688_spider.scheduling.courier import Courier
from ali1688_spider.scheduling.dupefilter import RedisDupeFilter
from ali1688_spider.scheduling.entries import QueueEntry
from ali1688_spider.scheduling.handling import Handling
from ali1688_spider.scheduling.heartbeat import Heartbeat
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.outage import Outage
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.scheduling.recorder import StoreRecorder
from ali1688_spider.scheduling.seeding import Seeding
from ali1688_spider.scheduling.stock import Stock
from ali1688_spider.shutdown import INCOMPLETE, CrawlClosingError

if TYPE_CHECKING:
    from typing import Self

    from scrapy import Request
    from scrapy.crawler import Crawler
    from twisted.internet.defer import Deferred

    from ali1688_spider.scheduling.leased_calls import Outcome
    from ali1688_spider.spiders.base import ApiSpider

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 5.0
"""Calls that run when a worker is asked to end have so long; then they are given back. As long may
it take to tell Redis."""


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
            dupefilter_cls=RedisDupeFilter,
            serializer=settings.get("SCHEDULER_SERIALIZER"),
        )
        scheduler.stats = crawler.stats
        scheduler.crawler = crawler
        return scheduler

    def open(self, spider: ApiSpider) -> Deferred[None]:
        """Join the workers on the spider's queue, waiting for Redis if need be."""
        self.spider = spider
        self.df = RedisDupeFilter.from_spider(spider)
        config = context_of(self.crawler).config
        concurrency = self.crawler.settings.getint("CONCURRENT_REQUESTS")
        self._stock = Stock.sized(concurrency, config.qps)
        self._ended = False
        self._closing_since: float | None = None
        self._last_work = time.monotonic()
        self._task: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self.queue = LeaseQueue(
            self.server,
            spider,
            self.queue_key,
            self.serializer,
            lease_seconds=config.lease_seconds,
            max_attempts=config.max_attempts,
            operations=spider.operations,
        )
        self._seeding = self._make_seeding()
        self._outage = Outage(self.crawler.stats)
        self._courier = Courier(
            self.queue,
            self._stock,
            StoreRecorder(self.crawler),
            self._outage,
            self.crawler.stats,
            seeding=self._seeding,
            on_delivery=self._delivered,
            repeat_in=self.spider.repeat_in,
        )
        self._heartbeat = Heartbeat(self.queue, config.lease_seconds)
        # Not before the pipelines are open: what is leased must not wait for a database.
        self.crawler.signals.connect(self._begin, signals.spider_opened)
        return deferred_from_coro(self._open())

    def close(self, reason: str) -> Deferred[None]:  # noqa: ARG002  # Scrapy's interface
        """Settle what is done and give back the rest."""
        return deferred_from_coro(self._close())

    def has_pending_requests(self) -> bool:
        """Tell that there may be more to do, until this worker has decided that there is not."""
        return not self._ended

    def enqueue_request(self, request: Request) -> bool:
        """Queue another try of a call that was leased."""
        if not isinstance(request, ApiRequest) or request.handling is None:
            raise TypeError(f"only leased calls can be queued again, not {request}")
        if request.delay > 0:
            counted = request.attempt > request.handling.lease.attempt
            request.handling.postpone(request.delay, counted=counted)
        else:
            # An error was mended, and the call can go on at once.
            self._stock.put_back(request)
        return True

    def next_request(self) -> ApiRequest | None:
        """Return the next call to be made; None while enough are in hand or none is there."""
        if self.queue.is_in_doubt:
            # What is in stock may be somebody else's by now.
            self._courier.wake()
            return None
        entry = self._stock.take()
        if entry is None or isinstance(entry, ApiRequest):
            return entry
        self._courier.took_one()
        handling = Handling(entry, self._settled, self.spider.repeat_in)
        return self.spider.request(
            entry.call,
            priority=entry.priority,
            attempt=entry.attempt,
            handling=handling,
        )

    def __len__(self) -> int:
        return len(self._stock)

    def _make_seeding(self) -> Seeding | None:
        if not self.spider.has_source:
            return None
        digest = self.spider.source_digest or uuid.uuid4().hex
        age = time.monotonic() - ali1688_spider.STARTED
        return Seeding(self.queue, digest if self.spider.joins_crawl else None, age)

    async def _open(self) -> None:
        if self._seeding is not None:
            crawl = await self._outage.patiently(self._seeding.begin)
            if crawl.cursor:
                logger.info("Joining a crawl whose first %d calls are queued", crawl.cursor)
        await self._outage.patiently(self.queue.heartbeat)
        for finding in await run_in_thread(lambda: list(redis_warnings(self.server))):
            logger.warning("%s: %s", finding.subject, finding.text)

    def _begin(self) -> None:
        self._heartbeat.start()
        if self._seeding is not None:
            self._reading = asyncio.create_task(self._read_source(self._seeding))
        self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        try:
            while not self._ended:
                await self._courier.exchange()
                if self._is_closing():
                    await self._leave()
                elif self._seeding is not None and self._seeding.forgotten_from is not None:
                    await self._read_again(self._seeding, self._seeding.forgotten_from)
                elif await self._is_done():
                    incomplete = context_of(self.crawler).shutdown.is_incomplete
                    self._end(INCOMPLETE if incomplete else "finished")
        except Exception:
            # Nobody awaits this task: without this the worker would stand still for ever.
            logger.exception("The queue cannot be worked on any further")
            self._end("queue_failed")

    async def _read_source(self, seeding: Seeding) -> None:
        """Have the calls queued that the crawl begins with."""
        try:
            async with aclosing(self.spider.all_calls()) as calls:
                async for call, priority in calls:
                    while seeding.full:
                        self._courier.wake()
                        await asyncio.sleep(0.01)
                    seeding.add(QueueEntry(call, priority))
        except CrawlClosingError:
            return  # the crawl ends
        except Exception:
            logger.exception(
                "What the crawl begins with cannot be read to its end: start it again when it can"
            )
            self._end(INCOMPLETE)
            return
        seeding.end()
        self._courier.wake()

    async def _read_again(self, seeding: Seeding, first: int) -> None:
        """Queue what Redis forgot, from entry *first* on; end the crawl where that cannot be."""
        await self._end_reading()
        if not await run_in_thread(self.spider.can_read_again):
            logger.error(
                "Redis lost what the crawl begins with from entry number %d on, and it cannot be "
                "read a second time: start the crawl again, with all of its entries",
                first + 1,
            )
            self._end(INCOMPLETE)
            return
        logger.warning(
            "Redis lost what the crawl begins with from entry number %d on; it is read and queued "
            "again",
            first + 1,
        )
        self.stats.inc_value("ali1688/queue/sources_read_again")
        seeding.rewind()
        self._reading = asyncio.create_task(self._read_source(seeding))

    async def _end_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    def _end(self, reason: str) -> None:
        self._ended = True
        # A task of its own: closing waits for the present one.
        closing = self.crawler.engine.close_spider_async(reason=reason)
        self._closing_task = asyncio.create_task(closing)

    def _is_closing(self) -> bool:
        slot = self.crawler.engine._slot  # noqa: SLF001  # nothing public tells that it closes
        return slot is not None and slot.closing is not None

    async def _leave(self) -> None:
        """Give back what is in stock, and after some seconds what is in hand as well."""
        if self._closing_since is None:
            self._closing_since = time.monotonic()
            self._courier.lease_no_more()
            self._courier.give_back(self._stock.remove())
        elif time.monotonic() - self._closing_since > CLOSING_SECONDS and self._stock.in_hand:
            logger.warning("Calls still run; they are given back, for other workers to make")
            await self._courier.give_back_all()
            self._ended = True

    def _delivered(self) -> None:
        """Have Scrapy ask for calls."""
        self._last_work = time.monotonic()
        self.crawler.engine._slot.nextcall.schedule()  # type: ignore[union-attr]  # noqa: SLF001

    def _settled(self, outcome: Outcome) -> None:
        self._stock.settled()
        self._last_work = time.monotonic()
        self._courier.settle(outcome)

    async def _is_done(self) -> bool:
        if self._stock or self._stock.in_hand or self._courier.has_outcomes:
            return False
        seeding, idle_seconds = self._seeding, self.spider.idle_seconds
        # Also when the worker stays: it is how one notices that Redis forgot the crawl.
        finished = seeding is not None and await self._outage.patiently(seeding.check_finished)
        if idle_seconds is None:
            return finished
        counts = self._courier.counts
        is_queueing = seeding is not None and seeding.has_work
        if counts is None or counts.calls or counts.messages or is_queueing:
            self._last_work = time.monotonic()
        return time.monotonic() - self._last_work >= idle_seconds

    async def _close(self) -> None:
        self._ended = True
        self._courier.wake()
        await self._end_reading()
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._end_work()
                await self._courier.give_back_all()
        except TimeoutError:
            logger.warning(
                "Redis is away: the leases of this worker go to others when they run out"
            )
        self._heartbeat.stop()

    async def _end_work(self) -> None:
        """Let a round that is under way finish: what it leases has to be given back."""
        if self._task is None:
            return
        if self._outage.lasts:
            self._task.cancel()
        await asyncio.wait({self._task})
