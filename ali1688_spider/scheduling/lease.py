"""A call as it is queued, and as a worker leases it; and what keeps leases alive."""

from __future__ import annotations

import bisect
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Literal, TypeAlias

from redis.exceptions import RedisError

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.shutdown import CrawlClosingError
from ali1688_spider.storage.database_errors import StoreUnavailableError

if TYPE_CHECKING:
    from ali1688_spider.gateway.calls import ApiCall
    from ali1688_spider.scheduling.queue import LeaseQueue

logger = logging.getLogger(__name__)

Outcome: TypeAlias = Literal["ack", "repeat", "retry", "release"]
State: TypeAlias = Literal["buffered", "in flight", "refused", "settled"]
Packed: TypeAlias = tuple[str, int, int]
PackedLease: TypeAlias = tuple[str, str, int, int, list[Packed]]

HIGHEST_PRIORITY = 1000
"""Priorities reach from minus this to this: the score of a call has 53 bits."""

MOST_UNSTORED = 200
"""Products of a worker that wait for the database, or are being written, beside the calls on the
wire: the next calls are made meanwhile, and many products are one write."""

SECONDS_IN_FLIGHT = 3.0
"""Where the rate is limited, as many calls are in flight as may be made in this time: enough for
slow responses, and a call with a higher priority does not wait longer."""
HEARTBEAT_RETRY_SECONDS = 1.0

_ACTIONS = {"ack": "done", "repeat": "repeat", "retry": "back", "release": "back"}
_BACKOFF = Backoff()


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """A call to be queued.

    Attributes:
        call: The call.
        priority: Higher ones go first; beyond ±1000 is as good as ±1000.
        delay: Seconds until the call may be made.
    """

    call: ApiCall
    priority: int = 0
    delay: float = 0.0

    def pack(self) -> Packed:
        """Return what the scripts take: message, priority, delay in ms."""
        return self.call.encode(), bounded_priority(self.priority), milliseconds(self.delay)


def bounded_priority(priority: int) -> int:
    """Return the priority within the bounds that a score has room for."""
    return max(-HIGHEST_PRIORITY, min(HIGHEST_PRIORITY, priority))


def pack_entries(entries: Iterable[QueueEntry]) -> bytes:
    """Return the entries as the scripts take them."""
    return to_json([entry.pack() for entry in entries])


def read_priority(score: bytes) -> int:
    """Return the priority that a score of the queue has, see :mod:`~.scheduling.keys`."""
    return -(int(score) >> 42)


