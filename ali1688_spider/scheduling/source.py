"""Crawls over a fixed source of calls, shared by the workers that were started with the same one.

Workers that start with the same source share its calls; one that is started again goes on where the
crawl is; once the crawl is finished, a worker that starts afterwards begins a new one. A crawl is
named by a digest of its source. Nobody has to delete anything: what nobody touches is forgotten.

Calls that a crawl led to, and their retries, belong to it. A call that two crawls want is made once
and belongs to the crawl that asked for it last. At most 255 crawls run at a time with a count of
their own; one more waits until the whole queue is empty.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

from scrapy.utils.asyncio import run_in_thread

from ali1688_spider.scheduling.lease import QueueEntry, milliseconds, pack_entries
from ali1688_spider.shutdown import CrawlClosingError

if TYPE_CHECKING:
    from ali1688_spider.redis_server import LuaScripts
    from ali1688_spider.scheduling.queue import LeaseQueue
    from ali1688_spider.spiders.base import ApiSpider

logger = logging.getLogger(__name__)

REMEMBERED_SECONDS = 7 * 86400.0
"""How long a crawl is remembered that nobody touches."""
ENTRIES_AT_ONCE = 1000
MOST_WAITING = 4000
REMEMBERED_ENTRIES = 20_000
"""Entries kept after they were queued, in case that Redis crashes and loses its last second."""


class Crawl(NamedTuple):
    """A crawl as a worker finds it.

    Attributes:
        status: ``new``; ``running``: others are at it, or died at it; ``finished`` by workers
            that were there while this one started, so that nothing is left to do.
        cursor: How many entries of the source are queued already.
    """

    status: Literal["new", "running", "finished"]
    cursor: int


class CrawlProgress(NamedTuple):
    """How far a crawl is.

    Attributes:
        complete: Whether the whole source is queued.
        pending: Calls of the crawl that are queued or being made.
    """

    complete: bool
    pending: int


class Crawls:
    """The crawls of one queue, each named by a digest of its source.

    ``process_age`` is for how many seconds this process runs: a crawl that was finished before it
    started is an earlier one.
    """

    def __init__(self, scripts: LuaScripts) -> None:
        self._scripts = scripts

    def begin(self, digest: str, process_age: float) -> Crawl:
        """Start or join a crawl."""
        status, cursor = self._scripts.run(
            "begin_crawl", digest, milliseconds(process_age), milliseconds(REMEMBERED_SECONDS)
        )
        return Crawl(status.decode(), cursor)

    def enqueue(
        self, digest: str, first: int, entries: Sequence[QueueEntry]
    ) -> tuple[int, int] | None:
        """Queue the entries of the source from index *first* on, those that nobody queued yet.

        Returns:
            The cursor, which is how many entries of the source are queued, and how many of these
            calls were not queued before. A cursor beyond the given entries says that others are
            ahead; one before *first*, that Redis lost its last steps, and the source has to be
            queued again from there. None when the crawl is unknown and has to be begun again.
        """
        cursor, total = -1, 0
        for index in range(0, max(1, len(entries)), ENTRIES_AT_ONCE):
            batch = pack_entries(entries[index : index + ENTRIES_AT_ONCE])
            cursor, added = self._scripts.run("enqueue_source", digest, first + index, batch)
            total += added
        return None if cursor < 0 else (cursor, total)

    def end_source(self, digest: str, total: int) -> int | None:
        """Say that the source has *total* entries, all of them queued; return the cursor.

        Where that is below *total*, the rest has to be queued first, and nothing was changed.
        """
        cursor: int = self._scripts.run("end_crawl_source", digest, total)
        return None if cursor < 0 else cursor

    def progress(self, digest: str, process_age: float | None = None) -> CrawlProgress | None:
        """Return how far the crawl is; None when it is unknown and has to be begun again.

        A crawl of which calls have vanished from the queue is unknown from then on, and so is an
        earlier one, unless *process_age* is None.
        """
        age = "" if process_age is None else milliseconds(process_age)
        reply = self._scripts.run("crawl_progress", digest, age)
        return CrawlProgress(bool(reply[0]), reply[1]) if reply else None


class CrawlSource:
    """The part of one worker in queueing the source of a crawl; what talks to Redis blocks.

    All workers with the same source read it in the same order; who is first queues an entry, for
    the others it is done.

    Redis may forget what it was given. The worker notices when it queues the next entries, and when
    nothing is left to do: then it queues the forgotten ones again. When they are more than it
    remembers, the source has to be read again. The *digest* is empty when there is no source, or
    its calls belong to no crawl that could be joined.

    Attributes:
        flushed: To be set after each :meth:`flush`: there may be room for more.
        is_broken: Whether the source cannot be read to its end.
        finished: Whether every call of the crawl is done.
        forgotten_from: Index of the first entry that has to be read from the source again, since
            Redis forgot more than is remembered here; None while nothing has.
    """

    def __init__(self, queue: LeaseQueue, digest: str, process_age: float = 0.0) -> None:
        self._queue = queue
        self._digest = digest
        self._started_at = time.monotonic() - process_age
        self._waiting: deque[QueueEntry] = deque()
        self._queued: deque[QueueEntry] = deque(maxlen=REMEMBERED_ENTRIES)
        self._cursor = 0  # index of the first that waits
        self._skip = 0
        self._source_ended = False
        self._complete = False
        self._reading: asyncio.Task[None] | None = None
        self.flushed = asyncio.Event()
        self.is_broken = False
        self.finished = False
        self.forgotten_from: int | None = None

    @property
    def has_work(self) -> bool:
        """Whether there is something to flush."""
        return bool(self._waiting) or (self._source_ended and not self._complete)

    def begin(self) -> Crawl:
        """Start or join the crawl."""
        crawl = self._begin() if self._digest else Crawl("new", 0)
        self._cursor = self._skip = crawl.cursor
        return crawl

    def start_reading(self, spider: ApiSpider, flush_soon: asyncio.Event) -> None:
        """Begin to take over the spider's ``all_calls()``; pause while many wait.

        *flush_soon* is set when the waiting entries should be flushed at once.
        """
        self._reading = asyncio.create_task(self._read(spider, flush_soon))

    async def stop_reading(self) -> None:
        """Return when nothing is read any more."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def read_again(self, spider: ApiSpider, flush_soon: asyncio.Event) -> bool:
        """Take over once more what Redis forgot; return whether that can be."""
        await self.stop_reading()
        assert self.forgotten_from is not None
        first = self.forgotten_from + 1
        if not await run_in_thread(spider.can_read_again):
            logger.error(
                "Redis lost what the crawl begins with from entry number %d on, and it cannot be "
                "read a second time: start the crawl again, with all of its entries",
                first,
            )
            self.is_broken = True
            return False
        logger.warning(
            "Redis lost what the crawl begins with from entry number %d on; it is read and queued "
            "again",
            first,
        )
        self.rewind()
        self.start_reading(spider, flush_soon)
        return True

    async def _read(self, spider: ApiSpider, flush_soon: asyncio.Event) -> None:
        try:
            async with aclosing(spider.all_calls()) as calls:
                async for call, priority in calls:
                    while len(self._waiting) >= MOST_WAITING:
                        self.flushed.clear()
                        flush_soon.set()
                        await self.flushed.wait()
                    self.add(QueueEntry(call, priority))
        except CrawlClosingError:
            return
        # Spiders of others may read anything here; what it was stands in the log, and the crawl
        # ends as incomplete instead of standing still.
        except Exception:
            logger.exception(
                "What the crawl begins with cannot be read to its end: start it again when it can"
            )
            self.is_broken = True
        else:
            self.end()
        flush_soon.set()

    def add(self, entry: QueueEntry) -> None:
        """Take over the next entry of the source, unless it is queued already."""
        if self._skip > 0:
            self._skip -= 1
        else:
            self._waiting.append(entry)

    def end(self) -> None:
        """Note that the source has no more entries."""
        self._source_ended = True

    def rewind(self) -> None:
        """Begin again with the source, of which all entries are added once more."""
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
            batch = list(islice(self._waiting, ENTRIES_AT_ONCE))
            if not self._enqueue(batch):
                continue
            for _ in batch:
                self._queued.append(self._waiting.popleft())
            self._cursor += len(batch)
        if ended and not self._complete and self.forgotten_from is None:
            self._complete = not self._digest or not self._went_back(
                self._queue.crawls.end_source(self._digest, self._cursor)
            )

    def check_finished(self) -> bool:
        """Return whether every call of the crawl is done, as far as Redis has forgotten none."""
        if self._digest and self._complete and not self.finished:
            progress = self._queue.crawls.progress(self._digest, self._age)
            self.finished = progress == (True, 0)
            if progress is None or not progress.complete:
                # Another worker may have begun it again, and may not have come to its end.
                self._complete = False
                self._went_back(self._begin().cursor)
        return self.finished

    @property
    def _age(self) -> float:
        return time.monotonic() - self._started_at

    def _begin(self) -> Crawl:
        crawl = self._queue.crawls.begin(self._digest, self._age)
        self.finished = crawl.status == "finished"
        return crawl

    def _enqueue(self, batch: list[QueueEntry]) -> bool:
        """Queue the first entries that wait; return False when there are others to queue first."""
        if not self._digest:
            self._queue.push(batch)
            return True
        enqueued = self._queue.crawls.enqueue(self._digest, self._cursor, batch)
        return not self._went_back(enqueued[0] if enqueued else None)

    def _went_back(self, cursor: int | None) -> bool:
        """Take up again the entries that Redis forgot; return whether there are any."""
        is_unknown = cursor is None
        if cursor is None:
            cursor = self._begin().cursor
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
