"""Who takes part: the project and what it is measured against."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.stage import FIRST_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.stage import Stage

CONCURRENCY = 32
"""The project's own: calls on the wire."""
PUSHED_AT_ONCE = 1000
IN_MEMORY_SPIDER = str(Path(__file__).parent / "rivals" / "in_memory.py")


@dataclass(frozen=True)
class Contender:
    """One way to collect products.

    Attributes:
        name: What the tables call it.
        arguments: What follows ``python``; ``{first}`` and ``{count}`` are the ids to collect.
        environment: Variables that it needs besides the stage's.
        start_key: The list in Redis that it takes ids from; without one, its arguments name them.
        stores: Whether it writes the products into MongoDB.
    """

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    start_key: str = ""
    stores: bool = True

    def command(self, count: int) -> list[str]:
        return [argument.format(first=FIRST_ID, count=count) for argument in self.arguments]

    def queue(self, stage: Stage, count: int) -> None:
        """Hand the ids over as any producer may: ``LPUSH`` of bare ids."""
        for start in range(0, count if self.start_key else 0, PUSHED_AT_ONCE):
            end = min(start + PUSHED_AT_ONCE, count)
            stage.redis.lpush(self.start_key, *range(FIRST_ID + start, FIRST_ID + end))


AT_OUR_CONCURRENCY = (
    *("-s", f"CONCURRENT_REQUESTS={CONCURRENCY}"),
    *("-s", f"CONCURRENT_REQUESTS_PER_DOMAIN={CONCURRENCY}"),
)
PROJECT = Contender(
    "this project",
    ("-m", "scrapy", "crawl", "product"),
    {"SCRAPY_SETTINGS_MODULE": "ali1688_spider.settings"},
    start_key="product:start_urls",
)
STOCK = Contender(
    "stock scrapy-redis",
    ("-m", "scrapy", "crawl", "stock"),
    {"SCRAPY_SETTINGS_MODULE": "benchmarks.rivals.stock.settings"},
    start_key="stock:start_urls",
)
WIDE_STOCK = replace(
    STOCK,
    name="stock scrapy-redis, 32 at once",
    arguments=(*STOCK.arguments, *AT_OUR_CONCURRENCY),
)
QUIET_STOCK = replace(
    WIDE_STOCK,
    name="stock scrapy-redis, 32 at once, LOG_LEVEL=INFO",
    arguments=(*WIDE_STOCK.arguments, "-s", "LOG_LEVEL=INFO"),
)
IN_MEMORY = Contender(
    "Scrapy in memory",
    (
        *("-m", "scrapy", "runspider", IN_MEMORY_SPIDER),
        *("-a", "first={first}", "-a", "count={count}"),
        *AT_OUR_CONCURRENCY,
    ),
    stores=False,
)
PLAIN_AIOHTTP = Contender(
    "plain aiohttp",
    ("-m", "benchmarks.rivals.plain_aiohttp", "{first}", "{count}"),
    stores=False,
)
ALL = (PROJECT, STOCK, WIDE_STOCK, QUIET_STOCK, IN_MEMORY, PLAIN_AIOHTTP)