def to_json(value: object) -> bytes:
    """Return *value* as compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def milliseconds(seconds: float) -> int:
    """Return *seconds* in whole milliseconds, never negative."""
    return max(0, round(seconds * 1000))


@dataclass(slots=True, eq=False)
class Lease:
    """A call that is this worker's to make.

    It is settled once: the first of :meth:`ack`, :meth:`retry`, :meth:`release` and :meth:`fail`
    counts, later ones change nothing. The calls that it led to are queued in the step that
    acknowledges it.

    Attributes:
        message: The call as it stands in the queue.
        token: Proves that the lease is still this one: when it was given, in microseconds since
            1970.
        attempt: Which try of the call this is, from 1.
        call: The call; None when the entry of the queue is none.
        priority: Its priority.
        crash_count: How many workers fell silent while they had leased it.
        refusal: Why the call must not be made; empty when it may be.
        is_begun: Whether it was handed out to be made.
        children: Calls that it led to.
        on_settled: Called with the lease when it is settled.
        outcome: How it was settled; None until then.
        delay: Seconds until the call may be leased again.
    """

    message: bytes
    token: str
    attempt: int
    call: ApiCall | None
    priority: int = 0
    crash_count: int = 0
    refusal: str = ""
    is_begun: bool = False
    children: list[QueueEntry] = field(default_factory=list)
    on_settled: Callable[[Lease], object] = lambda _: None
    outcome: Outcome | None = None
    delay: float = 0.0
    _attempts_kept: int = 0
    _unfinished_items: int = 0
    _output_ended: bool = False

    @property
    def state(self) -> State:
        """Refused ones are recorded, then acknowledged; settled ones Redis may not know yet."""
        if self.outcome is not None:
            return "settled"
        if self.refusal:
            return "refused"
        return "in flight" if self.is_begun else "buffered"

    def begin_item(self) -> None:
        """Note that the response led to an item, which is on its way through the pipelines."""
        self._unfinished_items += 1

    def end_item(self) -> None:
        """Note that an item has left the pipelines: stored, or rejected and kept."""
        self._unfinished_items -= 1
        self._ack_if_handled()

    def end_output(self) -> None:
        """Note that the response leads to nothing further."""
        self._output_ended = True
        self._ack_if_handled()

    def ack(self) -> None:
        """Settle the call: all that it led to is stored, or queued as its children."""
        self._settle("ack")

    def retry(self, delay: float | None = None, *, counted: bool = True) -> None:
        """Settle the call by queueing its next try, in *delay* seconds; None backs off.

        Only *counted* tries count among the limited number that a call has.
        """
        if delay is None:
            delay = _BACKOFF.delay(self.attempt)
        self._settle("retry", delay, self.attempt if counted else self.attempt - 1)

    def release(self) -> None:
        """Give the call back unmade, to its old place, as if it had not been leased."""
        self._settle("release", attempts_kept=self.attempt - 1)

    def fail(self, error: BaseException | None) -> None:
        """Settle a call that ended in an *error*; known errors have already settled it.

        That the crawl ends, or that the database is away, is no try of the call.
        """
        match error:
            case CrawlClosingError():
                self.release()
            case StoreUnavailableError():
                self.retry(counted=False)
            case _:
                self.retry()

    def repeat(self, delay: float) -> None:
        """Have an acknowledged call queued again in *delay* seconds, without a priority."""
        self.outcome, self.delay = "repeat", delay

    def pack(self) -> PackedLease:
        """Return what the script ``settle`` takes of a settled lease."""
        assert self.outcome is not None
        is_handled = self.outcome in {"ack", "repeat"}
        children = [child.pack() for child in self.children] if is_handled else []
        action, delay = _ACTIONS[self.outcome], milliseconds(self.delay)
        return self.token, action, delay, self._attempts_kept, children

    def _ack_if_handled(self) -> None:
        if self._output_ended and self._unfinished_items == 0:
            self.ack()

    def _settle(self, outcome: Outcome, delay: float = 0.0, attempts_kept: int = 0) -> None:
        if self.outcome is None:
            self.outcome, self.delay, self._attempts_kept = outcome, delay, attempts_kept
            self.on_settled(self)


class HeldLeases:
    """The leases of one worker, from Redis's reply until Redis knows how each was settled.

    Those of one state are found, and counted, without a walk through the others.

    Attributes:
        buffered: Those to be handed out, the next one first: by priority, then as they came.
        refused: Those whose calls must not be made.
        settled: Those that Redis does not know of yet.
    """

    def __init__(self) -> None:
        self._by_message: dict[bytes, Lease] = {}
        self.buffered: list[Lease] = []
        self.refused: dict[Lease, None] = {}
        self.settled: dict[Lease, None] = {}

    def add(self, lease: Lease) -> None:
        """Take over a new lease; of a call that was leased before, it takes that one's place."""
        if (lost := self._by_message.get(lease.message)) is not None:
            self._leave_state(lost)
        self._by_message[lease.message] = lease
        if lease.refusal:
            self.refused[lease] = None
        else:
            bisect.insort(self.buffered, lease, key=lambda each: -each.priority)

    def next_together(self, most_products: int) -> list[Lease]:
        """Return what one call may be made for: a search, or up to *most_products* products.

        Products go together whose attempt is the same: the call that fails is that of all.
        """
        if most_products == 1 or not self.buffered:
            return self.buffered[:1]
        attempt = self.buffered[0].attempt
        products = takewhile(_is_for_product, self.buffered)
        together = islice((each for each in products if each.attempt == attempt), most_products)
        return list(together) or self.buffered[:1]

    def hand_out(self, leases: Collection[Lease]) -> None:
        """Note that the calls of these, which were buffered, are made from now on."""
        for lease in leases:
            self.buffered.remove(lease)
            lease.is_begun = True

    def settle(self, lease: Lease) -> bool:
        """Note that a lease is settled; return False when this worker no longer has it."""
        if self._by_message.get(lease.message) is not lease:
            return False
        self._leave_state(lease)
        self.settled[lease] = None
        return True

    def remove(self, leases: Iterable[Lease]) -> None:
        """Forget leases that Redis does not know any more as this worker's."""
        for lease in leases:
            self._leave_state(lease)
            del self._by_message[lease.message]

    def clear(self) -> None:
        """Forget all."""
        self._by_message.clear()
        self.buffered.clear()
        self.refused.clear()
        self.settled.clear()

    @property
    def in_flight(self) -> int:
        """How many are handed out and not settled."""
        return len(self) - len(self.buffered) - len(self.refused) - len(self.settled)

    def __len__(self) -> int:
        return len(self._by_message)

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._by_message.values())

    def _leave_state(self, lease: Lease) -> None:
        self.refused.pop(lease, None)
        self.settled.pop(lease, None)
        if not lease.is_begun and lease in self.buffered:
            self.buffered.remove(lease)


