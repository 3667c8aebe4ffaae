"""Calls that a worker has leased, and how their leases end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ali1688_spider.scheduling.entries import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ali1688_spider.gateway.calls import ApiCall
    from ali1688_spider.scheduling.entries import Packed, QueueEntry

Action: TypeAlias = Literal["done", "back", "anew"]
PackedOutcome: TypeAlias = tuple[str, Action, int, int, tuple["Packed", ...]]


@dataclass(frozen=True, slots=True)
class LeasedCall:
    """A call that is this worker's to make.

    Attributes:
        message: The call as it stands in the queue.
        token: What proves that the lease is still this one.
        attempt: Which try of the call this is, from 1.
        call: The call.
        priority: Its priority.
        losses: How many workers fell silent while they had leased it.
    """

    message: bytes
    token: str
    attempt: int
    call: ApiCall
    priority: int = 0
    losses: int = 0


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """A leased entry of the queue that must not be made: to be recorded, then settled as done.

    Attributes:
        message: The entry as it stands in the queue.
        token: What proves that the lease is still this one.
        attempt: Which try this would have been, from 1.
        call: The call; None when the entry is none.
        reason: Why it is refused.
    """

    message: bytes
    token: str
    attempt: int
    call: ApiCall | None
    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a lease ends; made by :func:`done`, :func:`retry`, :func:`again` or :func:`release`.

    Attributes:
        lease: The lease.
        action: ``done``: leave the queue; ``back``: to the old place; ``anew``: as if just pushed.
        delay: Seconds until the call may be made again.
        attempts: Attempts that the call is queued with.
        children: Calls that this one led to, queued in the same step.
        released: Whether the call is given back unmade.
    """

    lease: LeasedCall | RefusedCall
    action: Action
    delay: float = 0.0
    attempts: int = 0
    children: tuple[QueueEntry, ...] = ()
    released: bool = False

    def pack(self) -> PackedOutcome:
        """Return what the script takes."""
        children = tuple(child.pack() for child in self.children)
        return self.lease.token, self.action, milliseconds(self.delay), self.attempts, children


def done(lease: LeasedCall | RefusedCall, children: Iterable[QueueEntry] = ()) -> Outcome:
    """Acknowledge the call: all that it led to is stored, or is queued as its *children*."""
    return Outcome(lease, "done", children=tuple(children))


def retry(lease: LeasedCall, delay: float, *, counted: bool = True) -> Outcome:
    """Make the call once more in *delay* seconds; uncounted, as if this try had not been."""
    return Outcome(lease, "back", delay, lease.attempt if counted else lease.attempt - 1)


def again(
    lease: LeasedCall | RefusedCall, delay: float, children: Iterable[QueueEntry] = ()
) -> Outcome:
    """Acknowledge the call and queue it anew, with no attempts, to be made in *delay* seconds."""
    return Outcome(lease, "anew", delay, children=tuple(children))


def release(lease: LeasedCall | RefusedCall) -> Outcome:
    """Give the call back unmade, to its old place, as if it had not been leased."""
    return Outcome(lease, "back", attempts=lease.attempt - 1, released=True)
