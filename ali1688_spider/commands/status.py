"""``scrapy status``: how the crawls of this installation are, on one screen."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from ali1688_spider.config import Config
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.project_command import ProjectCommand, print_rich, rough_time

if TYPE_CHECKING:
    from ali1688_spider.monitoring.state import CrawlState, State
    from ali1688_spider.statistics.sums import WorkerLine

WATCH_SECONDS = 2.0
SHOWN = 20
"""Rows of each table; --json has all."""
_CLEARED = "\x1b[H\x1b[2J\x1b[3J"


class Command(ProjectCommand):
    usage = "[--json] [--watch]"
    summary = "Show queues, crawls, workers, rate, quota and failures; exit 1 if something is wrong"
    description = (
        "Shows what waits, which crawls and workers run and when they will be done, how many "
        "products and calls a minute, what is left of the day's calls, what failed, how fresh the "
        "watched products are, and what is wrong, with what to do about it. The exit code is 1 "
        "when something is wrong, so that cron can run it; Ctrl-C ends --watch with 0."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        text = "as JSON; with --watch one object a line"
        parser.add_argument("--json", action="store_true", help=text)
        text = f"show it again every {WATCH_SECONDS:.0f} seconds, until Ctrl-C"
        parser.add_argument("--watch", action="store_true", help=text)

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        if args:
            raise ConfigurationError(f"{args[0]!r} is not understood: scrapy status -h")
        config = Config.from_settings(self.settings)
        if isinstance(sys.stdout, io.TextIOWrapper):  # cron has ASCII alone
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            asyncio.run(self._show(config, opts))
        except KeyboardInterrupt:
            if not opts.watch:
                raise
            self.exitcode = 0

    async def _show(self, config: Config, opts: argparse.Namespace) -> None:
        from ali1688_spider.monitoring.reading import StateReader

        reader = StateReader(self.settings, config)
        try:
            while True:
                state = await reader.read()
                self.exitcode = 1 if state.problems else 0
                if opts.json:
                    print(json.dumps(state.as_json()), flush=True)
                else:
                    if opts.watch and sys.stdout.isatty():
                        print(_CLEARED, end="")
                    _print(state)
                    sys.stdout.flush()
                if not opts.watch:
                    return
                await asyncio.sleep(WATCH_SECONDS)
        finally:
            await reader.close()


def _print(state: State) -> None:
    print(f"ali1688_spider {state.version}, {state.at:%F %T}; all times are UTC")
    for problem in state.problems:
        print(f"WRONG: {problem.text}: {problem.advice}.")
    if not state.problems:
        print("All is well.")
    print()
    for name, text in _lines(state):
        print(f"{name + ':':9} {text}")
    _print_queues(state)
    _print_running(state, [each for each in state.crawls if each.state == "running"])
    _print_ended(state, [each for each in state.crawls if each.state != "running"])
    _print_reasons(state)


def _lines(state: State) -> Iterator[tuple[str, str]]:
    if state.minutes:
        products, calls = (round(state.per_minute(name)) for name in ("products", "calls"))
        now = 60 * sum(each.line.rate_per_second for each in state.workers)
        last = f"{products:,} products, {calls:,} calls in the last full minute"
        yield "Rate", f"{now:,.0f} products a minute at present; {last}"
    if (quota := state.quota) is not None:
        text = f"{quota.used:,} calls used today"
        if quota.daily_quota:
            text = f"{quota.used:,} of {quota.daily_quota:,} calls used today"
            if quota.ends_at is not None:
                text += f", all of them at about {quota.ends_at:%H:%M}"
            text += f"; the next day begins at {quota.resets_at:%H:%M}"
        yield "Quota", text
    failed = state.failed
    yield (
        "Given up",
        f"unknown: {failed.error}"
        if failed.error
        else f"{failed.total:,} calls, {failed.last_hour:,} of them in the last hour",
    )
    if (watch := state.watch) is not None:
        fresh = "" if watch.fraction_fresh is None else f", {watch.fraction_fresh:.0%} fresh"
        yield "Watched", f"{watch.products:,} products{fresh}"
    if (outboxes := state.outboxes) is not None:
        text = f"changes of {outboxes.pending:,} products wait to be published"
        if (oldest_at := outboxes.webhook_oldest_at) is not None:
            since = _time(oldest_at, state.at)
            text += f"; {outboxes.webhook_waiting:,} changes for the webhook, since {since}"
        yield "Outbox", text
    if (tokens := state.tokens) is not None:
        refresh = "none to refresh it"
        if tokens.can_refresh:
            refresh = f"the one to refresh it {_end(tokens.refresh_expires_at, state.at)}"
        yield "Tokens", f"access token {_end(tokens.expires_at, state.at)}, {refresh}"


def _end(when: datetime | None, now: datetime) -> str:
    if when is None:
        return "without a known end"
    left = (when - now).total_seconds()
    return f"valid for {rough_time(left)}" if left > 0 else "at its end"


def _print_queues(state: State) -> None:
    rows: list[tuple[str, ...]] = []
    for spider, queue in state.queues.items():
        counts, alive = queue.counts, sum(worker.is_alive for worker in queue.workers)
        waited = "" if queue.oldest_waiting is None else rough_time(queue.oldest_waiting)
        due = f", next in {rough_time(counts.next_due)}" if counts.next_due else ""
        rows.append(
            (
                spider,
                f"{queue.waiting:,}",
                waited,
                f"{counts.delayed - queue.overdue:,}{due}",
                f"{counts.leased:,}",
                f"{alive:,}",
                "" if queue.pause is None else str(queue.pause).removeprefix("paused "),
            )
        )
    columns = ("spider", "ready", "oldest", "delayed", "leased", "workers", "paused")
    _print_table("Queues", len(rows), columns, rows)


def _print_running(state: State, crawls: Sequence[CrawlState]) -> None:
    lines = {(each.line.name, each.line.spider): each.line for each in state.workers}
    columns = (
        *("spider", "process", "began", "products", "a\nminute", "waiting", "done\nat"),
        *("in\nflight", "given\nup", "MiB"),
    )
    rows = [
        _running(each, lines.get((each.worker, each.spider)), state.at) for each in crawls[:SHOWN]
    ]
    _print_table("Crawls that run", len(crawls), columns, rows)
    for line in lines.values():
        if line.waits_for:
            print(f"{line.name} waits for {line.waits_for}")


def _running(crawl: CrawlState, line: WorkerLine | None, now: datetime) -> tuple[str, ...]:
    of_all = f" of {crawl.total:,}" if crawl.total else ""
    shown = ("", "", "", "")
    process = crawl.worker
    if line is not None:
        process = f"{process} {line.job}".rstrip()
        memory = f"{line.memory_bytes / 2**20:,.0f}" if line.memory_bytes else ""
        shown = (
            f"{60 * line.rate_per_second:,.0f}",
            f"{line.waiting:,}",
            f"{line.in_flight:,}",
            memory,
        )
    a_minute, waiting, in_flight, memory = shown
    return (
        crawl.spider,
        process,
        _time(crawl.started_at, now),
        f"{crawl.done:,}{of_all}",
        a_minute,
        waiting,
        "" if crawl.ends_at is None else _time(crawl.ends_at, now, exact=True),
        in_flight,
        f"{crawl.failed:,}",
        memory,
    )


def _print_ended(state: State, crawls: Sequence[CrawlState]) -> None:
    rows = [
        (
            crawl.spider,
            crawl.worker,
            _time(crawl.started_at, state.at),
            "" if crawl.finished_at is None else _time(crawl.finished_at, state.at),
            "killed" if crawl.state == "silent" else crawl.reason,
            f"{crawl.done:,}",
            f"{crawl.failed:,}",
        )
        for crawl in crawls[:SHOWN]
    ]
    columns = ("spider", "process", "began", "ended", "as", "products", "given\nup")
    _print_table("Crawls that ended within a day", len(crawls), columns, rows)


def _print_reasons(state: State) -> None:
    rows = [
        (f"{each.count:,}", each.error, _time(each.last_at, state.at), each.example)
        for each in state.failed.reasons
    ]
    title = f"Given up, by the reasons of the last {state.failed.considered:,}"
    _print_table(title, len(rows), ("calls", "error", "last", "such as"), rows)


def _print_table(
    title: str, count: int, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Print *rows*, if there are any, below a title; *count* is how many there would be."""
    if not rows:
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    rest = f" (the first {len(rows)} of {count:,})" if count > len(rows) else ""
    print(f"\n{title}{rest}")
    print_rich(table)


def _time(when: datetime, now: datetime, *, exact: bool = False) -> str:
    if when.date() == now.date():
        return f"{when:%T}" if exact else f"{when:%H:%M}"
    return f"{when:%m-%d %H:%M}"
