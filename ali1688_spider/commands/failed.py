"""``scrapy failed``: the calls that were given up, and another try for them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from scrapy.settings import SETTINGS_PRIORITIES

from ali1688_spider.account import data_folder
from ali1688_spider.configuration import Configuration
from ali1688_spider.exceptions import ConfigurationError, MalformedMessageError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.project_command import ProjectCommand
from ali1688_spider.scheduling.entries import QueueEntry
from ali1688_spider.scheduling.producers import open_queue
from ali1688_spider.storage.errors import StoreUnavailableError, explain
from ali1688_spider.storage.failed_calls import failed_call_store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from ali1688_spider.storage.failed_call import FailedCall, FailedCallStore

ACTIONS = ("list", "retry")


class Command(ProjectCommand):
    """Lists the failed calls, or makes them again.

    With Redis they go back to the queue of their spider; without, they are made here and now.
    """

    def syntax(self) -> str:
        return "list|retry [--spider SPIDER] [--limit N] [--output FILE]"

    def short_desc(self) -> str:
        return "Show the calls that were given up, or try them again"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument("--spider", default="", help="only the calls of this spider")
        parser.add_argument("--limit", type=int, default=0, help="only so many, the oldest first")
        parser.add_argument(
            "-o", "--output", default="", help="a feed for the products of calls made here and now"
        )

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        if len(args) != 1 or args[0] not in ACTIONS:
            raise ConfigurationError(f"say what to do: {' or '.join(ACTIONS)}")
        configuration = Configuration.from_settings(self.settings)
        try:
            asyncio.run(self._execute(configuration, args[0], opts))
        except StoreUnavailableError as error:
            raise ConfigurationError(str(error)) from None
        except PyMongoError as error:
            raise ConfigurationError(explain(error)) from None
        except RedisError as error:
            raise ConfigurationError(f"Redis does not answer ({error}): check REDIS_URL") from None

    async def _execute(
        self, configuration: Configuration, action: str, opts: argparse.Namespace
    ) -> None:
        store = failed_call_store(configuration, closing=lambda: True, folder=data_folder())
        try:
            failed = [
                call async for call in store.list() if not opts.spider or call.spider == opts.spider
            ]
            chosen = failed[: opts.limit or None]
            if action == "list":
                _show(chosen, len(failed))
            else:
                await self._retry(configuration, store, chosen, opts.output)
        finally:
            await store.close()

    async def _retry(
        self,
        configuration: Configuration,
        store: FailedCallStore,
        failed: list[FailedCall],
        output: str,
    ) -> None:
        if not (configuration.redis_url or configuration.mongo_uri or output):
            raise ConfigurationError(
                "say where the products go: -o FILE, such as -o products.jsonl, or set MONGO_URI"
            )
        by_spider: dict[str, list[FailedCall]] = defaultdict(list)
        for call in failed:
            if _decoded(call) is not None:
                by_spider[call.spider].append(call)
        retried = 0
        for spider, calls in by_spider.items():
            if configuration.redis_url:
                self._queue(spider, calls)
            else:
                self._make(spider, calls, output)
            await store.remove(calls)
            retried += len(calls)
        verb = "queued" if configuration.redis_url else "made"
        print(f"{retried:,} calls {verb} again.")
        if left := len(failed) - retried:
            print(f"{left:,} are messages that ask for no call; they stay listed.")

    def _queue(self, spider: str, failed: list[FailedCall]) -> None:
        assert self.settings is not None
        calls = [call for call in map(_decoded, failed) if call is not None]
        open_queue(self.settings, spider).push(QueueEntry(call) for call in calls)

    def _make(self, spider: str, failed: list[FailedCall], output: str) -> None:
        """Make the calls in a crawl of their own; what fails again is listed again."""
        assert self.settings is not None
        with tempfile.TemporaryDirectory() as folder:
            calls_file = Path(folder, "calls")
            calls = dict.fromkeys(call.call for call in failed)  # one may have failed repeatedly
            calls_file.write_text("".join(f"{call}\n" for call in calls), encoding="utf-8")
            command = [sys.executable, "-m", "scrapy", "crawl", spider]
            command += ["-a", f"calls_file={calls_file}"]
            if output:
                command += ["-o", output]
            for name, setting in self.settings.attributes.items():
                if setting.priority >= SETTINGS_PRIORITIES["cmdline"]:
                    command += ["-s", f"{name}={setting.value}"]
            if subprocess.run(command, check=False).returncode:  # noqa: S603  # our own program
                raise ConfigurationError("the crawl ended early, see above; the calls stay listed")


def _decoded(failed: FailedCall) -> ApiCall | None:
    if not failed.api:
        return None
    try:
        return ApiCall.decode(failed.call)
    except MalformedMessageError:
        return None


def _show(failed: Iterable[FailedCall], total: int) -> None:
    if not total:
        print("No call was given up.")
        return
    table = Table(title=f"{total:,} calls were given up")
    for column in ("at (UTC)", "spider", "call", "tries", "error"):
        table.add_column(column, overflow="fold")
    for call in failed:
        at = call.at.strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(at, call.spider, call.call[:200], str(call.attempts), call.error)
    Console(markup=False, highlight=False).print(table)
    print("Try them again with: scrapy failed retry")
