"""``scrapy failed``: the calls that were given up, another try for them, or their end."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from scrapy.settings import SETTINGS_PRIORITIES
from scrapy_redis import connection

from ali1688_spider.config import Config
from ali1688_spider.context import data_folder
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.project_command import ProjectCommand, confirm, print_table
from ali1688_spider.scheduling.requeue import is_call, requeue
from ali1688_spider.shutdown import INCOMPLETE
from ali1688_spider.storage.database import connect, mongo_retry
from ali1688_spider.storage.failed_calls import failed_call_store, fold_error

if TYPE_CHECKING:
    from ali1688_spider.storage.failed_calls import FailedCall, FailedCallStore

ACTIONS = ("list", "retry", "drop")
WORK_DONE = ("finished", INCOMPLETE)
LISTED = 100
AT_ONCE = 5000
"""Calls of a portion: once they are queued, or made by one crawl, they are listed no longer."""


class Command(ProjectCommand):
    usage = "list|retry|drop [--spider SPIDER] [--error TEXT] [--limit N] [options]"
    summary = "List the calls that were given up, retry or drop them"
    description = (
        "List the calls that were given up, retry them (with Redis they return to the queue of "
        "their spider, without Redis they are made here and now), or drop them from the list."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        limit = f"at most N calls, the oldest first (default: list {LISTED}, retry and drop all)"
        add("--spider", default="", help="only calls of this spider")
        text = "only calls whose error has this text in it; # stands for any number, as --by-error "
        add("--error", default="", metavar="TEXT", help=f"{text}shows it")
        add("--by-error", action="store_true", help="list: how many there are of each error")
        add("--yes", action="store_true", help="drop: without asking")
        add("--limit", type=int, metavar="N", help=limit)
        add("-o", "--output", default="", help="feed for the products of calls made here and now")

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        if len(args) != 1 or args[0] not in ACTIONS:
            raise ConfigurationError(f"say what to do: {', '.join(ACTIONS)}")
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
            match action:
                case "list" if self._opts.by_error:
                    await self._list_by_error(store)
                case "list":
                    await self._list(store)
                case "retry":
                    await self._retry(store)
                case "drop":
                    await self._drop(store)
            if store.unreadable:
                print(f"{store.unreadable:,} entries cannot be read; they are left as they are.")
        finally:
            if database is not None:
                await database.client.close()
            if redis is not None:
                redis.close()

    def _print_none(self) -> None:
        is_filtered = self._opts.spider or self._opts.error
        print(f"No {'such ' if is_filtered else ''}call was given up.")

    def _is_wanted(self, failed: FailedCall) -> bool:
        error = self._opts.error
        return self._opts.spider in {"", failed.spider} and (
            error in failed.error or error in fold_error(failed.error)
        )

    async def _list(self, store: FailedCallStore) -> None:
        limit = self._opts.limit or LISTED
        shown: list[FailedCall] = []
        total = 0
        async for failed in store.list():
            if self._is_wanted(failed):
                total += 1
                if len(shown) < limit:
                    shown.append(failed)
        if not total:
            self._print_none()
            return
        rows = [
            (f"{call.at:%F %T}", call.spider, call.call[:200], f"{call.attempts}", call.error)
            for call in shown
        ]
        columns = ("at (UTC)", "spider", "call", "tries", "error")
        print_table(f"{total:,} calls were given up", columns, rows)
        if len(shown) < total:
            print(f"These are the oldest {len(shown):,}; --limit N shows more.")
        print("Retry them with: scrapy failed retry")

    async def _list_by_error(self, store: FailedCallStore) -> None:
        first: dict[str, FailedCall] = {}
        last: dict[str, FailedCall] = {}
        counts: Counter[str] = Counter()
        async for failed in store.list():
            if self._is_wanted(failed):
                error = fold_error(failed.error)
                counts[error] += 1
                first.setdefault(error, failed)
                last[error] = failed
        if not counts:
            self._print_none()
            return
        limit = self._opts.limit or LISTED
        rows = [
            (
                f"{count:,}",
                error,
                f"{first[error].at:%F %T}",
                f"{last[error].at:%F %T}",
                last[error].call[:100],
            )
            for error, count in counts.most_common(limit)
        ]
        columns = ("calls", "error", "first (UTC)", "last (UTC)", "such as")
        print_table(f"{counts.total():,} calls were given up", columns, rows)
        if len(counts) > limit:
            print(f"These are the {limit:,} most frequent errors; --limit N shows more.")
        print("Retry those of an error with: scrapy failed retry --error TEXT")

    async def _drop(self, store: FailedCallStore) -> None:
        most = self._opts.limit or math.inf
        total = 0
        async for failed in store.list():
            total += self._is_wanted(failed)
        number = min(total, most)
        if not number:
            self._print_none()
            return
        question = f"Drop {number:,} of the calls that were given up? They are not tried again."
        if not confirm(question, yes=self._opts.yes):
            print("Nothing is dropped.")
            return
        dropped = 0
        portion: list[FailedCall] = []
        try:
            async for failed in store.list():
                if dropped + len(portion) == number:
                    break
                if self._is_wanted(failed):
                    portion.append(failed)
                if len(portion) == AT_ONCE:
                    await store.remove(portion)
                    dropped, portion = dropped + len(portion), []
            if portion:
                await store.remove(portion)
                dropped += len(portion)
        finally:
            print(f"{dropped:,} calls dropped.")

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
            if not self._is_wanted(failed):
                continue
            if not is_call(failed):
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
            await requeue(self.settings, store, failed)
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
