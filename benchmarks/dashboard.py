"""What the dashboard costs the workers and itself, with many who look and many changes."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING

import aiohttp
import pymongo

from benchmarks.contenders import PROJECT
from benchmarks.crawling import crawl
from benchmarks.stage import DATABASE, FIRST_ID
from benchmarks.table import Table
from benchmarks.throughput import cpu_per_thousand
from benchmarks.worker import Worker

if TYPE_CHECKING:
    from benchmarks.crawling import Crawl
    from benchmarks.scale import Scale
    from benchmarks.stage import Stage

EXPLANATION = """\
One worker that collects {products} products, {rounds} rounds in which the cases take turns;
medians. All the while another process writes {changes} changes a second into the database. Then
the dashboard is watched for {seconds:.0f} s more with all its clients, each of which takes the
events of the page: *memory* is its resident memory when that time begins, and when it ends."""

CLIENTS = (0, 1, 100)
CHANGES_A_SECOND = 1000
CHANGES_AT_ONCE = 100


def measure(stage: Stage, scale: Scale) -> list[Table]:
    start = crawl(stage, PROJECT, 1)
    crawls: dict[str, list[Crawl]] = {}
    costs: dict[str, tuple[str | float, ...]] = {}
    for _ in range(scale.feature_rounds):
        for name, clients in _cases():
            with ExitStack() as stack:
                role = ["-m", "benchmarks.dashboard"]
                change = [*role, "change", stage.environment["MONGO_URI"]]
                stack.enter_context(Worker(change, {}, stage.folder / "changes"))
                board = None
                if clients is not None:
                    board, address = _start_dashboard(stage, stack)
                    listen = [*role, "listen", address, str(clients)]
                    stack.enter_context(Worker(listen, {}, stage.folder / "listeners"))
                crawls.setdefault(name, []).append(crawl(stage, PROJECT, scale.products))
                if board is not None:
                    costs[name] = _costs(board, scale.dashboard_seconds)
            print(f"  {name}: {crawls[name][-1].products_per_second:.0f}/s")
    rows = [
        (
            name,
            median(each.products_per_second for each in own),
            median(cpu_per_thousand(each, start) for each in own),
            *costs.get(name, ("", "", "")),
        )
        for name, own in crawls.items()
    ]
    explanation = EXPLANATION.format(
        products=f"{scale.products:,}",
        rounds=scale.feature_rounds,
        changes=f"{CHANGES_A_SECOND:,}",
        seconds=scale.dashboard_seconds,
    )
    header = (
        *("case", "the worker's products/s", "the worker's CPU s per 1000"),
        *("the dashboard's CPU s a minute", "memory, MiB", "at the end, MiB"),
    )
    return [Table("What it costs", explanation, header, rows)]


def _cases() -> list[tuple[str, int | None]]:
    watched = [(f"dashboard, {number} clients", number) for number in CLIENTS]
    return [("no dashboard", None), *watched]


def _start_dashboard(stage: Stage, stack: ExitStack) -> tuple[Worker, str]:
    command = ["-m", "scrapy", "dashboard", "--port", "0"]
    environment = {**stage.environment, **PROJECT.environment}
    worker = stack.enter_context(Worker(command, environment, stage.folder / "dashboard"))
    deadline = time.monotonic() + 60
    while "Dashboard: " not in (text := worker.log.read_text()):
        if time.monotonic() > deadline or not worker.running():
            raise RuntimeError(f"the dashboard does not start:\n{text}")
        time.sleep(0.05)
    return worker, text.split("Dashboard: ")[1].split("#")[0].strip()


def _costs(board: Worker, seconds: float) -> tuple[float, float, float]:
    cpu, memory = board.cpu_seconds, board.resident_bytes
    time.sleep(seconds)
    used = (board.cpu_seconds - cpu) / seconds * 60
    return used, memory / 2**20, board.resident_bytes / 2**20


async def _listen(address: str, clients: int) -> None:
    """Take the events of the page, as so many browsers do."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        await asyncio.gather(
            *(_take(session, f"{address}api/events?as=html") for _ in range(clients))
        )


async def _take(session: aiohttp.ClientSession, address: str) -> None:
    async with session.get(address) as response:
        async for _ in response.content.iter_any():
            pass


def _change(uri: str) -> None:
    """Write changes into the database until this process is ended."""
    with pymongo.MongoClient[dict[str, object]](uri) as client:
        changes = client[DATABASE]["product_changes"]
        number = 0
        while True:
            began = time.monotonic()
            now = datetime.now(UTC)
            changes.insert_many(
                {
                    "product_id": FIRST_ID + number % 5000 + each,
                    "sku_id": None,
                    "field": "price",
                    "old": 2.0,
                    "new": 1.0 + each / 100,
                    "percent": each - 50.0,
                    "at": now,
                }
                for each in range(CHANGES_AT_ONCE)
            )
            number += CHANGES_AT_ONCE
            pause = CHANGES_AT_ONCE / CHANGES_A_SECOND - (time.monotonic() - began)
            time.sleep(max(0.0, pause))


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if role == "listen":
        asyncio.run(_listen(arguments[0], int(arguments[1])))
    else:
        _change(arguments[0])
