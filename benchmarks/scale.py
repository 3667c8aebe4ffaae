"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Sizes of the measurements.

    Attributes:
        products: Products of a crawl.
        rounds: How often each crawl is repeated; the contenders take turns.
        every_start: Whether each contender collects one product first, which tells what its start
            costs; otherwise the project's start stands for all.
        feature_rounds: The same for the project's own variants.
        queued: Calls queued where costs per call are measured.
        lengths: Calls that wait, where it is measured how costs grow.
        stock_length: Up to which of these lengths scrapy-redis's own queue is filled: it needs two
            round trips for each call.
        sample: Products that are collected while the others wait.
        limit: Calls per second where the shared rate is measured.
        workers: How many workers share it.
        seconds: For how long.
        idle_seconds: For how long an idle worker is watched.
        idle_pushes: How many ids it gets afterwards, one by one.
        idle_pause: Seconds between them.
        dashboard_seconds: For how long the dashboard is watched.
        watched: How many products are watched, in Redis.
        watched_in_file: The same without Redis.
        watch_seconds: For how long a worker watches them.
        stored: How many products are stored, growing.
        changes_each: How many changes each of them has.
        workbook: How many of them go into a workbook.
    """

    products: int
    rounds: int
    every_start: bool
    feature_rounds: int
    queued: int
    lengths: tuple[int, ...]
    stock_length: int
    sample: int
    limit: int
    workers: tuple[int, ...]
    seconds: float
    idle_seconds: float
    idle_pushes: int
    idle_pause: float
    dashboard_seconds: float
    watched: tuple[int, ...]
    watched_in_file: tuple[int, ...]
    watch_seconds: float
    stored: tuple[int, ...]
    changes_each: int
    workbook: int


FULL = Scale(
    products=2000,
    rounds=3,
    every_start=True,
    feature_rounds=2,
    queued=10_000,
    lengths=(1_000, 10_000, 100_000, 1_000_000),
    stock_length=10_000,
    sample=1000,
    limit=40,
    workers=(1, 4, 8),
    seconds=12.0,
    idle_seconds=60.0,
    idle_pushes=9,
    idle_pause=3.0,
    dashboard_seconds=60.0,
    watched=(1_000, 100_000, 1_000_000),
    watched_in_file=(1_000, 100_000),
    watch_seconds=20.0,
    stored=(20_000, 100_000),
    changes_each=5,
    workbook=60_000,
)
QUICK = Scale(
    products=20,
    rounds=1,
    every_start=False,
    feature_rounds=1,
    queued=100,
    lengths=(100, 200),
    stock_length=100,
    sample=20,
    limit=20,
    workers=(1, 2),
    seconds=2.0,
    idle_seconds=1.0,
    idle_pushes=1,
    idle_pause=0.1,
    dashboard_seconds=1.0,
    watched=(50,),
    watched_in_file=(50,),
    watch_seconds=1.0,
    stored=(20,),
    changes_each=2,
    workbook=20,
)
