"""The calls that a worker has leased: those in stock, and how many are in hand."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from ali1688_spider.http import ApiRequest
from ali1688_spider.scheduling.leased_calls import LeasedCall

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Entry: TypeAlias = LeasedCall | ApiRequest

SECONDS_IN_HAND = 3.0
"""Where the rate is limited, as many calls are in hand as may be made in so much time: enough for
slow answers, and a call with a higher priority does not wait longer."""


class Stock:
    """Leased calls that are not begun yet, and a count of those that are: in hand.

    Args:
        most_in_hand: How many calls may be in hand.
        wanted: How many leased calls should be in stock.

    Attributes:
        in_hand: How many calls are begun and not settled.
    """

    def __init__(self, most_in_hand: int, wanted: int) -> None:
        self.in_hand = 0
        self._most_in_hand = most_in_hand
        self._wanted = wanted
        self._entries: deque[Entry] = deque()
        self._leases = 0

    @classmethod
    def sized(cls, concurrency: int, qps: float) -> Stock:
        """Return the stock of a worker.

        What lies here waits, goes to others only when this worker ends, and is passed by no call of
        a higher priority: so it is small where the rate is.

        Args:
            concurrency: How many requests run at the same time.
            qps: Calls per second of all workers; 0 for no limit.
        """
        if not qps:
            return cls(concurrency, 2 * concurrency)
        most_in_hand = min(concurrency, math.ceil(SECONDS_IN_HAND * qps))
        return cls(most_in_hand, min(2 * concurrency, math.ceil(qps) + 1))

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def missing(self) -> int:
        """How many leased calls are wanted."""
        return max(0, self._wanted - self._leases)

    @property
    def is_low(self) -> bool:
        """Whether more leased calls should be fetched at once."""
        return self._leases <= self._wanted // 2

    def add(self, leases: Iterable[LeasedCall]) -> None:
        """Put leased calls into stock, those of a higher priority before those of a lower one."""
        last = self._entries[-1].priority if self._entries else None
        for lease in leases:
            self._entries.append(lease)
            self._leases += 1
        if last is not None and any(entry.priority > last for entry in self._entries):
            self._entries = deque(sorted(self._entries, key=lambda entry: -entry.priority))

    def put_back(self, request: ApiRequest) -> None:
        """Put a call that was in hand before all others, to be made once more."""
        self.in_hand -= 1
        self._entries.appendleft(request)

    def take(self) -> Entry | None:
        """Return the next call, which is in hand from now on; None when enough are, or none is."""
        if not self._entries or self.in_hand >= self._most_in_hand:
            return None
        self.in_hand += 1
        entry = self._entries.popleft()
        self._leases -= isinstance(entry, LeasedCall)
        return entry

    def settled(self) -> None:
        """Note that a call in hand is settled."""
        self.in_hand -= 1

    def remove(self, messages: Collection[bytes] | None = None) -> list[LeasedCall]:
        """Take leased calls out of the stock, those of *messages* or all; return them."""
        removed = [
            entry
            for entry in self._entries
            if isinstance(entry, LeasedCall) and (messages is None or entry.message in messages)
        ]
        gone = set(map(id, removed))
        self._entries = deque(entry for entry in self._entries if id(entry) not in gone)
        self._leases -= len(removed)
        return removed
