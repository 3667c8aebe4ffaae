"""``scrapy push``: queues products for the workers."""

from __future__ import annotations

import sys
import time
from itertools import islice
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

import ali1688_spider
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.project_command import ProjectCommand
from ali1688_spider.scheduling.entries import QueueEntry
from ali1688_spider.scheduling.producers import open_queue
from ali1688_spider.spiders.ids import IdentifierSource, place

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ali1688_spider.scheduling.queue import LeaseQueue

SPIDERS = ("product", "watch")
AT_ONCE = 5000


class Command(ProjectCommand):
    """Puts products into a spider's queue; those that are in it already are left as they are.

    A push of a file that was interrupted goes on where it was when it is started again.
    """

    def syntax(self) -> str:
        return "SPIDER [ID ...] [--file FILE] [--priority N]"

    def short_desc(self) -> str:
        return "Queue products for the workers"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument(
            "--file", default="", help="a file of one id or product URL a line; - = standard input"
        )
        parser.add_argument(
            "--priority", type=int, default=0, help="higher ones are made first (default: 0)"
        )

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if not args or args[0] not in SPIDERS:
            raise ConfigurationError(f"say for which spider: {' or '.join(SPIDERS)}")
        source = IdentifierSource(" ".join(args[1:]), opts.file)
        source.check()
        if not source:
            raise ConfigurationError("say which products: ids, or --file FILE")
        try:
            # A watch never ends, so its calls belong to no push that could be finished.
            resumable = args[0] != "watch"
            queue = open_queue(self.settings, args[0])
            pushing = Pushing(queue, source, opts.priority, resumable=resumable)
            pushing.run()
        except RedisError as error:
            raise ConfigurationError(
                f"Redis does not answer ({error}): check REDIS_URL and push again, what is queued "
                "already is not queued twice"
            ) from None
        if pushing.unreadable:
            raise ConfigurationError(
                f"{pushing.unreadable:,} lines, named above, are no product; the others are queued"
            )


class Pushing:
    """One push: reads the source lazily and queues it in batches.

    Attributes:
        unreadable: How many lines were no product.
    """

    def __init__(
        self, queue: LeaseQueue, source: IdentifierSource, priority: int, *, resumable: bool
    ) -> None:
        self._queue = queue
        self._source = source
        self._priority = priority
        self._bytes_read = 0
        # Only a file can be recognised when it is pushed again, and is worth the trouble.
        digest = source.digest if source.file else None
        self._digest = f"push-{digest}" if digest and resumable else ""
        self.unreadable = 0

    def run(self) -> None:
        """Queue all; say how many were new."""
        entries = self._entries()
        first = self._begin()
        if first:
            print(f"Going on after the first {first:,}, which an earlier push has queued.")
        columns = (TextColumn("Queueing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        with Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as progress:
            task = progress.add_task("", total=self._source.size)
            read = sum(1 for _ in islice(entries, first))
            added = 0
            while batch := list(islice(entries, AT_ONCE)):
                added += self._queue_batch(read, batch)
                read += len(batch)
                progress.update(task, completed=self._bytes_read)
        if self._digest:
            _check_cursor(self._queue.crawls.end_source(self._digest, read), read)
        counts = self._queue.counts()
        waiting = counts.messages + counts.ready + counts.delayed
        print(
            f"{added:,} products queued, {read - first - added:,} were queued already; "
            f"{waiting:,} calls wait now."
        )

    def _begin(self) -> int:
        """Return how many entries an interrupted push of the same file has queued."""
        if not self._digest:
            return 0
        progress = self._queue.crawls.progress(self._digest)
        if progress is not None and progress.complete:
            self._digest = ""  # pushed whole before: this is another push
            return 0
        age = time.monotonic() - ali1688_spider.STARTED
        return self._queue.crawls.begin(self._digest, age).cursor

    def _queue_batch(self, first: int, batch: list[QueueEntry]) -> int:
        if not self._digest:
            return self._queue.push(batch)
        seeded = self._queue.crawls.seed(self._digest, first, batch)
        _check_cursor(seeded.cursor if seeded else None, first + len(batch))
        return seeded.added if seeded else 0

    def _entries(self) -> Iterator[QueueEntry]:
        for line_number, entry in self._source.entries(self._count_bytes):
            if isinstance(entry, int):
                yield QueueEntry(ApiCall.product(entry), self._priority)
            else:
                self.unreadable += 1
                print(f"{place(line_number)}: {entry}", file=sys.stderr)

    def _count_bytes(self, line: str) -> None:
        self._bytes_read += len(line)


def _check_cursor(cursor: int | None, queued: int) -> None:
    if cursor is None or cursor < queued:
        raise ConfigurationError(
            "Redis lost some of what was queued, it crashed or was emptied: push again, what is "
            "queued already is not queued twice"
        )
