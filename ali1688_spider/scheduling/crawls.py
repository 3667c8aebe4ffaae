"""Crawls over a fixed source of calls, shared by the workers that were started with the same one.

Workers that start with the same source share its calls; one that is started again goes on where the
crawl is; once the crawl is finished, a worker that starts afterwards begins a new one. A crawl is
named by a digest of its source. Nobody has to delete anything: what nobody touches is forgotten.

Calls that a crawl led to, and their retries, belong to it. A call that two crawls want is made once
and belongs to the crawl that asked for it last. At most 255 crawls run at a time with a count of
their own; one more waits until the whole queue is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ali1688_spider.scheduling.entries import milliseconds, pack_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ali1688_spider.scheduling.entries import QueueEntry
    from ali1688_spider.scheduling.scripts import LuaScripts

REMEMBERED_SECONDS = 7 * 86400.0
ENTRIES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Crawl:
    """A crawl as a worker finds it.

    Attributes:
        status: ``new``; ``running``: others are at it, or died at it; ``finished`` by workers
            that were there while this one started, so that nothing is left to do.
        cursor: How many entries of the source are queued already.
    """

    status: Literal["new", "running", "finished"]
    cursor: int


@dataclass(frozen=True, slots=True)
class CrawlProgress:
    """How far a crawl is.

    Attributes:
        complete: Whether the whole source is queued.
        pending: Calls of the crawl that are queued or being made.
    """

    complete: bool
    pending: int

    @property
    def finished(self) -> bool:
        """Whether all is done."""
        return self.complete and self.pending == 0


@dataclass(frozen=True, slots=True)
class Seeded:
    """How far the source of a crawl is queued.

    Attributes:
        cursor: How many of its entries are queued. Beyond the given ones, others are ahead; before
            the first given one, Redis lost its last steps, and the source has to be queued again
            from there.
        added: How many of the given entries were not queued before.
    """

    cursor: int
    added: int


class Crawls:
    """The crawls of one queue.

    Args:
        scripts: The queue's scripts.
        remembered_seconds: How long a crawl is remembered that nobody touches.
    """

    def __init__(self, scripts: LuaScripts, remembered_seconds: float = REMEMBERED_SECONDS) -> None:
        self._scripts = scripts
        self._remembered_ms = milliseconds(remembered_seconds)

    def begin(self, digest: str, process_age: float) -> Crawl:
        """Start or join the crawl of the source *digest*.

        Args:
            digest: Name of the source; the same for the same entries in the same order.
            process_age: Seconds since this process started: a crawl that was finished before that
                is an earlier one.
        """
        status, cursor = self._scripts.run(
            "begin_crawl", digest, milliseconds(process_age), self._remembered_ms
        )
        return Crawl(status.decode(), cursor)

    def seed(self, digest: str, first: int, entries: Sequence[QueueEntry]) -> Seeded | None:
        """Queue the entries of the source from index *first* on, those that nobody queued yet.

        Returns:
            How far it is; None when the crawl is unknown and has to be begun again.
        """
        cursor, total = -1, 0
        for index in range(0, max(1, len(entries)), ENTRIES_AT_ONCE):
            batch = pack_entries(entries[index : index + ENTRIES_AT_ONCE])
            cursor, added = self._scripts.run("seed_crawl", digest, first + index, batch)
            total += added
        return None if cursor < 0 else Seeded(cursor, total)

    def end_source(self, digest: str, total: int) -> int | None:
        """Say that the source has *total* entries, all of them seeded.

        Returns:
            The cursor. Where it is below *total*, the rest has to be seeded first, and nothing was
            changed. None when the crawl is unknown and has to be begun again.
        """
        cursor: int = self._scripts.run("end_crawl_source", digest, total)
        return None if cursor < 0 else cursor

    def progress(self, digest: str, process_age: float | None = None) -> CrawlProgress | None:
        """Return how far the crawl is; None when it is unknown and has to be begun again.

        A crawl of which calls have vanished from the queue is unknown from then on.

        Args:
            digest: Name of the source.
            process_age: Seconds since this process started; a crawl that was finished before that
                is none that it could know of. None when any is meant.
        """
        age = "" if process_age is None else milliseconds(process_age)
        answer = self._scripts.run("crawl_progress", digest, age)
        return CrawlProgress(bool(answer[0]), answer[1]) if answer else None
