"""What the queue answers to a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ali1688_spider.scheduling.leased_calls import LeasedCall, Outcome, RefusedCall


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How much is in the queue.

    Attributes:
        messages: Messages of producers that no worker has queued yet.
        ready: Calls that may be made now.
        delayed: Calls that are made later.
        leased: Calls that workers work on.
        next_due: Seconds until the next delayed call may be made; None when there is none.
    """

    messages: int
    ready: int
    delayed: int
    leased: int
    next_due: float | None

    @classmethod
    def of(cls, answer: list[int]) -> QueueCounts:
        """Read a script's answer."""
        messages, ready, delayed, leased, next_due = answer
        return cls(messages, ready, delayed, leased, next_due / 1000 if next_due >= 0 else None)

    @property
    def calls(self) -> int:
        """Calls in the queue, whatever their state."""
        return self.ready + self.delayed + self.leased


@dataclass(frozen=True, slots=True)
class LeaseAnswer:
    """What a worker got.

    Attributes:
        calls: Calls to make, the first one first.
        refused: Calls to record as failed.
        reclaimed: How many calls of silent workers went back into the queue.
        lost: Messages of calls that this worker held until now and that are no longer its.
        was_silent: Whether this worker was silent for too long, so that they went to others;
            otherwise somebody took them out of the queue, or Redis lost them.
        counts: What the queue holds now.
    """

    calls: tuple[LeasedCall, ...]
    refused: tuple[RefusedCall, ...]
    reclaimed: int
    lost: frozenset[bytes]
    was_silent: bool
    counts: QueueCounts


@dataclass(frozen=True, slots=True)
class SettleAnswer:
    """What became of the outcomes.

    Attributes:
        added: How many of the children were not queued before.
        stale: Outcomes that changed nothing, since the lease had gone to somebody else.
    """

    added: int
    stale: tuple[Outcome, ...]
