"""A call as it is put into the queue."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ali1688_spider.gateway.calls import ApiCall

HIGHEST_PRIORITY = 1000
"""Priorities reach from minus this to this: the score of a call has 53 bits."""

Packed: TypeAlias = tuple[str, int, int]


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
        priority = max(-HIGHEST_PRIORITY, min(HIGHEST_PRIORITY, self.priority))
        return self.call.encode(), priority, milliseconds(self.delay)


def pack_entries(entries: Iterable[QueueEntry]) -> bytes:
    """Return the entries as the scripts take them: JSON in UTF-8."""
    return to_json([entry.pack() for entry in entries])


def to_json(value: object) -> bytes:
    """Return *value* as compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def milliseconds(seconds: float) -> int:
    """Return *seconds* in whole milliseconds, never negative."""
    return max(0, round(seconds * 1000))


def priority_of(score: int) -> int:
    """Return the priority of a call by its score in the queue."""
    return -(score >> 42)
