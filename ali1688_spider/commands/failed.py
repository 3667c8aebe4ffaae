"""``scrapy failed``: the calls that were given up, and another try for them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from scrapy.settings import SETTINGS_PRIORITIES
from scrapy_redis import connection

from ali1688_spider.config import Config
from ali1688_spider.context import data_folder
from ali1688_spider.exceptions import ConfigurationError, MalformedMessageError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.project_command import ProjectCommand
from ali1688_spider.scheduling.entries import QueueEntry
from ali1688_spider.scheduling.producers import open_queue
from ali1688_spider.shutdown import INCOMPLETE
from ali1688_spider.storage.database import connect, mongo_retry
from ali1688_spider.storage.errors import StoreUnavailableError, explain
from ali1688_spider.storage.failed_call_stores import failed_call_store

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Iterable

    from ali1688_spider.storage.failed_call import FailedCall, FailedCallStore

ACTIONS = ("list", "retry")
WORK_DONE = ("finished", INCOMPLETE)
LISTED = 100
AT_ONCE = 5000
"""Calls that are queued, or made by one crawl, before they are listed no longer."""


class Command(ProjectCommand):
    """Lists the failed calls, or makes them again.

    With Redis they go back to the queue of their spider; without, they are made here and now. They
    are taken in portions, each of which is listed no longer once it is queued, or made.
    """

    def syntax(self) -> str:
        return "list|retry [--spider SPIDER] [--limit N] [--output FILE]"

    def short_desc(self) -> str:
        return "Show the calls that were given up, or try them again"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--spider", default="", help="only the calls of this spider")
        parser.add_argument(
            "--limit",
            type=int,
            default=None,
            metavar="N",
            help=f"only so many, the oldest first (default: list shows {LISTED}, retry takes all)",
        )
        parser.add_argument(
            "-o", "--output", default="", help="a feed for the products of calls made here and now"
        )

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if len(args) != 1 or args[0] not in ACTIONS:
            raise ConfigurationError(f"say what to do: {' or '.join(ACTIONS)}")
        if opts.limit is not None and opts.limit < 1:
            raise ConfigurationError("--limit is below 1: say how many calls at most")
        config = Config.from_settings(self.settings)
        self._retried = self._left = 0
        try:
            asyncio.run(self._execute(config, args[0], opts))
        except StoreUnavailableError as error:
            raise ConfigurationError(str(error)) from None
        except PyMongoError as error:
            raise ConfigurationError(explain(error)) from None
        except RedisError as error:
            raise ConfigurationError(f"Redis does not answer ({error}): check REDIS_URL") from None
        finally:
            if self._retried:
                verb = "queued" if config.redis_url else "made"
                print(f"{self._retried:,} calls {verb} again.")

    async def _execute(self, config: Config, action: str, opts: argparse.Namespace) -> None:
        redis = connection.from_settings(self.settings) if config.redis_url else None
        database = connect(config.mongo_uri, config.mongo_database) if config.mongo_uri else None
        retry = mongo_retry(is_closing=lambda: True)
        store = failed_call_store(database, retry, redis, data_folder())
        try:
            if action == "list":
                await _list(store, opts.spider, opts.limit or LISTED)
            else:
                await self._retry(config, store, opts)
            if store.unreadable:
                print(f"{store.unreadable:,} entries cannot be read; they are left as they are.")
        finally:
            if database is not None:
                await database.client.close()
            if redis is not None:
                redis.close()

    async def _retry(
        self, config: Config, store: FailedCallStore, opts: argparse.Namespace
    ) -> None:
        if not (config.redis_url or config.mongo_uri or opts.output):
            raise ConfigurationError(
                "say where the products go: -o FILE, such as -o products.jsonl, or set MONGO_URI"
            )
        portions: dict[str, list[FailedCall]] = defaultdict(list)
        # What fails again while it is made here is for the next time.
        until = None if config.redis_url else datetime.now(UTC)
        async for failed in self._chosen(store, opts, until):
            portion = portions[failed.spider]
            portion.append(failed)
            if len(portion) == AT_ONCE:
                await self._retry_portion(config, store, portion, opts.output)
                portion.clear()
        for portion in filter(None, portions.values()):
            await self._retry_portion(config, store, portion, opts.output)
        if not self._retried:
            print("There is no call to try again.")
        if self._left:
            print(f"{self._left:,} are messages that ask for no call; they stay listed.")

    async def _chosen(
        self, store: FailedCallStore, opts: argparse.Namespace, until: datetime | None
    ) -> AsyncIterator[FailedCall]:
        """Iterate over the calls that are to be tried again, and count what is no call."""
        chosen = 0
        async for failed in store.list():
            if chosen == opts.limit or (until is not None and failed.at > until):
                return
            if opts.spider and failed.spider != opts.spider:
                continue
            if _decoded(failed) is None:
                self._left += 1
            else:
                chosen += 1
                yield failed

    async def _retry_portion(
        self,
        config: Config,
        store: FailedCallStore,
        failed: list[FailedCall],
        output: str,
    ) -> None:
        """Queue or make the calls of one spider, then forget that they failed."""
        if config.redis_url:
            await asyncio.to_thread(self._queue, failed)
        else:
            await asyncio.to_thread(self._make, failed, output)
        await store.remove(failed)
        self._retried += len(failed)

    def _queue(self, failed: list[FailedCall]) -> None:
        assert self.settings is not None
        calls = [call for call in map(_decoded, failed) if call is not None]
        open_queue(self.settings, failed[0].spider).push(QueueEntry(call) for call in calls)

    def _make(self, failed: list[FailedCall], output: str) -> None:
        """Make the calls in a crawl of their own; what fails again is listed again."""
        assert self.settings is not None
        with tempfile.TemporaryDirectory() as folder:
            calls_file = Path(folder, "calls")
            calls = dict.fromkeys(call.call for call in failed)  # one may have failed repeatedly
            calls_file.write_text("".join(f"{call}\n" for call in calls), encoding="utf-8")
            command = [sys.executable, "-m", "scrapy", "crawl", failed[0].spider]
            stats_file = Path(folder, "stats")
            command += ["-a", f"calls_file={calls_file}"]
            command += ["-s", f"ALI1688_STATS_FILE={stats_file}"]
            if output:
                command += ["-o", output]
            for name, setting in self.settings.attributes.items():
                if setting.priority >= SETTINGS_PRIORITIES["cmdline"]:
                    command += ["-s", f"{name}={setting.value}"]
            subprocess.run(command, check=False)  # noqa: S603  # our own program
            if _close_reason(stats_file) not in WORK_DONE:
                raise ConfigurationError("the crawl ended early, see above; the calls stay listed")


def _close_reason(stats_file: Path) -> str:
    """Return why a crawl ended; empty when it did not even begin."""
    if not stats_file.exists():
        return ""
    return str(json.loads(stats_file.read_text(encoding="utf-8"))["finish_reason"])


def _decoded(failed: FailedCall) -> ApiCall | None:
    if not failed.api:
        return None
    try:
        return ApiCall.decode(failed.call)
    except MalformedMessageError:
        return None


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
    _show(shown, total)
    if len(shown) < total:
        print(f"These are the oldest {len(shown):,}; --limit N shows more.")
    print("Try them again with: scrapy failed retry")


def _show(failed: Iterable[FailedCall], total: int) -> None:
    table = Table(title=f"{total:,} calls were given up")
    for column in ("at (UTC)", "spider", "call", "tries", "error"):
        table.add_column(column, overflow="fold")
    for call in failed:
        at = call.at.strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(at, call.spider, call.call[:200], str(call.attempts), call.error)
    console = Console(markup=False, highlight=False)
    with console.capture() as shown:  # it would deal with a closed pipe in a way of its own
        console.print(table)
    print(shown.get(), end="")
