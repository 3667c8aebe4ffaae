"""Exchanges calls with the queue in Redis, in batches, beside the crawl."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Protocol

from redis.exceptions import ResponseError

from ali1688_spider.scheduling.leased_calls import again, done, release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scrapy.statscollectors import StatsCollector

    from ali1688_spider.gateway.calls import ApiCall
    from ali1688_spider.scheduling.answers import LeaseAnswer, QueueCounts
    from ali1688_spider.scheduling.intake import MalformedMessage, MessageBatch
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


class FailureRecorder(Protocol):
    """Keeps what cannot be made, so that a person sees it."""

    async def record_refused(self, refused: RefusedCall) -> None:
        """Keep a call that was tried too often, or an entry of the queue that is no call."""

    async def record_malformed(self, malformed: MalformedMessage) -> None:
        """Keep a message of a producer that asks for no call."""


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
    ) -> None:
        self._queue = queue
        self._stock = stock
        self._recorder = recorder
        self._outage = outage
        self._stats = stats
        self._seeding = seeding
        self._on_delivery = on_delivery
        self._repeat_in = repeat_in
        self._outcomes: list[Outcome] = []
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
        """Whether outcomes wait to be told."""
        return bool(self._outcomes)

    @property
    def _has_ready(self) -> bool:
        return self.counts is not None and self.counts.ready > 0

    def wake(self) -> None:
        """Exchange at once."""
        self._wake.set()

    async def exchange(self) -> None:
        """Wait until there is reason to, then do one round of everything."""
        pending = self.has_outcomes or (self._seeding is not None and self._seeding.has_work)
        timeout = FLUSH_SECONDS if pending else self._idle_seconds()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout)
        self._wake.clear()
        await self._flush()
        if self._leaving:
            return
        if self._seeding is not None and self._seeding.has_work:
            await self._outage.patiently(self._seeding.flush)
        if self.counts is None or self.counts.messages:
            await self._take_messages()
        await self._note(await self._outage.patiently(self._lease))

    def lease_no_more(self) -> None:
        """Only tell outcomes from now on: this worker is about to end."""
        self._leaving = True
        self._wake.set()

    async def give_back_all(self) -> None:
        """Tell the outcomes so far and give back all that this worker has leased."""
        await self._flush()
        released = await self._outage.patiently(self._queue.release_worker)
        self._stats.inc_value("ali1688/leases/released", released)

    def _lease(self) -> LeaseAnswer:
        # Whoever was silent during an outage has so long to be heard again.
        reclaim = not self._outage.is_recent(AFTER_OUTAGE_SECONDS)
        return self._queue.lease(self._stock.missing, reclaim=reclaim)

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
        self._stats.inc_value("ali1688/leases/stale", len(stale))

    async def _note(self, answer: LeaseAnswer) -> None:
        self.counts = answer.counts
        self._stats.inc_value("ali1688/leases/expired", answer.reclaimed)
        self._stats.inc_value("ali1688/leases/taken", len(answer.calls))
        if answer.lost:
            unmade = self._stock.remove(answer.lost)
            self._stats.inc_value("ali1688/leases/lost", len(answer.lost))
            logger.warning(
                "This worker was silent for too long: %d of its calls went to others, %d of them "
                "were not begun",
                len(answer.lost),
                len(unmade),
            )
        if answer.calls:
            self._stock.add(answer.calls)
        if self._stock:
            self._on_delivery()
        for refused in answer.refused:
            await self._outage.wait_out(partial(self._recorder.record_refused, refused))
            delay = None if refused.call is None else self._repeat_in(refused.call)
            self.settle(done(refused) if delay is None else again(refused, delay))

    async def _take_messages(self) -> None:
        batch = await self._outage.patiently(self._take)
        if batch is None:
            return
        for malformed in batch.malformed:
            await self._outage.wait_out(partial(self._recorder.record_malformed, malformed))
        added = await self._outage.patiently(lambda: self._queue.intake.settle(batch))
        self._stats.inc_value("ali1688/messages/read", len(batch.entries) + len(batch.malformed))
        self._stats.inc_value("ali1688/messages/queued", added)

    def _take(self) -> MessageBatch | None:
        try:
            return self._queue.intake.take()
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            # Something else lies where the list of messages belongs; the queue itself goes on.
            logger.error("The messages of producers cannot be read: %s", error)  # noqa: TRY400
            return None

    def _idle_seconds(self) -> float:
        due = self.counts.next_due if self.counts is not None else 0.0
        return min(POLL_SECONDS, POLL_SECONDS if due is None else max(due, 0.01))
