"""``scrapy status``: how the crawls of this installation are, on one screen."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ali1688_spider.config import Config
from ali1688_spider.project_command import ProjectCommand, print_table, rough_time

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
        "when something is wrong, so that cron can run it."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        text = "as JSON; with --watch one object a line"
        parser.add_argument("--json", action="store_true", help=text)
        text = f"show it again every {WATCH_SECONDS:.0f} seconds, until Ctrl-C"
        parser.add_argument("--watch", action="store_true", help=text)

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        config = Config.from_settings(self.settings)
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._show(config, opts))

    async def _show(self, config: Config, opts: argparse.Namespace) -> None:
        from ali1688_spider.monitoring.reading import StateReader

        reader = StateReader(self.settings, config)
        try:
            while True:
                state = await reader.read()
                self.exitcode = 1 if state.problems else 0
                if opts.json:
                    print(json.dumps(state.as_json(), ensure_ascii=False), flush=True)
                else:
                    if opts.watch and sys.stdout.isatty():
                        print(_CLEARED, end="")
                    _print(state)
                if not opts.watch:
                    return
                await asyncio.sleep(WATCH_SECONDS)
        finally:
            await reader.close()


def _print(state: State) -> None:
    print(f"ali1688_spider {state.version}, {state.at:%F %T} UTC")
    for problem in state.problems:
        print(f"WRONG: {problem.text}: {problem.advice}.")
    if not state.problems:
        print("All is well.")
    print()
    for line in _lines(state):
        print(line)
    _print_queues(state)
    if state.workers:
        columns = ("worker", "spider", "since (UTC)", "a minute", "in flight", "waiting", "memory")
        rows = [_worker(each.line) for each in state.workers[:SHOWN]]
        print_table(f"{len(state.workers):,} crawl processes", columns, rows)
        for each in state.workers:
            if each.line.waits_for:
                print(f"{each.line.name} waits for {each.line.waits_for}")
    if state.crawls:
        columns = ("crawl", "process", "began (UTC)", "state", "products", "done at", "given up")
        rows = [_crawl(each) for each in state.crawls[:SHOWN]]
        print_table(f"{len(state.crawls):,} crawls of a day", columns, rows)
    if state.failed.reasons:
        title = f"Given up: the reasons of the last {state.failed.considered:,}"
        reasons = [
            (f"{each.count:,}", each.error, f"{each.last_at:%F %T}", each.example)
            for each in state.failed.reasons
        ]
        print_table(title, ("calls", "error", "last (UTC)", "such as"), reasons)


def _lines(state: State) -> Iterator[str]:
    if state.minutes:
        products, calls = (round(state.per_minute(name)) for name in ("products", "calls"))
        yield f"Rate:     {products:,} products, {calls:,} calls in the last full minute"
    if (quota := state.quota) is not None:
        of = f" of {quota.daily_quota:,}" if quota.daily_quota else ""
        end = "they last for the day"
        if quota.ends_at is not None:
            end = f"used up at about {quota.ends_at:%H:%M} UTC"
        tail = f"; {end}; the next day begins at {quota.resets_at:%H:%M} UTC" if of else ""
        yield f"Quota:    {quota.used:,}{of} calls used today{tail}"
    failed = state.failed
    yield f"Given up: {failed.total:,} calls, {failed.last_hour:,} of them in the last hour"
    if (watch := state.watch) is not None:
        fresh = "" if watch.fraction_fresh is None else f", {watch.fraction_fresh:.0%} fresh"
        yield f"Watched:  {watch.products:,} products{fresh}"
    if (outboxes := state.outboxes) is not None:
        webhook = f", {outboxes.webhook_waiting:,} changes for the webhook"
        yield f"Outbox:   changes of {outboxes.pending:,} products wait to be published{webhook}"
    if (tokens := state.tokens) is not None:
        ends = (_end(tokens.expires_at), _end(tokens.refresh_expires_at))
        yield "Tokens:   access {}, refresh {}".format(*ends)


def _end(when: datetime | None) -> str:
    if when is None:
        return "with no known end"
    left = (when - datetime.now(UTC)).total_seconds()
    return f"for {rough_time(left)}" if left > 0 else "ended"


def _print_queues(state: State) -> None:
    rows = []
    for spider, queue in state.queues.items():
        counts, alive = queue.counts, sum(worker.is_alive for worker in queue.workers)
        waited = "" if queue.oldest_waiting is None else rough_time(queue.oldest_waiting)
        due = "" if counts.next_due is None else f", next in {rough_time(counts.next_due)}"
        rows.append(
            (
                spider,
                f"{counts.ready + counts.messages:,}",
                waited,
                f"{counts.delayed:,}{due}",
                f"{counts.leased:,}",
                f"{alive:,}",
                str(queue.pause or ""),
            )
        )
    if rows:
        columns = ("queue", "ready", "oldest", "delayed", "leased", "workers", "")
        print_table("Queues", columns, rows)


def _worker(line: WorkerLine) -> tuple[str, ...]:
    memory = f"{line.memory_bytes / 2**20:,.0f} MiB" if line.memory_bytes else ""
    return (
        f"{line.name} {line.job}".rstrip(),
        line.spider,
        _time(line.started_at),
        f"{60 * line.rate_per_second:,.0f}",
        f"{line.in_flight:,}",
        f"{line.waiting:,}",
        memory,
    )


def _crawl(crawl: CrawlState) -> tuple[str, ...]:
    total = f" of {crawl.total:,}" if crawl.total else ""
    return (
        crawl.spider,
        crawl.worker,
        _time(crawl.started_at),
        crawl.reason or crawl.state,
        f"{crawl.done:,}{total}",
        "" if crawl.ends_at is None else _time(crawl.ends_at),
        f"{crawl.failed:,}",
    )


def _time(when: datetime) -> str:
    return f"{when:%m-%d %H:%M:%S}"
