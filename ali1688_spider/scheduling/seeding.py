"""Puts the calls that a spider begins with into the queue, once for all workers together."""

from __future__ import annotations

import logging
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from ali1688_spider.exceptions import Ali1688Error
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

    Args:
        queue: The queue.
        digest: Name of the source; None when its calls belong to no crawl that could be joined.
    """

    def __init__(self, queue: LeaseQueue, digest: str | None) -> None:
        self._queue = queue
        self._crawls: Crawls = queue.crawls
        self._digest = digest
        self._waiting: deque[QueueEntry] = deque()
        self._queued: deque[QueueEntry] = deque(maxlen=REMEMBERED)
        self._cursor = 0  # index of the first that waits
        self._skip = 0
        self._source_ended = False
        self._complete = False
        self.finished = False

    @property
    def full(self) -> bool:
        """Whether so many entries wait that the source should pause."""
        return len(self._waiting) >= MOST_WAITING

    @property
    def has_work(self) -> bool:
        """Whether something waits to be told to Redis."""
        return bool(self._waiting) or (self._source_ended and not self._complete)

    def begin(self, process_age: float) -> Crawl:
        """Start or join the crawl; this process began *process_age* seconds ago."""
        if self._digest is None:
            return Crawl("new", 0)
        crawl = self._crawls.begin(self._digest, process_age)
        self._cursor = self._skip = crawl.cursor
        self.finished = crawl.status == "finished"
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

    def flush(self) -> None:
        """Queue what waits; at the end of the source say that it is complete."""
        # Others may be added meanwhile.
        ended = self._source_ended
        while self._waiting:
            batch = list(islice(self._waiting, AT_ONCE))
            if not self._queue_batch(batch):
                continue
            for _ in batch:
                self._queued.append(self._waiting.popleft())
            self._cursor += len(batch)
        if not ended or self._complete:
            return
        if self._digest is None:
            self._complete = True
        else:
            cursor = self._crawls.end_source(self._digest, self._cursor)
            self._complete = not self._went_back(cursor)

    def check_finished(self) -> bool:
        """Return whether every call of the crawl is done."""
        if self._digest is not None and self._complete and not self.finished:
            progress = self._crawls.progress(self._digest)
            self.finished = progress is None or progress.finished
        return self.finished

    def _queue_batch(self, batch: list[QueueEntry]) -> bool:
        """Queue the first entries that wait; return False when there are others to queue first."""
        if self._digest is None:
            self._queue.push(batch)
            return True
        seeded = self._crawls.seed(self._digest, self._cursor, batch)
        return not self._went_back(seeded.cursor if seeded else None)

    def _went_back(self, cursor: int | None) -> bool:
        """Take up again the entries that Redis forgot; return whether there are any."""
        cursor = cursor or 0
        lost = self._cursor - cursor
        if lost <= 0:
            return False
        if lost > len(self._queued):
            raise Ali1688Error(
                f"Redis lost the crawl's entries from number {cursor + 1} on: "
                "start the crawl again when it is done, they will be collected then"
            )
        logger.warning("Redis lost the last %d entries of the crawl; they are queued again", lost)
        for _ in range(lost):
            self._waiting.appendleft(self._queued.pop())
        self._cursor = cursor
        if cursor == 0 and self._digest is not None:
            self._crawls.begin(self._digest, 0.0)
        return True
