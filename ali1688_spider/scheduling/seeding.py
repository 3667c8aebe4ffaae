"""Puts the calls that a spider begins with into the queue, once for all workers together."""

from __future__ import annotations

import logging
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from ali1688_spider.scheduling.crawls import Crawl

if TYPE_CHECKING:
    from ali1688_spider.scheduling.crawls import Crawls
    from ali1688_spider.scheduling.entries import QueueEntry
    from ali1688_spider.scheduling.queue import LeaseQueue

logger = logging.getLogger(__name__)

MOST_WAITING = 4000
AT_ONCE = 1000
REMEMBERED = 20_000
"""Entries kept after they were queued, in case that Redis crashes and loses its last second."""


class Seeding:
    """The part of one worker in queueing the source of a crawl.

    All workers with the same source read it in the same order; who is first queues an entry, for
    the others it is done. The methods that talk to Redis block.

    Redis may forget what it was given. The worker notices when it queues the next entries, and when
    nothing is left to do: then it queues the forgotten ones again. When they are more than it
    remembers, the source has to be read again.

    Args:
        queue: The queue.
        digest: Name of the source; None when its calls belong to no crawl that could be joined.
        process_age: Seconds since this process started.

    Attributes:
        finished: Whether every call of the crawl is done.
        forgotten_from: Index of the first entry that has to be read from the source again, since
            Redis forgot more than is remembered here; None while nothing has.
    """

    def __init__(self, queue: LeaseQueue, digest: str | None, process_age: float = 0.0) -> None:
        self._queue = queue
        self._crawls: Crawls = queue.crawls
        self._digest = digest
        self._started_at = time.monotonic() - process_age
        self._waiting: deque[QueueEntry] = deque()
        self._queued: deque[QueueEntry] = deque(maxlen=REMEMBERED)
        self._cursor = 0  # index of the first that waits
        self._skip = 0
        self._source_ended = False
        self._complete = False
        self.finished = False
        self.forgotten_from: int | None = None

    @property
    def full(self) -> bool:
        """Whether so many entries wait that the source should pause."""
        return len(self._waiting) >= MOST_WAITING

    @property
    def has_work(self) -> bool:
        """Whether something waits to be told to Redis."""
        return bool(self._waiting) or (self._source_ended and not self._complete)

    def begin(self) -> Crawl:
        """Start or join the crawl."""
        if self._digest is None:
            return Crawl("new", 0)
        crawl = self._begin(self._digest)
        self._cursor = self._skip = crawl.cursor
        return crawl

    def add(self, entry: QueueEntry) -> bool:
        """Take the next entry of the source; return whether it still has to be queued."""
        if self._skip > 0:
            self._skip -= 1
            return False
        self._waiting.append(entry)
        return True

    def end(self) -> None:
        """Note that the source has no more entries."""
        self._source_ended = True

    def rewind(self) -> None:
        """Begin the source anew, of which all entries are given to :meth:`add` again."""
        assert self.forgotten_from is not None
        self._waiting.clear()
        self._queued.clear()
        self._cursor = self._skip = self.forgotten_from
        self._source_ended = False
        self.forgotten_from = None

    def flush(self) -> None:
        """Queue what waits; at the end of the source say that it is complete."""
        # Others may be added meanwhile.
        ended = self._source_ended
        while self._waiting and self.forgotten_from is None:
            batch = list(islice(self._waiting, AT_ONCE))
            if not self._queue_batch(batch):
                continue
            for _ in batch:
                self._queued.append(self._waiting.popleft())
            self._cursor += len(batch)
        if not ended or self._complete or self.forgotten_from is not None:
            return
        if self._digest is None:
            self._complete = True
        else:
            cursor = self._crawls.end_source(self._digest, self._cursor)
            self._complete = not self._went_back(self._digest, cursor)

    def check_finished(self) -> bool:
        """Return whether every call of the crawl is done, as far as Redis has forgotten none."""
        if self._digest is not None and self._complete and not self.finished:
            progress = self._crawls.progress(self._digest, self._age)
            self.finished = progress is not None and progress.finished
            if progress is None or not progress.complete:
                # Another worker may have begun it again, and may not have come to its end.
                self._complete = False
                self._went_back(self._digest, self._begin(self._digest).cursor)
        return self.finished

    @property
    def _age(self) -> float:
        return time.monotonic() - self._started_at

    def _begin(self, digest: str) -> Crawl:
        crawl = self._crawls.begin(digest, self._age)
        self.finished = crawl.status == "finished"
        return crawl

    def _queue_batch(self, batch: list[QueueEntry]) -> bool:
        """Queue the first entries that wait; return False when there are others to queue first."""
        if self._digest is None:
            self._queue.push(batch)
            return True
        seeded = self._crawls.seed(self._digest, self._cursor, batch)
        return not self._went_back(self._digest, seeded.cursor if seeded else None)

    def _went_back(self, digest: str, cursor: int | None) -> bool:
        """Take up again the entries that Redis forgot; return whether there are any."""
        is_unknown = cursor is None
        if cursor is None:
            cursor = self._begin(digest).cursor
        lost = self._cursor - cursor
        if self.finished or lost <= 0:
            return is_unknown and not self.finished
        if lost > len(self._queued):
            self.forgotten_from = cursor
            return True
        logger.warning("Redis lost the last %d entries of the crawl; they are queued again", lost)
        for _ in range(lost):
            self._waiting.appendleft(self._queued.pop())
        self._cursor = cursor
        return True
