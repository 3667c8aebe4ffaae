"""What a large installation costs: many watched products, many stored ones with their history.

It takes an hour and 8 GB of memory, most of both for the database: ``--only large`` runs it, and it
writes ``large_numbers.md`` beside this file.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pymongo import AsyncMongoClient
from scrapy_redis import connection

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.keys import QUEUE_KEY, QueueKeys
from ali1688_spider.scheduling.lease import QueueEntry
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.spiders.watch import WatchSpider, open_redis_store
from ali1688_spider.storage.changes import Change
from ali1688_spider.storage.database import (
    CODEC_OPTIONS,
    PRODUCT_CHANGES,
    PRODUCTS,
    ensure_indexes,
)
from ali1688_spider.watching.sqlite_store import FILE_NAME
from ali1688_spider.watching.watched_product import DAY, WatchedProduct
from benchmarks.contenders import PROJECT
from benchmarks.crawling import crawl
from benchmarks.stage import DATABASE, FIRST_ID
from benchmarks.table import Table
from benchmarks.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.scale import Scale
    from benchmarks.stage import Stage

WATCHED = """\
*Added* is `scrapy crawl watch -a ids_file=FILE` on an empty queue, from its start until all ids are
queued. Then as many products are watched that were all fetched before and are all due; *bytes each*
is the `MEMORY USAGE` of all keys. A worker starts on them: *first call* is from the start of its
process to the call that the gateway sees, its CPU time in brackets (an empty Python with Scrapy
takes most of it). *Calls/s* are of the {seconds:.0f} s after that, with the limits off: each call
brings its product's next fetch, at least a second later. *Redis* is the server's CPU time;
*longest* is the longest time for which one command or script held up Redis, by its `SLOWLOG`: on a
machine with other work, its waiting for a core included."""

IN_A_FILE = """\
The same without Redis: one process, and its schedule in a SQLite file."""

STORED = """\
{templates} products of the sandbox, collected by a worker, are copied until there are so many, each
with {changes} changes within the last {days} days; one in ten has a private price. The indexes are
those of the project. *Peak* is the memory of the command's process; *CPU s* are its own, while
*seconds* include the database's work. secantusdb, which stands in for MongoDB here, holds a whole
result in memory before it sends the first part of it, some 20 KB for a product: that is why these
numbers are no larger. The commands read a cursor, and need of a server no more than one part."""

LONGEST_SECONDS = 3600.0
POLL_SECONDS = 0.05
PORTION = 1000
CHANGE_DAYS = 7
TEMPLATES = 200
HELD_BACK = {"ALI1688_QPS": "0.001"}
"""Calls that are due are not made while something else is measured."""


def measure(stage: Stage, scale: Scale) -> list[Table]:
    header = ("watched products", "added: s", "CPU s", "bytes each", "first call: s (CPU s)")
    more = ("calls/s", "CPU s per 1000 calls", "peak MiB")
    in_redis = [_watch_row(stage, scale, number) for number in scale.watched]
    in_a_file = [_file_row(stage, scale, number) for number in scale.watched_in_file]
    explanation = WATCHED.format(seconds=scale.watch_seconds)
    of_redis = ("Redis: CPU s per 1000 calls", "longest ms")
    return [
        Table("Watched products in Redis", explanation, (*header, *more, *of_redis), in_redis),
        Table("Watched products in a file", IN_A_FILE, (*header, *more), in_a_file),
        _stored_table(stage, scale),
    ]


# Watched products


@dataclass(frozen=True)
class _Run:
    """What a watching worker did: ``first`` in seconds, calls a second, CPU seconds, peak bytes."""

    first: float
    first_cpu: float
    calls: int
    rate: float
    cpu: float
    peak: int

    @property
    def cells(self) -> tuple[str | float, ...]:
        first = f"{self.first:.1f} ({self.first_cpu:.1f})"
        return first, self.rate, 1000 * self.cpu / max(1, self.calls), f"{self.peak / 2**20:.0f}"


def _watch_row(stage: Stage, scale: Scale, number: int) -> tuple[str | float, ...]:
    stage.clear()
    keys = QueueKeys.of(QUEUE_KEY % {"spider": WatchSpider.name})
    parts = (keys.ready, keys.delayed, keys.leased)
    added, cpu = _add(
        stage, number, stage.folder / "watch", lambda: sum(map(stage.redis.zcard, parts))
    )
    stage.clear()
    _fill_schedule(stage, number)
    memory = sum(stage.redis.memory_usage(key, samples=0) for key in stage.redis.scan_iter())
    stage.redis.config_set("slowlog-log-slower-than", 1000)
    stage.redis.config_set("slowlog-max-len", 10_000)
    stage.redis.slowlog_reset()
    before = _redis_cpu(stage)
    run = _watch(stage, scale, stage.environment, stage.folder / "watch")
    redis_cpu = 1000 * (_redis_cpu(stage) - before) / max(1, run.calls)
    longest = max((entry["duration"] for entry in stage.redis.slowlog_get(10_000)), default=0)
    print(f"  {number:,} in Redis: {run.rate:.0f} calls/s")
    row = (f"{number:,}", added, cpu, memory / number, *run.cells)
    return (*row, redis_cpu, longest / 1000)


def _file_row(stage: Stage, scale: Scale, number: int) -> tuple[str | float, ...]:
    stage.clear()
    environment = _without_servers(stage)
    folder = stage.folder / f"file-{number}"

    def count() -> int:
        for file in folder.rglob(FILE_NAME):
            database = sqlite3.connect(file, timeout=30)
            # The file is there before its table.
            with closing(database), suppress(sqlite3.OperationalError):
                return int(database.execute("SELECT count(*) FROM watched").fetchone()[0])
        return 0

    added, cpu = _add(stage, number, folder, count, environment)
    size = sum(file.stat().st_size for file in folder.rglob(f"{FILE_NAME}*"))
    run = _watch(stage, scale, environment, folder)
    print(f"  {number:,} in a file: {run.rate:.0f} calls/s")
    return (f"{number:,}", added, cpu, size / number, *run.cells)


def _without_servers(stage: Stage) -> dict[str, str]:
    return stage.environment | {"REDIS_URL": "", "MONGO_URI": ""}


def _add(
    stage: Stage,
    number: int,
    folder: Path,
    count: Callable[[], int],
    environment: dict[str, str] | None = None,
) -> tuple[float, float]:
    """Let a worker add so many products; return its seconds and CPU seconds."""
    ids = stage.folder / "ids.txt"
    ids.write_text("".join(f"{FIRST_ID + index}\n" for index in range(number)))
    environment = {**(environment or stage.environment), **PROJECT.environment, **HELD_BACK}
    command = ["-m", "scrapy", "crawl", WatchSpider.name, "-a", f"ids_file={ids}"]
    began = time.monotonic()
    with Worker(command, environment, folder) as worker:
        _wait(worker, lambda: count() >= number)
        seconds, cpu = time.monotonic() - began, worker.cpu_seconds
        worker.terminate()
        worker.finish()
    return seconds, cpu


def _fill_schedule(stage: Stage, number: int) -> None:
    """Watch so many products that were fetched before and are due."""
    client = connection.get_redis(url=stage.redis_url)
    chance, now = random.Random(number), time.time()
    # Due in a moment: what is due at once would not be among the delayed ones.
    entries = (QueueEntry(ApiCall.product(FIRST_ID + n), 0, 0.001) for n in range(number))
    LeaseQueue(client, WatchSpider, QUEUE_KEY).push(entries)
    store = open_redis_store(client)
    for portion in _portions(0, number):
        states = [(FIRST_ID + index, _state(chance, now), 0.0) for index in portion]
        store.save(states)
    client.close()


def _state(chance: random.Random, now: float) -> str:
    fetched_at = round(now - chance.uniform(0, DAY), 3)
    seconds = chance.uniform(DAY, 30 * DAY)
    fingerprint = f"{chance.getrandbits(48):012x}"
    return WatchedProduct(fingerprint, fetched_at, 0, chance.expovariate(1), seconds).encode()


def _watch(stage: Stage, scale: Scale, environment: dict[str, str], folder: Path) -> _Run:
    """Watch what is watched already, and measure it."""
    stage.forget_calls()
    command = ["-m", "scrapy", "crawl", WatchSpider.name, "-a", "min_interval=1"]
    began = time.time()
    with Worker(command, {**environment, **PROJECT.environment}, folder) as worker:
        _wait(worker, lambda: stage.gateway_counts()["first_call_at"] is not None)
        first_cpu = cpu_before = worker.cpu_seconds
        first = stage.gateway_counts()["first_call_at"] - began
        calls_before, since = stage.gateway_counts()["answered"], time.monotonic()
        time.sleep(scale.watch_seconds)
        calls = stage.gateway_counts()["answered"] - calls_before
        rate, cpu = calls / (time.monotonic() - since), worker.cpu_seconds - cpu_before
        peak = worker.peak_bytes
        worker.terminate()
        worker.finish()
    return _Run(first, first_cpu, calls, rate, cpu, peak)


def _wait(worker: Worker, is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not is_done():
        if not worker.running() or time.monotonic() > deadline:
            log = worker.log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"a worker ended or did not come to its end:\n{log}")
        time.sleep(POLL_SECONDS)


def _redis_cpu(stage: Stage) -> float:
    used = stage.redis.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


# Stored products


def _stored_table(stage: Stage, scale: Scale) -> Table:
    stage.clear()
    crawl(stage, PROJECT, min(TEMPLATES, *scale.stored))
    templates = list(stage.mongo[DATABASE][PRODUCTS].find())
    stage.clear()
    rows: list[tuple[str | float, ...]] = []
    filled = 0
    for number in scale.stored:
        _fill_store(stage, templates, filled, number, scale.changes_each)
        filled = number
        one = str(FIRST_ID + number // 2)
        for arguments in (
            ("export", "products.csv"),
            ("export", "products.parquet"),
            ("export", "products.xlsx"),
            ("export", "changes.csv", "--changes-since", "30m"),
            ("export", "changes.csv", "--changes-since", f"{CHANGE_DAYS}d"),
            ("report", "report.html", "--days", "1"),
            ("report", "report.html", "--hours", "6"),
            ("report", "report.html", "--days", str(CHANGE_DAYS), "--products", one),
        ):
            # As many as go into one sheet; the numbers of rows say how the rest grows.
            limit = ("--limit", str(scale.workbook)) if "products.xlsx" in arguments else ()
            rows.append((f"{number:,}", *_command(stage, *arguments, *limit)))
            print(f"  {number:,}: {rows[-1][1]}: {rows[-1][2]:.1f} s")
    explanation = STORED.format(
        templates=len(templates), changes=scale.changes_each, days=CHANGE_DAYS
    )
    header = ("products", "command", "seconds", "CPU s", "peak MiB")
    return Table("Stored products", explanation, header, rows)


def _command(stage: Stage, *arguments: str) -> tuple[str | float, ...]:
    """Run a command of the project; return it, its seconds, CPU seconds and MiB."""
    command = ["-m", "scrapy", *arguments]
    began, peak = time.monotonic(), 0
    environment = {**stage.environment, **PROJECT.environment}
    with Worker(command, environment, stage.folder / "commands") as worker:
        while worker.running():
            peak = max(peak, worker.peak_bytes)
            time.sleep(POLL_SECONDS)
        seconds, usage = time.monotonic() - began, worker.finish()
    return f"`scrapy {' '.join(arguments)}`", seconds, usage.cpu_seconds, f"{peak / 2**20:.0f}"


def _fill_store(
    stage: Stage, templates: list[dict[str, Any]], first: int, last: int, changes_each: int
) -> None:
    """Store products and their changes as the project does, without a call for each."""
    database = stage.mongo.get_database(DATABASE, codec_options=CODEC_OPTIONS)
    for collection in (PRODUCTS, PRODUCT_CHANGES):
        database[collection].drop_indexes()  # building them afterwards is faster
    chance, now = random.Random(first), datetime.now(UTC)
    for portion in _portions(first, last):
        products = [_product(templates, index, _moment(chance, now)) for index in portion]
        database[PRODUCTS].insert_many(products, ordered=False)
        changes = [
            _change(product, number, _moment(chance, now)).document()
            for product in products
            for number in range(changes_each)
        ]
        database[PRODUCT_CHANGES].insert_many(changes, ordered=False)
    asyncio.run(_index(stage))


async def _index(stage: Stage) -> None:
    # Without the time limits of a crawl: an index over millions of changes takes minutes.
    async with AsyncMongoClient[dict[str, Any]](stage.environment["MONGO_URI"]) as client:
        await ensure_indexes(client[DATABASE], 0)


def _product(templates: list[dict[str, Any]], index: int, at: datetime) -> dict[str, Any]:
    product_id = FIRST_ID + index
    times = dict.fromkeys(("fetched_at", "changed_at"), at)
    own = {"_id": product_id, "product_id": product_id, "price_private": index % 10 == 0}
    return {**templates[index % len(templates)], **own, **times}


def _change(product: dict[str, Any], number: int, at: datetime) -> Change:
    is_price = number % 2 == 0
    stock = product["stock"]
    prices = (Decimal("2.50"), Decimal(240 + number) / 100)
    return Change(
        id=f"{product['_id']}::{number}",
        product_id=product["_id"],
        sku_id=None,
        field="price" if is_price else "stock",
        old=prices[0] if is_price else stock,
        new=prices[1] if is_price else stock + number,
        percent=1.0,
        at=at,
    )


def _moment(chance: random.Random, now: datetime) -> datetime:
    return now - timedelta(days=chance.uniform(0, CHANGE_DAYS))


def _portions(first: int, last: int) -> Iterator[range]:
    for start in range(first, last, PORTION):
        yield range(start, min(start + PORTION, last))
