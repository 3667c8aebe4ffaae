"""What single parts of the project cost: the project with and without them, in turns."""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import PROJECT, Contender
from benchmarks.crawling import Crawl, crawl, observe
from benchmarks.stage import DATABASE
from benchmarks.table import Table
from benchmarks.throughput import cpu_per_thousand

if TYPE_CHECKING:
    from benchmarks.scale import Scale
    from benchmarks.stage import Stage

EXPLANATION = """\
The project against itself, {products} products, {rounds} rounds in turns; medians, and the medians
of the ratios within a round. Without history, `benchmarks/rivals/plain_store.py` takes the place
of the project's pipeline: the same batches, but a plain upsert of each product, without reading
what was stored and without looking for changes. Before products are collected again, all of them
are in the database and the cache is empty; *prices moved* means that {moved} of the products
changed in price or stock. The shared limits are so high that no call waits."""

TWISTED = {"http": "scrapy.core.downloader.handlers.http11.HTTP11DownloadHandler"}
PIPELINES = {
    "ali1688_spider.pipelines.validation.ValidationPipeline": 100,
    "ali1688_spider.pipelines.mongo.MongoPipeline": None,
    "benchmarks.rivals.plain_store.PlainStorePipeline": 300,
}


def _setting(name: str, value: dict[str, Any]) -> str:
    braces = str.maketrans({"{": "{{", "}": "}}"})  # a command is a format string
    return f"{name}={json.dumps(value)}".translate(braces)


WITHOUT_HISTORY = replace(
    PROJECT,
    name="without history",
    arguments=(*PROJECT.arguments, "-s", _setting("ITEM_PIPELINES", PIPELINES)),
)
WITHOUT_CACHE = replace(
    PROJECT,
    name="without cache",
    environment={**PROJECT.environment, "ALI1688_CACHE_TTL": "0"},
)
WITH_QUOTA = replace(
    PROJECT,
    name="with the shared limits on",
    environment={
        **PROJECT.environment,
        "ALI1688_QPS": "100000",
        "ALI1688_DAILY_QUOTA": "1000000000",
    },
)
WITH_TWISTED = replace(
    PROJECT,
    name="with Scrapy's default HTTP client (Twisted)",
    arguments=(*PROJECT.arguments, "-s", _setting("DOWNLOAD_HANDLERS", TWISTED)),
)
WITHOUT_UVLOOP = replace(
    PROJECT,
    name="without uvloop",
    arguments=(*PROJECT.arguments, "-s", "ASYNCIO_EVENT_LOOP=asyncio.SelectorEventLoop"),
)
VARIANTS = (WITHOUT_HISTORY, WITH_QUOTA, WITHOUT_CACHE, WITH_TWISTED, WITHOUT_UVLOOP, PROJECT)
STEPS_AHEAD = 10_000  # of the sandbox's time, by which prices and stocks have moved


def measure(stage: Stage, scale: Scale) -> list[Table]:
    runs: dict[str, list[Crawl]] = {}
    start = crawl(stage, PROJECT, 1)
    moved = 0
    for _ in range(scale.feature_rounds):
        for variant in VARIANTS:
            _note(runs, f"first time: {variant.name}", crawl(stage, variant, scale.products))
        step = 0
        for scenario, steps in (("unchanged", 0), ("prices moved", STEPS_AHEAD)):
            for variant in (PROJECT, WITHOUT_HISTORY):
                step += steps
                run = _crawl_again(stage, variant, scale.products, step)
                _note(runs, f"again, {scenario}: {variant.name}", run)
                if variant is PROJECT and steps:
                    moved = len(stage.mongo[DATABASE]["product_changes"].distinct("product_id"))
    return [_table(scale, runs, start, moved)]


def _note(runs: dict[str, list[Crawl]], name: str, run: Crawl) -> None:
    runs.setdefault(name, []).append(run)
    print(f"  {name}: {run.products_per_second:.0f}/s")


def _crawl_again(stage: Stage, contender: Contender, products: int, step: int) -> Crawl:
    stage.redis.flushall()
    stage.forget_calls()
    stage.configure_gateway({"step": step})
    stage.count_again()
    contender.queue(stage, products)
    try:
        return observe(stage, contender, products)
    finally:
        stage.configure_gateway({"step": 0})


def _table(scale: Scale, runs: dict[str, list[Crawl]], start: Crawl, moved: int) -> Table:
    rows: list[tuple[str | float, ...]] = []
    for name, own in runs.items():
        against = _compared_with(name)
        ratios = [
            mine.products_per_second / theirs.products_per_second
            for mine, theirs in zip(own, runs[against], strict=True)
        ]
        cpu = median(cpu_per_thousand(each, start) for each in own)
        cpu_against = median(cpu_per_thousand(each, start) for each in runs[against])
        speed = median(each.products_per_second for each in own)
        rows.append((name, speed, median(ratios), cpu, cpu / cpu_against))
    explanation = EXPLANATION.format(
        products=f"{scale.products:,}", rounds=scale.feature_rounds, moved=f"{moved:,}"
    )
    header = ("variant", "products/s", "speed against it", "CPU s per 1000", "CPU against it")
    return Table(
        "What history, limits, cache, the HTTP client and the event loop cost",
        explanation,
        header,
        rows,
    )


def _compared_with(name: str) -> str:
    return f"{name.partition(': ')[0]}: {PROJECT.name}"
