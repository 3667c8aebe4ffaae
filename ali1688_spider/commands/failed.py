"""``scrapy failed``: the calls that were given up, and another try for them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from scrapy.settings import SETTINGS_PRIORITIES
from scrapy_redis import connection

from ali1688_spider.config import Config
from ali1688_spider.context import data_folder
from ali1688_spider.exceptions import ConfigurationError, MalformedMessageError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.project_command import ProjectCommand, print_table
from ali1688_spider.scheduling.lease import QueueEntry
from ali1688_spider.scheduling.queue import open_queue
from ali1688_spider.shutdown import INCOMPLETE
from ali1688_spider.storage.database import connect, mongo_retry
from ali1688_spider.storage.failed_calls import failed_call_store

if TYPE_CHECKING:
    from ali1688_spider.storage.failed_calls import FailedCall, FailedCallStore

ACTIONS = ("list", "retry")
WORK_DONE = ("finished", INCOMPLETE)
LISTED = 100
AT_ONCE = 5000
"""Calls of a portion: once they are queued, or made by one crawl, they are listed no longer."""


class Command(ProjectCommand):
    usage = "list|retry [--spider SPIDER] [--limit N] [--output FILE]"
    summary = "List the calls that were given up, or retry them"
    description = (
        "List the calls that were given up, or retry them: with Redis they return to the queue "
        "of their spider, without Redis they are made here and now."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        limit = f"at most N calls, the oldest first (default: list {LISTED}, retry all)"
        add("--spider", default="", help="only calls of this spider")
        add("--limit", type=int, metavar="N", help=limit)
        add("-o", "--output", default="", help="feed for the products of calls made here and now")

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1 or args[0] not in ACTIONS:
            raise ConfigurationError(f"say what to do: {' or '.join(ACTIONS)}")
        if opts.limit is not None and opts.limit < 1:
            raise ConfigurationError("--limit is below 1: say how many calls at most")
        self._opts = opts
        self._config = Config.from_settings(self.settings)
        self._retried = 0
        try:
            asyncio.run(self._execute(args[0]))
        finally:
            if self._retried:
                verb = "queued" if self._config.redis_url else "made"
                print(f"{self._retried:,} calls {verb} again.")

    async def _execute(self, action: str) -> None:
        config = self._config
        redis = connection.from_settings(self.settings) if config.redis_url else None
        database = connect(config.mongo_uri, config.mongo_database) if config.mongo_uri else None
        retry = mongo_retry(is_closing=lambda: True)
        store = failed_call_store(database, retry, redis, data_folder())
        try:
            if action == "list":
                await _list(store, self._opts.spider, self._opts.limit or LISTED)
            else:
                await self._retry(store)
            if store.unreadable:
                print(f"{store.unreadable:,} entries cannot be read; they are left as they are.")
        finally:
            if database is not None:
                await database.client.close()
            if redis is not None:
                redis.close()

    async def _retry(self, store: FailedCallStore) -> None:
        if not (self._config.redis_url or self._config.mongo_uri or self._opts.output):
            raise ConfigurationError(
                "say where the products go: -o FILE, such as -o products.jsonl, or set MONGO_URI"
            )
        # Calls that fail again while they are made here are left for the next retry.
        until = None if self._config.redis_url else datetime.now(UTC)
        portions: dict[str, list[FailedCall]] = defaultdict(list)
        chosen = left = 0
        async for failed in store.list():
            if chosen == self._opts.limit or (until is not None and failed.at > until):
                break
            if self._opts.spider not in {"", failed.spider}:
                continue
            if not _is_call(failed):
                left += 1
                continue
            chosen += 1
            portions[failed.spider].append(failed)
            if len(portions[failed.spider]) == AT_ONCE:
                await self._retry_portion(store, portions.pop(failed.spider))
        for portion in portions.values():
            await self._retry_portion(store, portion)
        if not chosen:
            print("There is no call to retry.")
        if left:
            print(f"{left:,} are messages that ask for no call; they stay listed.")

    async def _retry_portion(self, store: FailedCallStore, failed: list[FailedCall]) -> None:
        """Queue or make the calls of one spider, then remove them from the list."""
        if self._config.redis_url:
            queue = open_queue(self.settings, failed[0].spider)
            entries = [QueueEntry(ApiCall.decode(each.call)) for each in failed]
            await asyncio.to_thread(queue.push, entries)
        else:
            await asyncio.to_thread(self._make, failed)
        await store.remove(failed)
        self._retried += len(failed)

    def _make(self, failed: list[FailedCall]) -> None:
        """Make the calls in a crawl of their own, which lists those that fail again."""
        with tempfile.TemporaryDirectory() as folder:
            calls_file, stats_file = Path(folder, "calls"), Path(folder, "stats")
            calls = dict.fromkeys(f"{call.call}\n" for call in failed)  # some failed repeatedly
            calls_file.write_text("".join(calls), encoding="utf-8")
            options = ["-a", f"calls_file={calls_file}", "-s", f"ALI1688_STATS_FILE={stats_file}"]
            if self._opts.output:
                options += ["-o", self._opts.output]
            for name, setting in self.settings.attributes.items():
                if setting.priority >= SETTINGS_PRIORITIES["cmdline"]:
                    options += ["-s", f"{name}={setting.value}"]
            crawl = [sys.executable, "-m", "scrapy", "crawl", failed[0].spider, *options]
            subprocess.run(crawl, check=False)  # noqa: S603  # our own program
            # Without the file it did not even begin.
            stats = json.loads(stats_file.read_text("utf-8")) if stats_file.exists() else {}
            if stats.get("finish_reason") not in WORK_DONE:
                raise ConfigurationError("the crawl ended early, see above; the calls stay listed")


def _is_call(failed: FailedCall) -> bool:
    with contextlib.suppress(MalformedMessageError):
        return bool(failed.api and ApiCall.decode(failed.call))
    return False


async def _list(store: FailedCallStore, spider: str, limit: int) -> None:
    shown: list[FailedCall] = []
    total = 0
    async for failed in store.list():
        if not spider or failed.spider == spider:
            total += 1
            if len(shown) < limit:
                shown.append(failed)
    if not total:
        print("No call was given up.")
        return
    rows = [
        (f"{call.at:%F %T}", call.spider, call.call[:200], str(call.attempts), call.error)
        for call in shown
    ]
    columns = ("at (UTC)", "spider", "call", "tries", "error")
    print_table(f"{total:,} calls were given up", columns, rows)
    if len(shown) < total:
        print(f"These are the oldest {len(shown):,}; --limit N shows more.")
    print("Retry them with: scrapy failed retry")
