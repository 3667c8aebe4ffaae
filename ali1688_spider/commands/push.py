"""``scrapy push``: queues products for the workers."""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

import ali1688_spider
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.project_command import FILE_HELP, ProductIds, ProjectCommand
from ali1688_spider.scheduling.lease import QueueEntry
from ali1688_spider.scheduling.queue import open_queue

if TYPE_CHECKING:
    from ali1688_spider.scheduling.queue import LeaseQueue

SPIDERS = ("product", "watch")
AT_ONCE = 5000


class Command(ProjectCommand):
    usage = "SPIDER [ID ...] [--file FILE] [--priority N]"
    summary = "Queue products for the workers"
    description = (
        "Put products into the queue of a spider, product or watch. Products that are queued "
        "already are not queued twice. An interrupted push of a file resumes when it is "
        "started again."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        add("--file", default="", help=FILE_HELP)
        add("--priority", type=int, default=0, help="higher ones come first (default: 0)")

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        if not args or args[0] not in SPIDERS:
            raise ConfigurationError(f"say for which spider: {' or '.join(SPIDERS)}")
        ids = ProductIds(args[1:], opts.file)
        # Only a file has a name to resume by; a watch never ends, nor would a push that it counts.
        digest = ids.digest if ids.file and args[0] != "watch" else None
        with closing(open_queue(self.settings, args[0])) as queue:
            _push(queue, ids, opts.priority, f"push-{digest}" if digest else "")
        ids.check_all_read("; the others are queued")


def _push(queue: LeaseQueue, ids: ProductIds, priority: int, name: str) -> None:
    """Queue products in batches while their source is read; with a name, it can be resumed."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    entries = (QueueEntry(ApiCall.product(product_id), priority) for product_id in ids)
    if name and (progress := queue.crawls.progress(name)) and progress.complete:
        name = ""  # pushed whole before: this is another push
    first = 0
    if name:
        first = queue.crawls.begin(name, time.monotonic() - ali1688_spider.STARTED).cursor
    if first:
        print(f"Resuming after the first {first:,}, which an earlier push has queued.")
    columns = (TextColumn("Queueing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=ids.size)
        read = sum(1 for _ in islice(entries, first))
        added = 0
        while batch := list(islice(entries, AT_ONCE)):
            if name:
                cursor, new = queue.crawls.enqueue(name, read, batch) or (None, 0)
                _check_cursor(cursor, read + len(batch))
            else:
                new = queue.push(batch)
            added += new
            read += len(batch)
            bar.update(task, completed=ids.bytes_read)
    if name:
        _check_cursor(queue.crawls.end_source(name, read), read)
    counts = queue.counts()
    print(
        f"{added:,} products queued, {read - first - added:,} were queued already; "
        f"{counts.messages + counts.ready + counts.delayed:,} calls wait now."
    )


def _check_cursor(cursor: int | None, queued: int) -> None:
    if cursor is None or cursor < queued:
        raise ConfigurationError(
            "Redis lost part of the queue, it crashed or was emptied: push again, products that "
            "are queued already are not queued twice"
        )
