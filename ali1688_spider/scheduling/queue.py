"""The queue of calls that the workers share."""

from __future__ import annotations

import logging
import math
import secrets
import time
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError
from scrapy_redis.queue import Base

from ali1688_spider.exceptions import ConfigurationError, MalformedMessageError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.answers import LeaseAnswer, QueueCounts, SettleAnswer
from ali1688_spider.scheduling.crawls import Crawls
from ali1688_spider.scheduling.entries import (
    milliseconds,
    pack_entries,
    priority_of,
    to_json,
)
from ali1688_spider.scheduling.held_leases import HeldLeases
from ali1688_spider.scheduling.intake import Intake
from ali1688_spider.scheduling.keys import TYPES, QueueKeys
from ali1688_spider.scheduling.leased_calls import LeasedCall, RefusedCall
from ali1688_spider.scheduling.messages import ALL_OPERATIONS, check_operation
from ali1688_spider.scheduling.scripts import LuaScripts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from ali1688_spider.gateway.calls import Operation
    from ali1688_spider.scheduling.entries import QueueEntry
    from ali1688_spider.scheduling.leased_calls import Outcome
    from ali1688_spider.scheduling.scripts import RedisClient

__all__ = ["CallSerializer", "LeaseAnswer", "LeaseQueue", "QueueCounts", "SettleAnswer"]

logger = logging.getLogger(__name__)

ENTRIES_AT_ONCE = 1000
OUTCOMES_AT_ONCE = 200  # with their children
MOST_LEASED_AT_ONCE = 1000
RECOVER_SECONDS = 5.0
"""How often a worker that leases looks for calls that would never come out of the queue."""
SUSPECT_LOSSES = 2
"""A call with which so many workers fell silent may be the cause: a worker has one such at most."""


class CallSerializer:
    """What scrapy-redis calls a serializer: the queue holds calls in JSON, never pickles."""

    @staticmethod
    def dumps(call: ApiCall) -> str:
        """Return the message of *call*."""
        return call.encode()

    @staticmethod
    def loads(message: str | bytes) -> ApiCall:
        """Return the call of *message*; raise :class:`MalformedMessageError` when it is none."""
        return ApiCall.decode(message)


