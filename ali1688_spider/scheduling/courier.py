"""Exchanges calls with the queue in Redis, in batches, beside the crawl."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

from redis.exceptions import RedisError
from scrapy.utils.asyncio import run_in_thread

from ali1688_spider.scheduling.leased_calls import done, release

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scrapy.statscollectors import StatsCollector

    from ali1688_spider.scheduling.intake import MalformedMessage
    from ali1688_spider.scheduling.leased_calls import LeasedCall, Outcome, RefusedCall
    from ali1688_spider.scheduling.queue import LeaseAnswer, LeaseQueue, QueueCounts
    from ali1688_spider.scheduling.seeding import Seeding

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

FLUSH_SECONDS = 0.05
"""So long an outcome waits for others at most before it is told to Redis."""
POLL_SECONDS = 0.5
"""So often an idle worker looks for work."""
OUTCOMES_AT_ONCE = 16
LONGEST_WAIT = 5.0
CLOSING_SECONDS = 5.0


class FailureRecorder(Protocol):
    """Keeps what cannot be made, so that a person sees it."""

    async def record_refused(self, refused: RefusedCall) -> None:
        """Keep a call that was tried too often, or an entry of the queue that is no call."""

    async def record_malformed(self, malformed: MalformedMessage) -> None:
        """Keep a message of a producer that asks for no call."""


class Courier:
    """Brings leased calls, takes back their outcomes; waits as long as Redis is away.

    Attributes:
        counts: What the queue held when last asked; None before.
    """

    def __init__(
        self,
        queue: LeaseQueue,
        recorder: FailureRecorder,
        stats: StatsCollector,
        *,
        wanted: int,
        seeding: Seeding | None,
        deliver: Callable[[Sequence[LeasedCall]], None],
    ) -> None:
        self._queue = queue
        self._recorder = recorder
        self._stats = stats
        self._wanted = wanted
        self._seeding = seeding
        self._deliver = deliver
        self._outcomes: list[Outcome] = []
        self._stock = 0
        self._wake = asyncio.Event()
        self._queue_may_have_more = True
        self._away_since: float | None = None
        self.counts: QueueCounts | None = None

    def took_one(self) -> None:
        """Note that a delivered call was taken up; fetch more in time."""
        self._stock -= 1
        if self._queue_may_have_more and self._stock <= self._wanted // 2:
            self._wake.set()

    def dropped(self, leases: Sequence[LeasedCall]) -> None:
        """Give back delivered calls that are not taken up."""
        self._stock -= len(leases)
        self.settle(*(release(lease) for lease in leases))

    def settle(self, *outcomes: Outcome) -> None:
        """Tell the queue how leases ended, soon."""
        self._outcomes += outcomes
        if len(self._outcomes) >= OUTCOMES_AT_ONCE:
            self._wake.set()

    @property
    def has_outcomes(self) -> bool:
        """Whether outcomes wait to be told."""
        return bool(self._outcomes)

    def wake(self) -> None:
        """Exchange at once."""
        self._wake.set()

    async def exchange(self) -> None:
        """Wait until there is reason to, then do one round of everything."""
        pending = bool(self._outcomes) or (self._seeding is not None and self._seeding.has_work)
        timeout = FLUSH_SECONDS if pending else self._idle_seconds()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout)
        self._wake.clear()
        await self.flush()
        if self._seeding is not None and self._seeding.has_work:
            await self.patiently(self._seeding.flush)
        if self.counts is None or self.counts.messages:
            await self._take_messages()
        answer = await self.patiently(self._lease)
        await self._note(answer)

    async def flush(self) -> None:
        """Tell the queue all outcomes so far."""
        outcomes, self._outcomes = self._outcomes, []
        if not outcomes:
            return
        answer = await self.patiently(lambda: self._queue.settle(outcomes))
        stale = set(map(id, answer.stale))
        acknowledged = sum(o.action != "back" and id(o) not in stale for o in outcomes)
        self._stats.inc_value("ali1688/leases/acked", acknowledged)
        if stale:
            self._stats.inc_value("ali1688/leases/stale", len(stale))

    async def patiently(self, operation: Callable[[], _T]) -> _T:
        """Return what *operation* returns, in a thread; again and again while Redis is away."""
        attempt = 0
        while True:
            try:
                result = await run_in_thread(operation)
            except RedisError as error:
                self._note_away(error)
                await asyncio.sleep(random.uniform(0.05, min(LONGEST_WAIT, 0.1 * 2**attempt)))
                attempt = min(attempt + 1, 16)
            else:
                self._note_back()
                return result

    async def close(self) -> None:
        """Tell the last outcomes and give back all leases; give up when Redis stays away."""

        async def leave() -> None:
            await self.flush()
            released = await self.patiently(self._queue.release_worker)
            self._stats.inc_value("ali1688/leases/released", released)

        try:
            await asyncio.wait_for(leave(), CLOSING_SECONDS)
        except TimeoutError:
            logger.warning(
                "Redis is away: the leases of this worker go to others when they run out"
            )

    def _lease(self) -> LeaseAnswer:
        return self._queue.lease(max(0, self._wanted - self._stock))

    async def _note(self, answer: LeaseAnswer) -> None:
        self.counts = answer.counts
        self._queue_may_have_more = answer.counts.ready > 0
        if answer.reclaimed:
            self._stats.inc_value("ali1688/leases/expired", answer.reclaimed)
        for refused in answer.refused:
            await self._recorder.record_refused(refused)
            self.settle(done(refused))
        if answer.calls:
            self._stock += len(answer.calls)
            self._stats.inc_value("ali1688/leases/taken", len(answer.calls))
            self._deliver(answer.calls)

    async def _take_messages(self) -> None:
        batch = await self.patiently(self._queue.intake.take)
        if batch is None:
            return
        for malformed in batch.malformed:
            await self._recorder.record_malformed(malformed)
        added = await self.patiently(lambda: self._queue.intake.settle(batch))
        self._stats.inc_value("ali1688/messages/read", len(batch.entries) + len(batch.malformed))
        self._stats.inc_value("ali1688/messages/queued", added)

    def _idle_seconds(self) -> float:
        due = self.counts.next_due if self.counts is not None else 0.0
        return min(POLL_SECONDS, POLL_SECONDS if due is None else max(due, 0.01))

    def _note_away(self, error: RedisError) -> None:
        self._stats.inc_value("ali1688/redis/errors")
        if self._away_since is None:
            self._away_since = time.monotonic()
            logger.warning("Redis does not answer; waiting, nothing is lost (%s)", error)

    def _note_back(self) -> None:
        if self._away_since is not None:
            logger.info("Redis is back after %.1f s", time.monotonic() - self._away_since)
            self._away_since = None
