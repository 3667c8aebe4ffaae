"""The one task of a worker that talks to the queue in Redis."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from scrapy.crawler import Crawler
from scrapy.utils.asyncio import run_in_thread

import ali1688_spider
from ali1688_spider.addon import context_of
from ali1688_spider.redis_server import durability_risks
from ali1688_spider.scheduling.failures import FailureRecorder
from ali1688_spider.scheduling.lease import Heartbeat, HeldLeases, Lease, lease_limits
from ali1688_spider.scheduling.listener import QueueListener, heard_keys
from ali1688_spider.scheduling.source import CrawlSource
from ali1688_spider.scheduling.steering import Pause, QueueCounts
from ali1688_spider.shutdown import INCOMPLETE

if TYPE_CHECKING:
    from ali1688_spider.scheduling.queue import LeaseBatch, LeaseQueue
    from ali1688_spider.scheduling.start_list import MessageBatch
    from ali1688_spider.spiders.base import ApiSpider

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

FLUSH_SECONDS = 0.05
"""Longest delay of an acknowledgement, for batching."""
POLL_SECONDS = 0.5
"""How often a worker looks for work that has some, or that does not hear of changes."""
IDLE_SECONDS = 30.0
"""How often one that hears of changes looks nevertheless."""
SETTLED_AT_ONCE = 64
AFTER_OUTAGE_SECONDS = 10.0
RECOVER_SECONDS = 5.0
"""How often a worker looks for calls that would never come out of the queue."""
MOST_REFUSED = 1000
"""While this many refused calls wait to be recorded, no others are leased."""
RECORDING_SECONDS = 2.0
"""Grace period, when the crawl closes, for what is being recorded."""
CLOSING_SECONDS = 5.0
"""Grace period at shutdown; unfinished calls are then returned to the queue. Redis has as long to
take them."""


class QueueWorker:
    """Leases calls, hands them out and settles them, in batches, beside the crawl.

    In flight are at most the calls on the wire and the products that wait for the database, see
    :func:`.lease_limits`: that is what a worker that is killed can make others do again.

    Statistics, under ``ali1688/``: ``leases/taken``, ``acked``, ``released``, ``stale`` (settled
    too late), ``expired`` (of silent workers), ``lost`` (while this one was silent), ``withdrawn``
    (by somebody who took the call out of the queue); ``messages/read``, ``queued``, ``malformed``;
    ``failed_calls``, and ``failed_calls/unavailable`` for each wait for their store;
    ``redis/errors``; ``queue/keys_set_aside``, ``queue/sources_read_again``, ``queue/pauses``.

    Attributes:
        leases: What this worker has leased, by message, until Redis knows how it was settled.
        pause: Why the queue gives no leases at present; None when it does.
        has_ended: Whether this worker is done, or gives up.
        has_joined: Whether others had begun the crawl before.
    """

    def __init__(self, crawler: Crawler, queue: LeaseQueue, spider: ApiSpider) -> None:
        self._context = context_of(crawler)
        self._crawler = crawler
        self._stats = crawler.stats
        self._queue = queue
        self._spider = spider
        config = self._context.config
        self._retry = self._context.redis_retry
        self._failures = FailureRecorder(crawler, spider.name)
        self._heartbeat = Heartbeat(queue, config.lease_seconds)
        digest = ""
        if spider.has_source and spider.joins_crawl:
            digest = spider.source_digest or uuid.uuid4().hex
        self._source = CrawlSource(queue, digest, time.monotonic() - ali1688_spider.STARTED)
        self._listener = QueueListener(queue.server, heard_keys(queue.keys, digest), self._hear)
        concurrency = crawler.settings.getint("CONCURRENT_REQUESTS")
        at_once = self._context.client.apis.product.max_ids
        self._most_in_flight, self._most_buffered = lease_limits(concurrency, config.qps, at_once)
        self.leases = HeldLeases()
        self._malformed: MessageBatch | None = None
        self._counts = QueueCounts(1, 0, 0, 0, 0.0)  # there may be messages
        self._takeover_in: float | None = None
        self._is_denied = False
        self.pause: Pause | None = None
        self.has_ended = False
        self.has_joined = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._recording: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closing_since: float | None = None
        self._last_work = time.monotonic()
        self._recovered_at = -math.inf

    @property
    def buffered(self) -> int:
        """How many leases wait to be handed out."""
        return len(self.leases.buffered)

    @property
    def queued(self) -> int:
        """How many calls are queued, or made by workers, as far as this one knows."""
        return self._counts.calls + self._counts.messages

    @property
    def due(self) -> int:
        """The same without the calls that are to be made later."""
        return self.queued - self._counts.delayed

    @property
    def in_flight(self) -> int:
        """How many leases are handed out and not settled."""
        return self.leases.in_flight

    @property
    def is_in_doubt(self) -> bool:
        """Whether what is leased may be somebody else's by now; the next lease tells."""
        return self._heartbeat.is_in_doubt

    async def open(self) -> None:
        """Join the workers on the queue; wait for Redis if it is away."""
        crawl = await self._ask(self._source.begin)
        self.has_joined = crawl.status != "new"
        if crawl.cursor:
            logger.info("Joining a crawl whose first %d calls are queued", crawl.cursor)
        await self._ask(self._queue.heartbeat)
        for risk in await run_in_thread(lambda: list(durability_risks(self._queue.server))):
            logger.warning("Redis: %s", risk)

    def start(self) -> None:
        """Begin to work."""
        self._loop = asyncio.get_running_loop()
        self._heartbeat.start()
        if self._spider.has_source:
            self._source.start_reading(self._spider, self._wake)
        self._task = asyncio.create_task(self._work())

    def next_leases(self, most_products: int = 1) -> list[Lease]:
        """Hand out what is to be called next: a search, or up to *most_products* products.

        Products go together whose attempt is the same: the call that fails is that of all. Nothing
        while enough are in flight, or none is there.
        """
        if self.is_in_doubt:
            self._wake.set()
            return []
        leases = self.leases.next_together(most_products)
        if len(leases) > self._most_in_flight - self.in_flight:
            return []
        if len(leases) == self.buffered < most_products and self._may_lease_more:
            self._wake.set()  # others may go with them
            return []
        self.leases.hand_out(leases)
        if leases and self.buffered <= self._most_buffered // 2 and self._counts.ready:
            self._wake.set()
        return leases

    @property
    def _may_lease_more(self) -> bool:
        has_room = len(self.leases.refused) < MOST_REFUSED
        return self._counts.ready > 0 and has_room and not self._is_denied

    async def close(self) -> None:
        """Settle what is done and give back the rest."""
        self.has_ended = True
        self._wake.set()
        await self._source.stop_reading()
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                if self._retry.is_away:
                    await _cancel(self._task)
                elif self._task is not None:
                    # What a round that is under way leases has to be given back.
                    await asyncio.wait({self._task})
                await self._give_back_all()
        except TimeoutError:
            logger.warning(
                "Redis is away: the leases of this worker go to others when they run out"
            )
        self._heartbeat.stop()
        self._listener.stop()

    async def _work(self) -> None:
        try:
            while not self.has_ended:
                await self._wait()
                await self._flush()
                if self._is_closing:
                    await self._leave()
                    continue
                await self._flush_source()
                if self.has_ended:
                    break
                await self._lease()
                await self._read_messages()
                self._record_soon()
                if await self._is_done():
                    self._end(await self._context.shutdown.finish())
        except Exception:
            # Nobody awaits this task: without this the worker would stand still for ever.
            logger.exception("The queue cannot be worked on any further")
            self._end("queue_failed")

    async def _wait(self) -> None:
        """Wait until something is to be done."""
        timeout = FLUSH_SECONDS if self._source.has_work else POLL_SECONDS
        if self._is_idle:
            timeout = self._listening_timeout()
        if (due := self._counts.next_due) is not None:
            timeout = min(timeout, max(due, 0.01))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout)
        self._wake.clear()

    @property
    def _is_idle(self) -> bool:
        """Whether there is nothing to do, as far as is known, until the queue changes."""
        has_work = self.leases or self._malformed is not None or self._source.has_work
        may_lease = self._counts.ready and self.pause is None
        return not (has_work or may_lease or self._counts.messages or self._is_closing)

    def _listening_timeout(self) -> float:
        """Begin to listen for changes; return how long a worker without work can wait."""
        if not self._listener.is_listening:
            self._listener.listen()
            return POLL_SECONDS
        timeout = IDLE_SECONDS
        if self._takeover_in is not None:
            timeout = min(timeout, self._takeover_in + POLL_SECONDS)
        if self._spider.idle_seconds is not None and self.pause is None:
            left = self._last_work + self._spider.idle_seconds - time.monotonic()
            timeout = min(timeout, max(0.0, left))
        return timeout

    def _hear(self) -> None:
        """Look at the queue soon; called in the listener's thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _ask(self, operation: Callable[[], _T]) -> _T:
        """Return what *operation* returns, which talks to Redis; repeat it while Redis is away."""
        return await self._retry.run(lambda: run_in_thread(operation), give_up=False)

    async def _is_done(self) -> bool:
        """Whether the crawl is finished, or this worker idle for as long as it should be."""
        if self.leases or self._malformed is not None:
            return False
        # Also when the worker stays: it is how one notices that Redis forgot the crawl.
        finished = await self._ask(self._source.check_finished)
        idle_seconds = self._spider.idle_seconds
        if idle_seconds is None:
            return finished
        if self.pause is not None:
            self._last_work = time.monotonic()
            return False
        if self._counts.calls or self._counts.messages or self._source.has_work:
            self._last_work = time.monotonic()
        return time.monotonic() - self._last_work >= idle_seconds

    def _end(self, reason: str) -> None:
        self.has_ended = True
        # A task of its own: closing waits for the present one.
        closing = self._crawler.engine.close_spider_async(reason=reason)
        self._closing = asyncio.create_task(closing)

    async def _lease(self) -> None:
        if time.monotonic() - self._recovered_at >= RECOVER_SECONDS:
            await self._ask(self._queue.recover)
            self._recovered_at = time.monotonic()
        batch = await self._ask(self._lease_batch)
        was_silent = self.is_in_doubt
        if batch.surplus < 0:
            lost = await self._ask(partial(self._queue.find_lost, list(self.leases)))
            self._drop(lost, was_silent=was_silent)
        self._heartbeat.confirm(batch.asked_at)
        self._add(batch)
        if batch.surplus > 0:
            # The reply that named them was lost, or Redis lost its last steps in a crash.
            held = list(self.leases)
            returned = await self._ask(partial(self._queue.give_back, held))
            logger.info("Gave back %d leases that this worker knows nothing of", returned)
        self._note_pause(batch.pause)
        if self.buffered:
            self._last_work = time.monotonic()
        # Nothing public has the engine ask for requests.
        self._crawler.engine._slot.nextcall.schedule()  # type: ignore[union-attr]  # noqa: SLF001

    def _lease_batch(self) -> LeaseBatch:
        missing = max(0, self._most_buffered - self.buffered)
        count = missing if len(self.leases.refused) < MOST_REFUSED else 0
        # Workers that were silent during an outage get as long to be heard again.
        reclaim = not self._retry.was_away_within(AFTER_OUTAGE_SECONDS)
        return self._queue.lease(count, list(self.leases), reclaim=reclaim)

    def _add(self, batch: LeaseBatch) -> None:
        self._counts, self._takeover_in = batch.counts, batch.takeover_in
        self._is_denied = batch.is_denied
        for lease in batch.leases:
            lease.on_settled = self._on_settled
            self.leases.add(lease)
        taken = sum(not lease.refusal for lease in batch.leases)
        self._stats.inc_value("ali1688/leases/expired", batch.reclaimed)
        if batch.reclaimed:
            logger.info("Took over %d calls of workers that are silent", batch.reclaimed)
        self._stats.inc_value("ali1688/leases/taken", taken)
        if self._queue.keys_set_aside:
            self._stats.set_value("ali1688/queue/keys_set_aside", self._queue.keys_set_aside)

    def _note_pause(self, pause: Pause | None) -> None:
        """While the queue is paused, give back what is buffered; say once that it is."""
        if pause is not None:
            for lease in list(self.leases.buffered):
                lease.release()
        if pause == self.pause:
            return
        self.pause = pause
        if pause is None:
            logger.info("The queue is resumed; new calls are made again")
            return
        self._stats.inc_value("ali1688/queue/pauses")
        way_out = f"scrapy queue resume --spider {self._spider.name}"
        logger.info("No new calls are made, the queue is %s; `%s` ends it", pause, way_out)

    def _drop(self, lost: list[Lease], *, was_silent: bool) -> None:
        """Forget leases that this worker no longer has."""
        if not lost:
            return
        self.leases.remove(lost)
        level, stat, reason = logging.INFO, "withdrawn", "somebody took them out of the queue"
        if was_silent:
            level, stat, reason = logging.WARNING, "lost", "it was silent for too long"
        self._stats.inc_value(f"ali1688/leases/{stat}", len(lost))
        unmade = sum(lease.state == "buffered" for lease in lost)
        sentence = "%d calls are no longer this worker's, %d of them not begun: %s"
        logger.log(level, sentence, len(lost), unmade, reason)

    def _on_settled(self, lease: Lease) -> None:
        self._last_work = time.monotonic()
        if lease.outcome == "ack" and lease.call is not None:
            delay = self._spider.repeat_in(lease.call)
            if delay is not None:
                lease.repeat(delay)
        if not self.leases.settle(lease):
            self._stats.inc_value("ali1688/leases/stale")
            return
        settled = len(self.leases.settled)
        if settled == 1:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._wake.set)
        if settled >= SETTLED_AT_ONCE or (not self.buffered and self._counts.ready):
            self._wake.set()

    async def _flush(self) -> None:
        """Settle in Redis what is settled here."""
        settled = list(self.leases.settled)
        if not settled:
            return
        stale = await self._ask(partial(self._queue.settle, settled))
        self.leases.remove(settled)
        done = [lease.outcome for lease in settled if lease not in stale]
        acked = done.count("ack") + done.count("repeat")
        self._stats.inc_value("ali1688/leases/acked", acked)
        self._stats.inc_value("ali1688/leases/released", done.count("release"))
        self._stats.inc_value("ali1688/leases/stale", len(stale))

    async def _read_messages(self) -> None:
        if self._malformed is not None or not self._counts.messages:
            return
        batch = await self._ask(self._queue.start_list.read)
        if batch is None:
            return
        self._wake.set()  # there may be more
        self._stats.inc_value("ali1688/messages/read", batch.count)
        self._stats.inc_value("ali1688/messages/queued", batch.added)
        self._malformed = batch if batch.malformed else None

    def _record_soon(self) -> None:
        if self._recording is not None and self._recording.done():
            self._recording.result()
            self._recording = None
        if self._recording is None and (self.leases.refused or self._malformed is not None):
            self._recording = asyncio.create_task(self._record())

    async def _record(self) -> None:
        """Record what nobody can make; until then it stays in Redis."""
        refused, batch = list(self.leases.refused), self._malformed
        await self._failures.record(refused, batch)
        for lease in refused:
            lease.ack()
        if batch is not None:
            await self._ask(partial(self._queue.start_list.remove, batch))
            self._malformed = None
        self._wake.set()

    async def _flush_source(self) -> None:
        """Queue what was read of the calls that the crawl begins with."""
        source = self._source
        if source.has_work:
            await self._ask(source.flush)
            source.flushed.set()
        if source.forgotten_from is not None and await source.read_again(self._spider, self._wake):
            self._stats.inc_value("ali1688/queue/sources_read_again")
        if source.is_broken:
            self._end(INCOMPLETE)

    @property
    def _is_closing(self) -> bool:
        slot = self._crawler.engine._slot  # noqa: SLF001  # nothing public tells that it closes
        return slot is not None and slot.closing is not None

    async def _leave(self) -> None:
        """Give back what is buffered, and after some seconds what is in flight as well."""
        if self._closing_since is None:
            self._closing_since = time.monotonic()
            for lease in list(self.leases.buffered):
                lease.release()
        elif time.monotonic() - self._closing_since > CLOSING_SECONDS and self.in_flight:
            logger.warning("Calls still run; they are returned to the queue for other workers")
            await self._give_back_all()
            self.has_ended = True

    async def _give_back_all(self) -> None:
        if self._recording is not None:
            await asyncio.wait({self._recording}, timeout=RECORDING_SECONDS)
            await _cancel(self._recording)
        await self._flush()
        released = await self._ask(partial(self._queue.give_back, leaving=True))
        self._stats.inc_value("ali1688/leases/released", released)
        self.leases.clear()


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait({task})
