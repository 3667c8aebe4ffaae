"""What a queued product costs in Redis, and how all costs grow with the length of the queue."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from scrapy_redis import connection

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.lease import QueueEntry
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.spiders.product import ProductSpider
from benchmarks.contenders import PROJECT, STOCK
from benchmarks.counting_proxy import CountingProxy
from benchmarks.crawling import crawl, observe
from benchmarks.stage import FIRST_ID
from benchmarks.table import Series, Table
from benchmarks.worker import Worker

if TYPE_CHECKING:
    from benchmarks.contenders import Contender
    from benchmarks.scale import Scale
    from benchmarks.stage import Stage

COSTS = """\
{queued} calls are queued: by the project in batches, as `scrapy push` does, by stock scrapy-redis
as its scheduler does it for each request of a spider (pickled, a signed URL, with its duplicate
filter); *plain `LPUSH`* puts bare ids into a list, 1000 at a time, without looking for duplicates.
Bytes are the `MEMORY USAGE` of all keys, duplicate filter included. Round trips are counted by a
proxy between client and Redis: a pipeline or a script is one. Those of a crawl are all that a
worker makes for {products} products, from the start list to the acknowledgement, the cache's
included."""

GROWTH = """\
So many calls wait in the project's queue; one worker collects {sample} of them. Stock scrapy-redis
needs two round trips for each request that it queues; its queue is filled up to {stock_length}."""


def measure(stage: Stage, scale: Scale) -> list[Table]:
    rows = [_project_costs(stage, scale), _stock_costs(stage, scale), _list_costs(stage, scale)]
    explanation = COSTS.format(queued=f"{scale.queued:,}", products=f"{scale.products:,}")
    header = (
        *("queue", "bytes per queued call", "pushes/s", "round trips per push"),
        *("round trips per collected product", "bytes on the wire per product"),
    )
    return [Table("What a queued product costs in Redis", explanation, header, rows)]


def measure_growth(stage: Stage, scale: Scale) -> list[Table]:
    rows: list[tuple[str | float, ...]] = []
    for length in scale.lengths:
        memory, seconds = _push(stage, length)
        stage.forget_calls()
        run = observe(stage, PROJECT, scale.sample)
        stock: tuple[str | float, str | float] = ("-", "-")
        if length <= scale.stock_length:
            stock_memory, stock_seconds = _fill_stock_queue(stage, length)
            stock = (stock_memory / length, length / stock_seconds)
        row = (memory / length, length / seconds, run.products_per_second)
        rows.append((f"{length:,}", *row, run.peak_mebibytes, *stock))
        print(f"  {length:,}: {row[2]:.0f} products/s")
    header = (
        *("waiting calls", "bytes per call", "pushes/s", "products/s", "worker's peak MiB"),
        *("stock: bytes per call", "stock: pushes/s"),
    )
    explanation = GROWTH.format(sample=f"{scale.sample:,}", stock_length=f"{scale.stock_length:,}")
    speeds = [float(row[3]) for row in rows]
    plot = [Series("products/s", list(scale.lengths), speeds)]
    title = "How it grows with the length of the queue"
    return [Table(title, explanation, header, rows, plot, "products per second")]


def _project_costs(stage: Stage, scale: Scale) -> tuple[str | float, ...]:
    memory, seconds = _push(stage, scale.queued)
    with CountingProxy(stage.redis_url) as proxy:
        _push(stage, scale.queued, proxy.url)
        round_trips = proxy.round_trips / scale.queued
    per_push = (memory / scale.queued, scale.queued / seconds, round_trips)
    return ("this project", *per_push, *_crawl_costs(stage, PROJECT, scale.products))


def _stock_costs(stage: Stage, scale: Scale) -> tuple[str | float, ...]:
    memory, seconds = _fill_stock_queue(stage, scale.queued)
    with CountingProxy(stage.redis_url) as proxy:
        _fill_stock_queue(stage, scale.queued, proxy.url)
        round_trips = proxy.round_trips / scale.queued
    per_push = (memory / scale.queued, scale.queued / seconds, round_trips)
    return ("stock scrapy-redis", *per_push, *_crawl_costs(stage, STOCK, scale.products))


def _list_costs(stage: Stage, scale: Scale) -> tuple[str | float, ...]:
    stage.clear()
    began = time.perf_counter()
    PROJECT.queue(stage, scale.queued)
    seconds = time.perf_counter() - began
    memory = _used_memory(stage)
    per_push = (memory / scale.queued, scale.queued / seconds, 1 / 1000)
    return ("plain LPUSH", *per_push, "-", "-")


def _push(stage: Stage, count: int, url: str = "") -> tuple[float, float]:
    """Fill the project's queue; return the bytes and seconds that it took."""
    stage.clear()
    client = connection.get_redis(url=url or stage.redis_url)
    queue = LeaseQueue(client, ProductSpider, QUEUE_KEY)
    queue.push([QueueEntry(ApiCall.product(FIRST_ID))])  # loads the scripts
    began = time.perf_counter()
    queue.push(QueueEntry(ApiCall.product(FIRST_ID + index)) for index in range(1, count))
    seconds = time.perf_counter() - began
    client.close()
    return _used_memory(stage), seconds


def _fill_stock_queue(stage: Stage, count: int, url: str = "") -> tuple[float, float]:
    """Fill scrapy-redis's queue, in a process of its own; return bytes and seconds."""
    stage.clear()
    environment = stage.environment | {"REDIS_URL": url or stage.redis_url}
    command = ["-m", "benchmarks.rivals.stock.fill_queue", str(FIRST_ID), str(count)]
    with Worker(command, environment, stage.folder / "fill") as worker:
        worker.finish()
        seconds = float(worker.log.read_text().splitlines()[-1])
    return _used_memory(stage), seconds


def _crawl_costs(stage: Stage, contender: Contender, products: int) -> tuple[float, float]:
    """Return round trips and bytes on the wire of one worker, for each product."""
    with CountingProxy(stage.redis_url) as proxy:
        environment = {**contender.environment, "REDIS_URL": proxy.url}
        crawl(stage, replace(contender, environment=environment), products)
        return proxy.round_trips / products, proxy.bytes / products


def _used_memory(stage: Stage) -> int:
    """Return the bytes of all keys, their names included."""
    return sum(stage.redis.memory_usage(key, samples=0) for key in stage.redis.scan_iter())
