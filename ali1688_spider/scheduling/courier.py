"""Exchanges calls with the queue in Redis, in batches, beside the crawl."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.scheduling.leased_calls import again, done, release
from ali1688_spider.storage.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from scrapy.statscollectors import StatsCollector

    from ali1688_spider.gateway.calls import ApiCall
    from ali1688_spider.scheduling.answers import LeaseAnswer, QueueCounts
    from ali1688_spider.scheduling.intake import MessageBatch
    from ali1688_spider.scheduling.leased_calls import LeasedCall, Outcome, RefusedCall
    from ali1688_spider.scheduling.outage import Outage
    from ali1688_spider.scheduling.queue import LeaseQueue
    from ali1688_spider.scheduling.seeding import Seeding
    from ali1688_spider.scheduling.stock import Stock

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.05
"""So long an outcome waits for others at most before it is told to Redis."""
POLL_SECONDS = 0.5
"""So often an idle worker looks for work."""
OUTCOMES_AT_ONCE = 64
AFTER_OUTAGE_SECONDS = 10.0
MOST_REFUSED = 1000
"""While so many refused calls wait to be recorded, no others are leased."""
RECORDING_SECONDS = 2.0
"""Grace period, when the crawl closes, for what is being recorded."""


class FailureRecorder(Protocol):
    """Keeps what cannot be made, so that a person sees it."""

    async def record_refused(self, refused: Sequence[RefusedCall]) -> None:
        """Keep calls that were tried too often, and entries of the queue that are no calls.

        Raises:
            StoreUnavailableError: They cannot be kept.
        """

    async def record_malformed(self, batch: MessageBatch) -> None:
        """Keep the messages of producers that ask for no call.

        Raises:
            StoreUnavailableError: They cannot be kept.
        """


class Courier:
    """Brings leased calls into stock and takes their outcomes back; waits while Redis is away.

    Args:
        queue: The queue.
        stock: What the worker has leased.
        recorder: Keeps what the queue holds and nobody can make.
        outage: Waits while Redis is away.
        stats: Counts.
        seeding: The calls that the crawl begins with; None for a worker on what is queued.
        on_delivery: Is called after each round that leaves calls in stock.
        repeat_in: Returns the seconds after which a call that was refused is to be made anew all
            the same; None when it is done with.
        backoff: How long to wait while the recorder's store is away.

    Attributes:
        counts: What the queue held when last asked; None before.
    """

    def __init__(
        self,
        queue: LeaseQueue,
        stock: Stock,
        recorder: FailureRecorder,
        outage: Outage,
        stats: StatsCollector,
        *,
        seeding: Seeding | None,
        on_delivery: Callable[[], None],
        repeat_in: Callable[[ApiCall], float | None] = lambda _call: None,
        backoff: Backoff | None = None,
    ) -> None:
        self._queue = queue
        self._stock = stock
        self._recorder = recorder
        self._outage = outage
        self._stats = stats
        self._seeding = seeding
        self._on_delivery = on_delivery
        self._repeat_in = repeat_in
        self._backoff = backoff or Backoff(base=0.2, cap=5.0)
        self._outcomes: list[Outcome] = []
        self._refused: list[RefusedCall] = []
        self._malformed: MessageBatch | None = None
        self._recording: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._leaving = False
        self.counts: QueueCounts | None = None

    def took_one(self) -> None:
        """Note that a call was taken out of stock; fetch more in time."""
        if self._stock.is_low and self._has_ready:
            self._wake.set()

    def settle(self, *outcomes: Outcome) -> None:
        """Tell the queue how leases ended, soon."""
        self._outcomes += outcomes
        if len(self._outcomes) >= OUTCOMES_AT_ONCE or (not self._stock and self._has_ready):
            self._wake.set()

    def give_back(self, leases: Iterable[LeasedCall]) -> None:
        """Give calls back that were not begun."""
        self.settle(*map(release, leases))

    @property
    def has_outcomes(self) -> bool:
        """Whether outcomes wait to be told, or failures to be recorded."""
        return bool(self._outcomes or self._refused or self._malformed)

    @property
    def _has_ready(self) -> bool:
        return self.counts is not None and self.counts.ready > 0

    def wake(self) -> None:
        """Exchange at once."""
        self._wake.set()

    async def exchange(self) -> None:
        """Wait until there is reason to, then do one round of everything."""
        pending = self._outcomes or (self._seeding is not None and self._seeding.has_work)
        timeout = FLUSH_SECONDS if pending else self._idle_seconds()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout)
        self._wake.clear()
        await self._flush()
        if self._leaving:
            return
        if self._seeding is not None and self._seeding.has_work:
            await self._outage.patiently(self._seeding.flush)
        if self._malformed is None and (self.counts is None or self.counts.messages):
            await self._take_messages()
        self._note(await self._outage.patiently(self._lease))
        self._record_soon()

    def lease_no_more(self) -> None:
        """Only tell outcomes from now on: this worker is about to end."""
        self._leaving = True
        self._wake.set()

    async def give_back_all(self) -> None:
        """Tell the outcomes so far and give back all that this worker has leased."""
        if self._recording is not None:
            await asyncio.wait({self._recording}, timeout=RECORDING_SECONDS)
            self._recording.cancel()
        await self._flush()
        released = await self._outage.patiently(self._queue.release_worker)
        self._stats.inc_value("ali1688/leases/released", released)

    def _lease(self) -> LeaseAnswer:
        # Whoever was silent during an outage has so long to be heard again.
        reclaim = not self._outage.is_recent(AFTER_OUTAGE_SECONDS)
        wanted = self._stock.missing if len(self._refused) < MOST_REFUSED else 0
        return self._queue.lease(wanted, reclaim=reclaim)

    async def _flush(self) -> None:
        outcomes = list(self._outcomes)
        if not outcomes:
            return
        answer = await self._outage.patiently(lambda: self._queue.settle(outcomes))
        del self._outcomes[: len(outcomes)]
        stale = set(map(id, answer.stale))
        kept = [outcome for outcome in outcomes if id(outcome) not in stale]
        returned = sum(outcome.action == "back" for outcome in kept)
        self._stats.inc_value("ali1688/leases/acked", len(kept) - returned)
        released = sum(outcome.released for outcome in kept)
        self._stats.inc_value("ali1688/leases/released", released)
        self._stats.inc_value("ali1688/leases/stale", len(stale))

    def _note(self, answer: LeaseAnswer) -> None:
        self.counts = answer.counts
        self._stats.inc_value("ali1688/leases/expired", answer.reclaimed)
        self._stats.inc_value("ali1688/leases/taken", len(answer.calls))
        if self._queue.keys_set_aside:
            self._stats.set_value("ali1688/queue/keys_set_aside", self._queue.keys_set_aside)
        if answer.lost:
            self._note_lost(answer)
        if answer.calls:
            self._stock.add(answer.calls)
        if self._stock:
            self._on_delivery()
        self._refused += answer.refused

    def _note_lost(self, answer: LeaseAnswer) -> None:
        unmade = self._stock.remove(answer.lost)
        if answer.was_silent:
            self._stats.inc_value("ali1688/leases/lost", len(answer.lost))
            logger.warning(
                "This worker was silent for too long: %d of its calls went to others, %d of them "
                "were not begun",
                len(answer.lost),
                len(unmade),
            )
        else:
            self._stats.inc_value("ali1688/leases/withdrawn", len(answer.lost))
            logger.info(
                "%d calls are no longer this worker's: they were taken out of the queue, or are "
                "back in it; %d of them were not begun",
                len(answer.lost),
                len(unmade),
            )

    async def _take_messages(self) -> None:
        intake = self._queue.intake
        batch = await self._outage.patiently(intake.take)
        if batch is None:
            return
        # There may be more.
        self._wake.set()
        self._stats.inc_value("ali1688/messages/read", len(batch))
        # The good ones do not wait until the others are recorded.
        added, rest = await self._outage.patiently(partial(intake.queue_calls, batch))
        self._stats.inc_value("ali1688/messages/queued", added)
        self._malformed = rest if rest.malformed else None

    def _record_soon(self) -> None:
        if self._recording is not None and self._recording.done():
            self._recording.result()
            self._recording = None
        if self._recording is None and (self._refused or self._malformed):
            self._recording = asyncio.create_task(self._record())

    async def _record(self) -> None:
        """Record what nobody can make, beside the exchange; what is not recorded stays in Redis."""
        refused, batch = list(self._refused), self._malformed
        if refused:
            await self._keep(lambda: self._recorder.record_refused(refused))
            del self._refused[: len(refused)]
            for each in refused:
                delay = None if each.call is None else self._repeat_in(each.call)
                self.settle(done(each) if delay is None else again(each, delay))
        if batch is not None:
            await self._keep(lambda: self._recorder.record_malformed(batch))
            await self._outage.patiently(lambda: self._queue.intake.settle(batch))
            self._malformed = None
        self._wake.set()

    async def _keep(self, record: Callable[[], Awaitable[None]]) -> None:
        for attempt in itertools.count(1):
            try:
                await record()
            except StoreUnavailableError as error:
                self._stats.inc_value("ali1688/failed_calls/unavailable")
                if attempt == 1:
                    logger.warning(
                        "Failed calls cannot be recorded; they stay in the queue until they are "
                        "(%s)",
                        error,
                    )
                await asyncio.sleep(self._backoff.delay(attempt))
            else:
                return

    def _idle_seconds(self) -> float:
        due = self.counts.next_due if self.counts is not None else 0.0
        return min(POLL_SECONDS, POLL_SECONDS if due is None else max(due, 0.01))
