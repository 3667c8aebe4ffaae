"""Products that are asked for together: one call, one slot of the quota, and each on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness import Cluster, eventually, products

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.harness import Gateway, Scrapy

    Settings = Callable[[str], dict[str, str]]

FIRST = 610_000_000_001
CURATED = {"ALI1688_PRODUCT_API": "com.alibaba.fenxiao:alibaba.pifatuan.product.detail.list-1"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        cluster.settings = {
            "ALI1688_PROTOCOL": "param2",
            "ALI1688_GATEWAY": f"{cluster.gateway.url}/openapi",
            "ALI1688_CACHE_TTL": "0",
            **CURATED,
        }
        cluster.gateway.set(curated=1.0)
        yield cluster


def test_curated_products_come_fifty_a_call(
    scrapy: Scrapy, gateway: Gateway, settings_for: Settings, tmp_path: Path
) -> None:
    gateway.set(curated=1.0)
    foreign = [FIRST + number for number in range(50, 1000, 100)]
    ids = tmp_path / "ids.txt"
    ids.write_text("".join(f"{FIRST + number}\n" for number in range(1000)))
    settings = settings_for("param2") | CURATED
    arguments = ("product", "-a", f"ids_file={ids}", "-O", "out.jsonl")
    crawl = scrapy.crawl(*arguments, **settings)
    assert len(crawl.read("out.jsonl")) == 1000
    assert gateway.calls <= 25
    for product_id in foreign:
        gateway.product(product_id, curated=False)
    gateway.reset_counts()
    crawl = scrapy.crawl_incompletely(*arguments, **settings)
    assert set(crawl.read("out.jsonl")) == {FIRST + number for number in range(1000)} - {*foreign}
    assert crawl.stats["ali1688/failed_calls"] == 10
    assert gateway.calls <= 25 + 60
    assert crawl.log.count("[ali1688_spider.middlewares.errors] WARNING: ") == 1  # not one for each
    failed = scrapy.run("failed", "list", **settings).stdout
    assert all(str(product_id) in failed for product_id in foreign)
    assert "不是精选货源商品" in failed


def test_workers_share_a_queue_fifty_at_a_time(cluster: Cluster) -> None:
    ids = products(1000)
    foreign = ids[50::100]
    for product_id in foreign:
        cluster.gateway.product(product_id, curated=False)
    cluster.gateway.set(latency=300)
    command = ("crawl", "product", "-a", "idle=2", "-s", "CONCURRENT_REQUESTS=2")
    workers = [cluster.run(*command) for _ in range(2)]
    eventually(lambda: all(worker.has_opened for worker in workers))
    cluster.produce(ids)
    assert sum(worker.wait() for worker in workers) in {1, 2}  # whoever gave calls up
    assert cluster.done
    assert {each["params"]["product_id"] for each in cluster.failed_calls()} == {*foreign}
    stored = [worker.stats["item_scraped_count"] for worker in workers]
    assert sum(stored) == 990
    assert min(stored) > 100
    assert cluster.gateway.calls <= 25 + 60


def test_a_worker_that_is_killed_repeats_its_calls(cluster: Cluster) -> None:
    ids = products(200)
    cluster.gateway.set(latency=1000)
    cluster.produce(ids)
    killed = cluster.start("idle=2")
    cluster.gateway.wait_for(1)
    killed.kill()
    cluster.gateway.set(latency=0)
    worker = cluster.start("idle=5").finish().ended_well()
    assert worker.stats["item_scraped_count"] == 200
    assert worker.stats["ali1688/leases/expired"] >= 50
    assert cluster.done
    assert cluster.gateway.by_product.keys() == {*ids}


def test_a_few_products_do_not_wait_for_more(cluster: Cluster) -> None:
    worker = cluster.start()
    eventually(lambda: worker.has_opened)
    for number, product_id in enumerate(products(3), start=1):
        cluster.produce([product_id])
        eventually(lambda: cluster.done and cluster.gateway.calls == number)  # noqa: B023
    worker.stop()


def test_watched_products_are_collected_together(cluster: Cluster) -> None:
    ids = products(100)
    argument = f"ids={','.join(map(str, ids))}"
    worker = cluster.start(argument, "min_interval=1", "max_interval=2", spider="watch")
    eventually(lambda: min(cluster.gateway.by_product.get(each, 0) for each in ids) >= 3)
    assert cluster.gateway.calls <= sum(cluster.gateway.by_product.values()) / 10
    worker.stop()
