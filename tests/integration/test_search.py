"""Searches: every product found once, in no more pages than needed."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from ali1688_spider.sandbox.category_tree import CATEGORIES
from ali1688_spider.sandbox.options import Options
from ali1688_spider.sandbox.products import Criteria, Inventory
from tests.harness import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness import Gateway, Scrapy

    Settings = Callable[[str], dict[str, str]]

KEYWORD_QUERY = "com.alibaba.fenxiao.crossborder:product.search.keywordQuery-1"
OWN_PRODUCTS = "com.alibaba.product:alibaba.product.list.get-1"


@pytest.mark.parametrize(
    ("protocol", "api", "arguments", "pages"),
    [
        ("router", "", ["-a", "keyword=杯子95"], 5),
        ("param2", KEYWORD_QUERY, ["-a", "keyword=杯子95"], 2),
        ("param2", OWN_PRODUCTS, ["-a", "max_pages=99"], 5),
    ],
)
def test_each_of_95_products_arrives_once(
    *,
    protocol: str,
    api: str,
    arguments: list[str],
    pages: int,
    scrapy: Scrapy,
    gateway: Gateway,
    settings_for: Settings,
) -> None:
    crawl = scrapy.crawl(
        "search",
        *arguments,
        *("-O", "found.jsonl"),
        **settings_for(protocol),
        ALI1688_SEARCH_API=api,
    )
    found = crawl.read("found.jsonl")
    assert len(found) == crawl.stats["item_scraped_count"] == 95
    assert gateway.status()["calls"] == crawl.stats["ali1688/search/pages"] == pages
    for product_id, product in found.items():
        truth = gateway.product(product_id)
        price = None if truth["traits"]["private"] else Decimal(truth["price"])
        assert product["name"] == truth["name"]
        told = product.get("price")
        assert (None if told is None else Decimal(told)) == price


def test_a_category_and_a_range_of_prices(
    scrapy: Scrapy, gateway: Gateway, settings_for: Settings
) -> None:
    category_id = CATEGORIES[0].category_id
    criteria = Criteria("杯子1800", category_id, Decimal("12.50"), Decimal(80))
    wanted = Inventory(Options()).find(criteria, step=0)
    arguments = f"keyword=杯子1800 category_id={category_id} price_start=12.50 price_end=80"
    crawl = scrapy.crawl(
        "search",
        *(part for argument in arguments.split() for part in ("-a", argument)),
        *("-O", "found.jsonl"),
        **settings_for("param2"),
    )
    assert 50 < len(wanted) <= 100
    assert set(crawl.read("found.jsonl")) == set(wanted)
    assert gateway.status()["calls"] == 2


def test_rows_erase_nothing_and_details_are_collected_when_wanted(
    scrapy: Scrapy, gateway: Gateway, settings_for: Settings, mongo_uri: str, mongo_database: str
) -> None:
    settings = settings_for("param2") | {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongo_uri)
    products = client[mongo_database]["products"]

    crawl = scrapy.crawl("search", "-a", "keyword=杯子95", "-a", "details=1", **settings)
    assert gateway.status()["calls"] == 97
    assert set(gateway.status()["by_product"].values()) == {1}
    assert crawl.stats["ali1688/items/new"] == 95
    detailed = {document["_id"]: document for document in products.find()}
    assert sum(len(document["skus"]) for document in detailed.values()) > 95

    (dearer, *_) = detailed
    gateway.product(dearer, price="987.65")
    crawl = scrapy.crawl("search", "-a", "keyword=杯子95", "-a", "max_pages=1", **settings)
    assert crawl.stats["ali1688/search/pages"] == 1
    assert crawl.stats["item_scraped_count"] == 50
    newer = {document["_id"]: document for document in products.find()}
    assert len(newer) == 95
    for product_id, document in newer.items():
        for field in ("skus", "attributes", "images", "stock", "supplier", "price_tiers", "name"):
            assert document[field] == detailed[product_id][field]
    assert str(newer[dearer]["price"]) == "987.65"
    client.close()


def test_a_search_beyond_the_window_is_split_by_price(
    scrapy: Scrapy, settings_for: Settings
) -> None:
    crawl = scrapy.crawl(
        "search", "-a", "keyword=杯子4500", "-O", "found.jsonl", **settings_for("param2")
    )
    found = crawl.read("found.jsonl")
    assert crawl.stats["item_scraped_count"] == len(found)
    inventory = Inventory(Options())
    wanted = inventory.find(Criteria("杯子4500"), step=0)
    assert len(wanted) == 4500
    assert set(wanted) == set(found)
    assert crawl.stats["ali1688/search/pages"] < 100  # 85 hold them all


SHARED_SEARCH = ("crawl", "search", "-a", "keyword=杯子2400", "-O", "found.jsonl")


def test_workers_share_a_search_and_a_later_one_finds_all_again(
    tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.settings = {
            "ALI1688_PROTOCOL": "param2",
            "ALI1688_GATEWAY": f"{cluster.gateway.url}/openapi",
            "MONGO_URI": mongo_uri,
            "MONGO_DATABASE": mongo_database,
        }
        cluster.gateway.set(latency=50)
        for _ in range(2):
            # Split by price: the halves begin with what the whole query begins with.
            workers = [cluster.run(*SHARED_SEARCH) for _ in range(2)]
            assert [worker.wait() for worker in workers] == [0, 0]
            for worker in workers:  # each has what the other has found as well
                lines = (worker.folder / "found.jsonl").read_text().splitlines()
                assert len(lines) == len(worker.read("found.jsonl")) == 2400
            # Few pages are known at a time, so that one worker may be there before the other.
            counts = [worker.stats.get("item_scraped_count", 0) for worker in workers]
            assert sum(counts) == 2400


def test_a_worker_goes_on_with_the_search_of_one_that_was_killed(
    tmp_path: Path, mongo_uri: str, mongo_database: str
) -> None:
    with Cluster(tmp_path, {"ALI1688_LEASE_SECONDS": "2"}) as cluster:
        cluster.settings |= {
            "ALI1688_PROTOCOL": "param2",
            "ALI1688_GATEWAY": f"{cluster.gateway.url}/openapi",
            "MONGO_URI": mongo_uri,
            "MONGO_DATABASE": mongo_database,
        }
        cluster.gateway.set(latency=50)
        killed = cluster.run(*SHARED_SEARCH)
        cluster.gateway.wait_for(20)
        killed.kill()
        other = cluster.run(*SHARED_SEARCH)
        assert other.wait() == 0
        assert len(other.read("found.jsonl")) == 2400
        assert 0 < other.stats["item_scraped_count"] < 2400
