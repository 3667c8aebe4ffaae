"""One worker, side by side with others: products per second, CPU time and memory."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmarks import contenders
from benchmarks.crawling import Crawl, crawl
from benchmarks.table import Series, Table

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.scale import Scale
    from benchmarks.stage import Stage

EXPLANATION = """\
One worker each, {products} products, {rounds} rounds in which the contenders take turns; medians.
The project and stock scrapy-redis take the ids from a list in Redis and store into MongoDB, the
others neither queue nor store. *Stock* is `benchmarks/rivals/stock`: Scrapy's and scrapy-redis's
defaults (16 requests at once, 8 to one host), one `update_one(upsert=True)` for each product; then
with the project's 32 calls on the wire, which the others have too, and with its log level. The
project has its defaults, but for its limits, which are off; the cache is on.

The time is from the first call that the gateway saw until the last product is stored (or, where
nothing is stored, to the last call). CPU time is the worker process's alone (`wait4`), less that of
a worker which collects one product. *Project's speed* is the median over the rounds of the
project's products per second divided by the contender's in the same round: above 1, the project is
faster. *Project's CPU* is the same of the CPU seconds per 1000 products: below 1, it needs less.
Plain aiohttp is what the gateway and this machine give at most."""


def measure(stage: Stage, scale: Scale) -> list[Table]:
    crawls: dict[str, list[Crawl]] = {}
    starts: dict[str, Crawl] = {}
    for round_ in range(scale.rounds):
        for contender in contenders.ALL:
            if round_ == 0 and (scale.every_start or contender is contenders.PROJECT):
                starts[contender.name] = crawl(stage, contender, 1)
            crawls.setdefault(contender.name, []).append(crawl(stage, contender, scale.products))
            print(f"  {contender.name}: {crawls[contender.name][-1].products_per_second:.0f}/s")
    rows = [_row(contender, crawls, starts) for contender in contenders.ALL]
    names = [str(row[0]) for row in rows]
    return [
        Table(
            "Throughput of one worker",
            EXPLANATION.format(products=f"{scale.products:,}", rounds=scale.rounds),
            (
                *("contender", "products/s", "lowest - highest", "project's speed"),
                *("CPU s per 1000", "project's CPU", "CPU s to start", "peak MiB"),
            ),
            [tuple(row) for row in rows],
            # Plain aiohttp would make all others look alike.
            [Series("products/s", [*names[:-1]], [float(row[1]) for row in rows[:-1]])],
            "products per second",
        )
    ]


def _row(
    contender: Contender, crawls: dict[str, list[Crawl]], starts: dict[str, Crawl]
) -> tuple[str, float, str, float, float, float, float, str]:
    own, project = crawls[contender.name], crawls[contenders.PROJECT.name]
    speeds = [each.products_per_second for each in own]
    ours = [each.products_per_second for each in project]
    project_start = starts[contenders.PROJECT.name]
    start = starts.get(contender.name, project_start)
    cpu = [cpu_per_thousand(each, start) for each in own]
    own_cpu = [cpu_per_thousand(each, project_start) for each in project]
    return (
        contender.name,
        median(speeds),
        f"{min(speeds):,.0f} - {max(speeds):,.0f}",
        median(mine / theirs for mine, theirs in zip(ours, speeds, strict=True)),
        median(cpu),
        median(mine / theirs for mine, theirs in zip(own_cpu, cpu, strict=True)),
        start.cpu_seconds,
        max(own, key=lambda each: each.peak_bytes or 0).peak_mebibytes,
    )


def cpu_per_thousand(crawl_: Crawl, start: Crawl) -> float:
    """Return the CPU seconds for 1000 products, without those for starting."""
    return (crawl_.cpu_seconds - start.cpu_seconds) / crawl_.products * 1000
