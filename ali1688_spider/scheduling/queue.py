"""The queue of calls that the workers share."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from scrapy.settings import BaseSettings
from scrapy_redis import connection
from scrapy_redis.queue import Base

from ali1688_spider.config import read_setting
from ali1688_spider.exceptions import ConfigurationError, MalformedMessageError
from ali1688_spider.gateway.calls import OPERATIONS, ApiCall, Operation
from ali1688_spider.redis_server import LuaScripts
from ali1688_spider.scheduling.keys import QUEUE_KEY, TYPES, QueueKeys
from ali1688_spider.scheduling.lease import (
    Lease,
    QueueEntry,
    bounded_priority,
    milliseconds,
    pack_entries,
    read_priority,
    to_json,
)
from ali1688_spider.scheduling.source import Crawls
from ali1688_spider.scheduling.start_list import StartListReader, check_operation
from ali1688_spider.scheduling.steering import (
    Pause,
    QueueCounts,
    QueueSteering,
    seconds_of,
    worker_info,
)

if TYPE_CHECKING:
    from ali1688_spider.redis_server import RedisClient

logger = logging.getLogger(__name__)

ENTRIES_AT_ONCE = 1000
SETTLED_AT_ONCE = 200  # with their children
MOST_LEASED_AT_ONCE = 1000
POISON_CRASHES = 2
"""A call with which this many workers fell silent may be the cause: a poison candidate, of which a
worker has one at most."""


@dataclass(frozen=True, slots=True)
class LeaseBatch:
    """What a worker got.

    Attributes:
        leases: New leases, the call to be made first in front.
        asked_for: How many were asked for.
        surplus: How many leases this worker has in Redis beyond those that it named; negative when
            it lost some.
        reclaimed: How many calls of silent workers went back into the queue.
        counts: What the queue holds now.
        pause: Why no leases are taken at present; None when they are.
        takeover_in: Seconds until the leases of another worker run out, unless it is heard of
            before; None when no other has any.
        asked_at: When Redis was asked (``time.monotonic()``).
    """

    leases: tuple[Lease, ...]
    asked_for: int
    surplus: int
    reclaimed: int
    counts: QueueCounts
    pause: Pause | None
    takeover_in: float | None
    asked_at: float

    @property
    def is_denied(self) -> bool:
        """Whether calls were asked for and are ready, and none may be leased.

        The queue is paused, or this worker has a poison candidate and all others are such as well.
        """
        return self.asked_for > 0 and not self.leases and self.counts.ready > 0


class LeaseQueue(Base):  # type: ignore[misc]  # scrapy-redis has no types
    """Calls, each of them once, that workers lease, make and settle.

    A call that is ready, delayed or leased is not queued a second time. A worker that is silent
    for longer than its lease loses its calls to the others; what it settles afterwards changes
    nothing. The queue may be used from several threads; each call runs scripts in Redis, each of
    bounded work, and raises ``redis.exceptions.RedisError`` when Redis is away. Everything may
    then be tried again as it was.

    Args:
        spider: A spider, or anything else with a ``name``, which goes into the key.
        key: scrapy-redis's ``SCHEDULER_QUEUE_KEY``.
        lease_seconds: How long a worker may be silent.
        max_attempts: How often a call is leased before it is refused.
        operations: The calls that the spider makes; others are refused.

    Attributes:
        keys: The keys in Redis.
        worker: Number of this worker, drawn at random.
        crawls: The crawls that put calls into this queue.
        start_list: Reads the messages of producers into this queue.
        steering: What an operator sees of the queue and does to it.
    """

    def __init__(
        self,
        server: RedisClient,
        spider: Any,
        key: str,
        *,
        lease_seconds: float = 60.0,
        max_attempts: int = 5,
        operations: AbstractSet[Operation] = OPERATIONS,
    ) -> None:
        super().__init__(server, spider, key, json)  # without one, it would be pickle
        self.keys = QueueKeys.of(self.key)
        self.worker = secrets.randbits(52)
        self._scripts = LuaScripts(server, self.keys, __package__, prelude="queue", types=TYPES)
        self.crawls = Crawls(self._scripts)
        self.start_list = StartListReader(self._scripts, self.worker, operations)
        self.steering = QueueSteering(self._scripts)
        self._operations = operations
        self._info = worker_info(lease_seconds)
        self._lease_ms = milliseconds(lease_seconds)
        self._max_attempts = max_attempts
        self._poison_crashes = max(1, min(POISON_CRASHES, max_attempts - 1))

    def push(self, entries: Iterable[QueueEntry], crawl: str = "") -> int:
        """Queue calls, for which the *crawl* of this digest waits; return how many are new.

        A call that is queued already moves forward when its new priority is higher.
        """
        rest = iter(entries)
        added = 0
        while batch := list(islice(rest, ENTRIES_AT_ONCE)):
            added += self._scripts.run("push", pack_entries(batch), crawl)
        return added

    def push_later(self, call: ApiCall, delay: float) -> None:
        """Queue a call that is to be made in *delay* seconds; one that is queued stays as it is."""
        self.push([QueueEntry(call, 0, delay)])

    def expedite(self, priorities: Mapping[ApiCall, int | None]) -> int:
        """Have calls made as soon as can be; return how many of them are in the queue, or leased.

        A delayed call is ready at once, at this priority, a ready one moves forward; with None
        neither does. One that is leased at this moment is made once more, if it is repeated.
        """
        known, rest = 0, iter(priorities.items())
        while batch := list(islice(rest, ENTRIES_AT_ONCE)):
            packed = to_json([(call.encode(), _packed_priority(each)) for call, each in batch])
            known += self._scripts.run("expedite", packed)
        return known

    def lease(
        self, count: int, held: Collection[Lease] = (), *, reclaim: bool = True
    ) -> LeaseBatch:
        """Lease up to *count* calls, at most 1000, beside the leases *held* by this worker.

        With *reclaim*, calls of silent workers go back into the queue before; after an outage of
        Redis they were silent because of it.
        """
        asked_at = time.monotonic()
        has_candidate = any(self._is_poison_candidate(lease) for lease in held)
        count = min(count, MOST_LEASED_AT_ONCE)
        token, surplus, reclaimed, counts, taken, pause, takeover = self._scripts.run(
            "lease",
            self.worker,
            self._lease_ms,
            count,
            len(held),
            int(reclaim),
            self._poison_crashes,
            int(not has_candidate),
        )
        leases = tuple(
            self._read_lease(token.decode(), *taken[index : index + 4])
            for index in range(0, len(taken), 4)
        )
        found = (QueueCounts.of(counts), Pause.of(pause), seconds_of(takeover))
        return LeaseBatch(leases, count, surplus, reclaimed, *found, asked_at)

    def settle(self, leases: Iterable[Lease]) -> list[Lease]:
        """End settled leases, each in one step with queueing its children.

        Those are returned that changed nothing, since the call had gone to somebody else.
        """
        stale: list[Lease] = []
        for batch in _batches(leases):
            packed = to_json([lease.pack() for lease in batch])
            lost = self._scripts.run("settle", packed, *(lease.message for lease in batch))
            stale += [batch[index] for index in lost]
        return stale

    def find_lost(self, held: Iterable[Lease]) -> list[Lease]:
        """Return those of the leases that this worker no longer has."""
        leases = list(held)
        texts = [text for lease in leases for text in (lease.message, lease.token)]
        lost = set(self._scripts.run("lost_leases", *texts))
        return [lease for lease in leases if lease.message in lost]

    def give_back(self, held: Iterable[Lease] = (), *, leaving: bool = False) -> int:
        """Put all leases but the *held* ones back, uncounted; return how many there were.

        With *leaving* the worker ends.
        """
        kept, total = [lease.message for lease in held], 0
        while returned := self._scripts.run(
            "give_back", self.worker, MOST_LEASED_AT_ONCE, int(leaving), *kept
        ):
            total += returned
        return total

    def heartbeat(self) -> bool:
        """Keep the leases of this worker; return False when it was silent for too long.

        Its calls may then have gone to others.
        """
        return bool(self._scripts.run("heartbeat", self.worker, self._lease_ms, self._info))

    def recover(self) -> int:
        """Bring back, and count, calls that a broken or deleted key would keep for ever."""
        recovered, part, cursor = 0, 1, b"0"
        while part:  # the queue may be of any length, and a script holds up all others
            arguments = (self._lease_ms, MOST_LEASED_AT_ONCE, part, cursor)
            found, part, cursor = self._scripts.run("recover", *arguments)
            recovered += found
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

    def close(self) -> None:
        """Close the connections of the client, where it belongs to nobody else."""
        self.server.close()

    def counts(self) -> QueueCounts:
        """Return how much is in the queue."""
        return QueueCounts.of(self._scripts.run("counts"))

    def clear(self) -> None:
        """Delete the queue with all that belongs to it, except the messages of producers."""
        self.server.unlink(*self.keys[1:])

    def __len__(self) -> int:
        return self.counts().calls

    def _is_poison_candidate(self, lease: Lease) -> bool:
        return not lease.refusal and lease.crash_count >= self._poison_crashes

    def _read_lease(
        self, token: str, message: bytes, attempt: int, score: bytes, crash_count: int
    ) -> Lease:
        lease = Lease(message, token, attempt, None, read_priority(score), crash_count)
        try:
            call = ApiCall.decode(message)
            check_operation(call, self._operations)
        except MalformedMessageError as error:
            lease.refusal = str(error)
            return lease
        lease.call = call
        if attempt > self._max_attempts:
            lease.refusal = f"tried {attempt - 1} times without success"
            if crash_count:
                lease.refusal += f"; {crash_count} of the workers that tried fell silent"
        return lease


def open_queue(settings: BaseSettings, spider_name: str) -> LeaseQueue:
    """Return the queue of a spider; credentials of the platform are not needed.

    Raises:
        ConfigurationError: REDIS_URL is empty or not a valid URL.
    """
    if not read_setting(settings, "REDIS_URL"):
        raise ConfigurationError(
            "REDIS_URL is empty: set it to the Redis of your workers, such as redis://localhost/0, "
            "or run scrapy up --write"
        )
    client = connection.from_settings(settings)
    queue_key = settings.get("SCHEDULER_QUEUE_KEY") or QUEUE_KEY
    return LeaseQueue(client, SimpleNamespace(name=spider_name), queue_key)


def _packed_priority(priority: int | None) -> int | Literal[False]:
    return False if priority is None else bounded_priority(priority)


def _batches(leases: Iterable[Lease]) -> Iterator[list[Lease]]:
    batch: list[Lease] = []
    size = 0
    for lease in leases:
        batch.append(lease)
        size += 1 + len(lease.children)
        if size >= SETTLED_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