class LeaseQueue(Base):  # type: ignore[misc]  # scrapy-redis has no types
    """Calls, each of them once, that workers lease, make and settle.

    A call that is ready, delayed or leased is not queued a second time. A worker that is silent
    for longer than its lease loses its calls to the others; what it settles afterwards changes
    nothing. The queue may be used from several threads; each call is one script in Redis, whose
    work is bounded, and raises ``redis.exceptions.RedisError`` when Redis is away. Everything may
    then be tried again as it was.

    Args:
        server: Client of Redis, as :mod:`scrapy_redis.connection` makes it.
        spider: A spider, or its class: its name goes into the key.
        key: scrapy-redis's ``SCHEDULER_QUEUE_KEY``.
        serializer: scrapy-redis's ``SCHEDULER_SERIALIZER``: must not be set.
        lease_seconds: How long a worker may be silent.
        max_attempts: How often a call is leased before it is refused.
        operations: The calls that the spider makes; others are refused.

    Attributes:
        keys: The keys in Redis.
        worker: Number of this worker, drawn at random.
        crawls: The crawls that put calls into this queue.
        intake: Reads the messages of producers into this queue.
    """

    def __init__(
        self,
        server: RedisClient,
        spider: Any,
        key: str,
        serializer: Any = None,
        *,
        lease_seconds: float = 60.0,
        max_attempts: int = 5,
        operations: AbstractSet[Operation] = ALL_OPERATIONS,
    ) -> None:
        if serializer is not None and serializer is not CallSerializer:
            raise ConfigurationError(
                "SCHEDULER_SERIALIZER is set: leave it out, the queue holds API calls in JSON only"
            )
        super().__init__(server, spider, key, CallSerializer)
        self.keys = QueueKeys.of(self.key)
        self.worker = secrets.randbits(52)
        self._scripts = LuaScripts(server, self.keys, __package__, prelude="queue", types=TYPES)
        self.crawls = Crawls(self._scripts)
        self.intake = Intake(self._scripts, self.worker, operations)
        self._operations = operations
        self._lease_ms = milliseconds(lease_seconds)
        self._max_attempts = max_attempts
        self._held = HeldLeases(max(1, min(SUSPECT_LOSSES, max_attempts - 1)))
        self._has_surplus = False
        self._recovered_at = -math.inf
        self._lock = Lock()

    def push(self, entries: Iterable[QueueEntry], crawl: str = "") -> int:
        """Queue calls; return how many were not queued before.

        A call that is queued already moves forward when its new priority is higher.

        Args:
            entries: The calls, any number of them.
            crawl: Digest of the crawl that waits for them.
        """
        rest = iter(entries)
        added = 0
        while batch := list(islice(rest, ENTRIES_AT_ONCE)):
            added += self._scripts.run("push", pack_entries(batch), crawl)
        return added

    def lease(self, count: int, *, reclaim: bool = True) -> LeaseAnswer:
        """Lease up to *count* calls, at most 1000; also what became due or was abandoned.

        Args:
            count: How many.
            reclaim: Whether calls of silent workers go back into the queue now. After an outage of
                Redis they were silent because of it.
        """
        count = min(count, MOST_LEASED_AT_ONCE)
        with self._lock:
            if self._has_surplus:
                self._give_back_surplus()
            if time.monotonic() - self._recovered_at >= RECOVER_SECONDS:
                self.recover()
            was_silent = self.is_in_doubt
            now = time.monotonic()
            token, surplus, reclaimed, counts, taken = self._scripts.run(
                "lease",
                self.worker,
                self._lease_ms,
                count,
                len(self._held),
                int(reclaim),
                self._held.suspect_losses,
                int(not self._held.has_suspect),
            )
            lost = self._find_lost() if surplus < 0 else frozenset()
            if lost is not None:
                self._held.confirm(now)
            leases = [
                self._read_lease(token.decode(), *taken[index : index + 4])
                for index in range(0, len(taken), 4)
            ]
            self._held.add(leases)
            self._has_surplus = surplus > 0
        return LeaseAnswer(
            tuple(lease for lease in leases if isinstance(lease, LeasedCall)),
            tuple(lease for lease in leases if isinstance(lease, RefusedCall)),
            reclaimed,
            lost or frozenset(),
            was_silent,
            QueueCounts.of(counts),
        )

    def settle(self, outcomes: Iterable[Outcome]) -> SettleAnswer:
        """End leases; children are queued in the same step that ends the lease of their parent."""
        added, stale = 0, []
        for batch in _batches(outcomes):
            new, *lost = self._scripts.run(
                "settle",
                to_json([outcome.pack() for outcome in batch]),
                *(outcome.lease.message for outcome in batch),
            )
            added += new
            stale += [batch[index] for index in lost]
            self._forget(outcome.lease for outcome in batch)
        return SettleAnswer(added, tuple(stale))

    def heartbeat(self) -> bool:
        """Keep the leases of this worker; return False when it was silent for too long.

        Its calls may then have gone to others.
        """
        now = time.monotonic()
        alive = self._scripts.run("heartbeat", self.worker, self._lease_ms)
        if alive and not self.is_in_doubt:
            self._held.confirm(now)
        return bool(alive) or not self._held

    def recover(self) -> int:
        """Bring back calls that a broken or deleted key would keep in the queue for ever.

        Returns:
            How many calls may be leased again.
        """
        recovered: int = self._scripts.run("recover", self._lease_ms, MOST_LEASED_AT_ONCE)
        self._recovered_at = time.monotonic()
        if recovered:
            logger.warning(
                "Brought back %d calls that the queue had lost track of: one of its Redis keys was "
                "deleted, or somebody else wrote into it",
                recovered,
            )
        return recovered

    @property
    def keys_set_aside(self) -> int:
        """How many Redis keys of a wrong type were set aside."""
        return self._scripts.set_aside

    @property
    def is_in_doubt(self) -> bool:
        """Whether leases may have run out without this worker knowing; the next lease tells."""
        return 1000 * self._held.silent_seconds >= self._lease_ms

    def release_worker(self) -> int:
        """Give back, uncounted, all that this worker has leased; return how many calls."""
        with self._lock:
            self._held.clear()
            total = 0
            while returned := self._give_back((), leaving=True):
                total += returned
            return total

    def counts(self) -> QueueCounts:
        """Return how much is in the queue."""
        return QueueCounts.of(self._scripts.run("counts"))

    def clear(self) -> None:
        """Delete the queue with all that belongs to it, save the messages of producers."""
        self.server.unlink(*self.keys[1:])

    def __len__(self) -> int:
        return self.counts().calls

    def _give_back_surplus(self) -> None:
        """Give back leases of this worker of which it knows nothing.

        The answer that told of them was lost, or Redis lost its last steps when it crashed.
        """
        returned = self._give_back(self._held)
        logger.info("Gave back %d leases that this worker knows nothing of", returned)

    def _give_back(self, held: Iterable[bytes], *, leaving: bool = False) -> int:
        returned: int = self._scripts.run(
            "give_back", self.worker, MOST_LEASED_AT_ONCE, int(leaving), *held
        )
        return returned

    def _find_lost(self) -> frozenset[bytes] | None:
        try:
            lost = frozenset(self._scripts.run("lost_leases", *self._held.messages_and_tokens()))
        except RedisError:
            # What was just leased must not be forgotten for it; the next lease asks again.
            return None
        self._held.drop(lost)
        return lost

    def _forget(self, leases: Iterable[LeasedCall | RefusedCall]) -> None:
        with self._lock:
            for lease in leases:
                self._held.remove(lease)

    def _read_lease(
        self, token: str, message: bytes, attempt: int, score: bytes, losses: int
    ) -> LeasedCall | RefusedCall:
        try:
            call = ApiCall.decode(message)
            check_operation(call, self._operations)
        except MalformedMessageError as error:
            return RefusedCall(message, token, attempt, None, str(error))
        if attempt > self._max_attempts:
            reason = f"tried {attempt - 1} times without success"
            if losses:
                reason += f"; {losses} of the workers that tried fell silent"
            return RefusedCall(message, token, attempt, call, reason)
        return LeasedCall(message, token, attempt, call, priority_of(int(score)), losses)


def _batches(outcomes: Iterable[Outcome]) -> Iterator[list[Outcome]]:
    batch: list[Outcome] = []
    size = 0
    for outcome in outcomes:
        batch.append(outcome)
        size += 1 + len(outcome.children)
        if size >= OUTCOMES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