def _is_for_product(lease: Lease) -> bool:
    return lease.call is not None and lease.call.operation == "product"


def lease_limits(concurrency: int, qps: float, products_per_call: int = 1) -> tuple[int, int]:
    """Return how many leases of a worker may be in flight, and how many should be buffered.

    In flight are those of *concurrency* calls on the wire, which Scrapy limits, and products that
    wait for the database. What is buffered goes to others only when this worker ends: so it is few
    where *qps*, the calls per second of all workers, is low (0: no limit), and two calls' worth
    where calls ask for several products.
    """
    in_flight = products_per_call * concurrency + MOST_UNSTORED
    buffered = 2 * concurrency
    if qps:
        in_flight = min(in_flight, products_per_call * math.ceil(SECONDS_IN_FLIGHT * qps))
        buffered = min(buffered, math.ceil(qps) + 1)
    return in_flight, buffered if products_per_call == 1 else max(buffered, 2 * products_per_call)


class Heartbeat(threading.Thread):
    """Keeps a worker's leases alive, however busy its crawl is, and knows when they may be lost."""

    def __init__(self, queue: LeaseQueue, lease_seconds: float) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._queue = queue
        self._lease_seconds = lease_seconds
        self._stopped = threading.Event()
        self._confirmed_at = time.monotonic()

    @property
    def is_in_doubt(self) -> bool:
        """Whether leases may have run out without this worker knowing; the next lease tells."""
        return time.monotonic() - self._confirmed_at >= self._lease_seconds

    def confirm(self, asked_at: float) -> None:
        """Note that Redis, asked at that moment (``time.monotonic()``), knew of all leases."""
        self._confirmed_at = max(self._confirmed_at, asked_at)

    def beat(self) -> None:
        """Keep the leases; raises ``RedisError`` while Redis is away."""
        asked_at = time.monotonic()
        if self._queue.heartbeat() and not self.is_in_doubt:
            self.confirm(asked_at)

    def run(self) -> None:
        """Beat until stopped; while Redis is away, more often."""
        interval = self._lease_seconds / 4
        wait = interval
        while not self._stopped.wait(wait):
            try:
                self.beat()
                wait = interval
            except RedisError as error:
                logger.debug("No heartbeat: %s", error)
                wait = min(interval, HEARTBEAT_RETRY_SECONDS)

    def stop(self) -> None:
        """End the thread; a beat that is under way comes to its end."""
        self._stopped.set()
