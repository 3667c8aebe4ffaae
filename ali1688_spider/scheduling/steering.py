"""What an operator sees of a queue and does to it: state, next calls, a pause, the end of calls."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ali1688_spider.redis_server import printable
from ali1688_spider.scheduling.lease import milliseconds, read_priority, to_json

if TYPE_CHECKING:
    from ali1688_spider.redis_server import LuaScripts


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
    def of(cls, reply: list[int]) -> QueueCounts:
        """Read a script's reply."""
        messages, ready, delayed, leased, next_due = reply
        return cls(messages, ready, delayed, leased, seconds_of(next_due))

    @property
    def calls(self) -> int:
        """Calls in the queue, whatever their state."""
        return self.ready + self.delayed + self.leased


@dataclass(frozen=True, slots=True)
class Pause:
    """Why the workers of a queue take no new leases.

    Attributes:
        by: Who paused it, and where.
        reason: In that person's words; may be empty.
        since: When (ISO 8601, UTC, in seconds); empty when unknown.
        until: When it ends by itself; empty when it does not.
    """

    by: str = "somebody"
    reason: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, text: bytes) -> Pause | None:
        """Read what is in Redis, which anybody may have written; None when there is nothing."""
        if not text:
            return None
        values = _read_object(text)
        names = {"by", "reason", "since", "until"} & values.keys()
        return cls(**{name: printable(values[name]) for name in names if values[name]})

    def __str__(self) -> str:
        until = f" until {self.until}" if self.until else ""
        reason = f": {self.reason}" if self.reason else ""
        return f"paused by {self.by}{until}{reason}"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker of a queue.

    Attributes:
        name: ``host:pid``, or its number when that is unknown.
        host: The machine; empty when unknown.
        pid: Its process there; 0 when unknown.
        leased: How many calls it works on.
        last_heard: Seconds since it was last heard of; None when unknown.
        is_alive: Whether it was heard of in time to keep its leases.
    """

    name: str
    host: str
    pid: int
    leased: int
    last_heard: float | None
    is_alive: bool


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The state of a queue.

    Attributes:
        oldest_waiting: For how many seconds the oldest call that may be made has waited, to the
            minute; None when none does.
        pause: Why no leases are taken; None when they are.
        workers: Those that are alive, and those whose leases others have not taken over yet.
        overdue: Delayed calls that may be made by now: the next worker finds them ready.
    """

    counts: QueueCounts
    oldest_waiting: float | None
    pause: Pause | None
    workers: tuple[WorkerStatus, ...]
    overdue: int = 0

    @property
    def waiting(self) -> int:
        """Calls and messages that may be worked on now."""
        return self.counts.ready + self.overdue + self.counts.messages


@dataclass(frozen=True, slots=True)
class WaitingCall:
    """A call that waits.

    Attributes:
        message: The call as it stands in the queue.
        priority: Its priority.
        attempts: How often it was tried.
        due_in: Seconds until it may be made; 0 when it may be now.
    """

    message: bytes
    priority: int
    attempts: int
    due_in: float


class QueueSteering:
    """What an operator sees of one queue and does to it; each method is one script in Redis."""

    def __init__(self, scripts: LuaScripts) -> None:
        self._scripts = scripts

    def status(self) -> QueueStatus:
        """Return the state of the queue."""
        counts, waited, pause, _, workers, overdue = self._scripts.run("status")
        parts = (workers[index : index + 4] for index in range(0, len(workers), 4))
        return QueueStatus(
            QueueCounts.of(counts),
            seconds_of(waited),
            Pause.of(pause),
            tuple(_worker(*part) for part in parts),
            overdue,
        )

    def pause(self, by: str, reason: str = "", seconds: float = 0.0) -> Pause:
        """Have workers take no new leases, for some *seconds* (0: until :meth:`resume`)."""
        now = datetime.now(UTC)
        until = _time(now + timedelta(seconds=seconds)) if seconds else ""
        pause = Pause(printable(by), printable(reason), _time(now), until)
        values = {"by": pause.by, "reason": pause.reason, "since": pause.since, "until": until}
        self._scripts.run("pause", to_json(values), milliseconds(seconds))
        return pause

    def resume(self) -> bool:
        """End a pause; return whether there was one."""
        return bool(self._scripts.run("pause", "", 0))

    def peek(self, limit: int) -> list[WaitingCall]:
        """Return the calls that come next, at most *limit*: ready ones, then the delayed ones."""
        reply = self._scripts.run("peek", limit)
        parts = (reply[index : index + 4] for index in range(0, len(reply), 4))
        return [
            WaitingCall(message, read_priority(score), attempts, due / 1000)
            for message, score, attempts, due in parts
        ]

    def remove(self, messages: Sequence[bytes]) -> int:
        """Take calls out of the queue, unless they are leased; return how many."""
        removed: int = self._scripts.run("remove", *messages)
        return removed

    def end_leases(self) -> list[bytes]:
        """Let the calls that are leased end without being queued again, nor what they lead to.

        Returns:
            These calls. One that is pushed from now on is queued as ever.
        """
        leased: list[bytes] = self._scripts.run("end_leases")
        return leased


def worker_info(lease_seconds: float) -> bytes:
    """Return what a worker tells of itself."""
    lease_ms = milliseconds(lease_seconds)
    return to_json({"host": socket.gethostname(), "pid": os.getpid(), "lease_ms": lease_ms})


def _worker(worker: bytes, left: int, leased: int, text: bytes) -> WorkerStatus:
    info = _read_object(text)
    host, pid, lease_ms = (info.get(name) for name in ("host", "pid", "lease_ms"))
    if not (isinstance(host, str) and isinstance(pid, int) and isinstance(lease_ms, int)):
        name = worker.decode(errors="backslashreplace")
        return WorkerStatus(printable(name), "", 0, leased, None, left > 0)
    heard = max(0.0, (lease_ms - left) / 1000)
    host = printable(host)
    return WorkerStatus(f"{host}:{pid}", host, pid, leased, heard, left > 0)


def _read_object(text: bytes) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def seconds_of(ms: int) -> float | None:
    """Return what a script's milliseconds are; None for -1, which stands for nothing."""
    return ms / 1000 if ms >= 0 else None
