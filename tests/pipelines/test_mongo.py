from __future__ import annotations

import asyncio
import copy
import gc
import json
import logging
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis
from bson import Decimal128
from pymongo import monitoring
from scrapy.exceptions import CloseSpider, DropItem, NotConfigured
from scrapy.utils.test import get_crawler

from ali1688_spider import settings as project_settings
from ali1688_spider.addon import context_of
from ali1688_spider.extensions.results import CrawlRecord
from ali1688_spider.items import ParsedProduct, Product
from ali1688_spider.pipelines.mongo import MongoPipeline
from ali1688_spider.pipelines.validation import ValidationPipeline, check
from ali1688_spider.storage.failed_calls import FailedCall
from tests.gateway.catalogued import DETAIL, KEYWORD, read_page, read_product, sample
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from pymongo.database import Database
    from scrapy.crawler import Crawler


NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def product(product_id: int, seconds: int = 0, **fields: Any) -> Product:
    return Product.model_validate(
        {
            "product_id": product_id,
            "name": "裙",
            "url": f"https://detail.1688.com/offer/{product_id}.html",
            "source_api": "alibaba.product.get",
            "fetched_at": NOON + timedelta(seconds=seconds),
            "currency": "CNY",
            **fields,
        }
    )


def crawler_with(**changes: str) -> Crawler:
    """Return a crawler with the project's settings and these."""
    values = {name: value for name, value in vars(project_settings).items() if name.isupper()}
    values |= {"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "test123"}
    values |= {"TWISTED_REACTOR_ENABLED": False, "REDIS_URL": "", "MONGO_URI": ""}
    return get_crawler(settings_dict=values | changes)


@pytest.fixture
def make_crawler(mongo_uri: str, mongo_database: str) -> Callable[..., Crawler]:
    def make(**changes: str) -> Crawler:
        return crawler_with(MONGO_URI=mongo_uri, MONGO_DATABASE=mongo_database, **changes)

    return make


@pytest.fixture
def crawler(make_crawler: Callable[..., Crawler]) -> Crawler:
    return make_crawler(ALI1688_HISTORY_DAYS="30")


@asynccontextmanager
async def opened(crawler: Crawler) -> AsyncIterator[MongoPipeline]:
    """Open a pipeline; close it and the connections of the crawl."""
    pipeline = MongoPipeline.from_crawler(crawler)
    try:
        await pipeline.open_spider()
        yield pipeline
    finally:
        await pipeline.close_spider()
        await context_of(crawler).close()


@pytest.fixture
def stored(mongo_uri: str, mongo_database: str) -> Iterator[Database[dict[str, Any]]]:
    with pymongo.MongoClient[dict[str, Any]](mongo_uri, tz_aware=True, tzinfo=UTC) as client:
        yield client[mongo_database]


def own_stats(crawler: Crawler) -> dict[str, Any]:
    stats = crawler.stats.get_stats()
    return {name: value for name, value in stats.items() if name.startswith("ali1688/")}


async def test_products_are_stored_with_their_history(
    crawler: Crawler, stored: Database[dict[str, Any]]
) -> None:
    minute = timedelta(minutes=1)
    async with opened(crawler) as pipeline:
        new = product(7, price=Decimal("12.50"), stock=3)
        assert await pipeline.process_item(new) is new
        assert (new.first_seen_at, new.changed_at) == (NOON, NOON)
        same = await pipeline.process_item(product(7, 60, price=Decimal("12.50"), stock=3))
        assert (same.first_seen_at, same.changed_at) == (NOON, NOON)
        dearer = await pipeline.process_item(product(7, 120, price=Decimal("13.10"), stock=3))
        assert (dearer.first_seen_at, dearer.changed_at) == (NOON, NOON + 2 * minute)
        await pipeline.process_item(product(7, 90, price=Decimal(1), stock=3))

    document = stored["products"].find_one({}, {"answer_digest": 0})
    assert document is not None
    assert document["price_tiers"] == document["skus"] == document["images"] == []
    assert {name: value for name, value in document.items() if value not in (None, {}, [])} == {
        "_id": 7,
        "product_id": 7,
        "name": "裙",
        "price": Decimal128("13.10"),
        "stock": 3,
        "currency": "CNY",
        "price_private": False,
        "url": "https://detail.1688.com/offer/7.html",
        "source_api": "alibaba.product.get",
        "fetched_at": NOON + 2 * minute,
        "first_seen_at": NOON,
        "changed_at": NOON + 2 * minute,
    }
    assert set(Product.model_fields) == set(document) - {"_id"} | {"promotion_price"}
    [change] = stored["product_changes"].find({}, {"_id": 0})
    assert change == {
        "product_id": 7,
        "sku_id": None,
        "field": "price",
        "old": Decimal128("12.50"),
        "new": Decimal128("13.10"),
        "percent": 4.8,
        "at": NOON + 2 * minute,
    }
    assert own_stats(crawler) == {
        "ali1688/items/new": 1,
        "ali1688/items/unchanged": 1,
        "ali1688/items/changed": 1,
        "ali1688/items/outdated": 1,
        "ali1688/items/stored": 3,
    }
    expiry = stored["product_changes"].index_information()["at_1"]["expireAfterSeconds"]
    assert expiry == 30 * 86_400


async def test_other_items_pass(crawler: Crawler) -> None:
    item = {"product_id": 7}
    async with opened(crawler) as pipeline:
        assert await pipeline.process_item(item) is item
    assert own_stats(crawler) == {}


@pytest.mark.parametrize(
    ("name", "reason", "kept"),
    [
        (
            "half a pair: \ud800",
            "document: BSON cannot hold it: UnicodeEncodeError",
            r"half a pair: \ud800",
        ),
        (
            "x" * 1024 * 1024,
            "document: 1048708 bytes long, must stay below 1048576",
            "x" * 1024 * 1024,
        ),
    ],
)
async def test_a_product_that_cannot_be_encoded_is_kept_among_the_rejected(
    *,
    crawler: Crawler,
    stored: Database[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    name: str,
    reason: str,
    kept: str,
) -> None:
    async with opened(crawler) as pipeline:
        with pytest.raises(DropItem):
            await pipeline.process_item(product(7).model_copy(update={"name": name}))
        await pipeline.process_item(product(8))
    [rejected] = stored["rejected_items"].find()
    assert (rejected["product_id"], rejected["at"]) == (7, NOON)
    assert rejected["errors"][0].startswith(reason)
    assert kept in str(rejected["payload"])
    assert own_stats(crawler) == {
        "ali1688/items/rejected": 1,
        "ali1688/items/new": 1,
        "ali1688/items/stored": 1,
    }
    assert caplog.messages == [f"Rejected product 7: {rejected['errors'][0]}"]


def test_without_a_database(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with pytest.raises(NotConfigured):
        MongoPipeline.from_crawler(crawler_with())
    [record] = [each for each in caplog.records if each.name == MongoPipeline.__module__]
    assert (record.levelname, record.getMessage()) == (
        "INFO",
        "MONGO_URI is empty: products go to feeds only",
    )


# The driver leaves it to the garbage collector to close what its monitor was about to open.
@pytest.mark.filterwarnings("ignore:Exception ignored in.*socket")
def test_an_unreachable_database_closes_the_spider(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ali1688_spider.storage.database.SELECTION_SECONDS", 0.2)

    async def close_reason() -> str:
        unreachable = f"mongodb://user:s3cret@127.0.0.1:{free_port()}/"
        try:
            async with opened(crawler_with(MONGO_URI=unreachable)):
                return "it opened"
        except CloseSpider as closed:
            return closed.reason

    assert asyncio.run(close_reason()) == "database_unavailable"
    gc.collect()
    [record] = (record for record in caplog.records if record.name.startswith("ali1688_spider"))
    assert (record.levelno, record.exc_info) == (logging.ERROR, None)
    assert record.message.startswith("Nothing can be stored: MongoDB does not answer (127.0.0.1:")
    assert record.message.endswith(": start it, or correct MONGO_URI")


class Pools(monitoring.ConnectionPoolListener):
    """Counts the pools of connections that are open: each client has one for each server."""

    def __init__(self) -> None:
        self.open = 0

    def pool_created(self, _event: monitoring.PoolCreatedEvent) -> None:
        self.open += 1

    def pool_closed(self, _event: monitoring.PoolClosedEvent) -> None:
        self.open -= 1

    def _ignore(self, _event: object) -> None:
        pass

    pool_ready = pool_cleared = connection_created = connection_ready = _ignore
    connection_closed = connection_check_out_started = connection_checked_in = _ignore
    connection_check_out_failed = connection_checked_out = _ignore


POOLS = Pools()
monitoring.register(POOLS)


async def test_one_client_stores_everything_that_a_worker_stores(
    make_crawler: Callable[..., Crawler], stored: Database[dict[str, Any]]
) -> None:
    stored.client.admin.command("ping")
    others = POOLS.open
    crawler = make_crawler()
    crawler.spider = crawler._create_spider()
    record = CrawlRecord.from_crawler(crawler)
    validation = ValidationPipeline.from_crawler(crawler)
    async with opened(crawler) as pipeline:
        await pipeline.process_item(product(7))
        with pytest.raises(DropItem):
            await validation.process_item(ParsedProduct({"product_id": 8}, None, "api", NOON))
        await context_of(crawler).failed_calls.keep(
            FailedCall(spider="product", call="9", api="", params={}, error="", attempts=1, at=NOON)
        )
        await record.write(crawler.spider, "finished")
        assert POOLS.open == others + 1
    assert POOLS.open == others
    names = ("products", "rejected_items", "failed_calls", "crawls")
    assert [stored[name].count_documents({}) for name in names] == [1] * 4


@pytest.fixture
def with_redis(make_crawler: Callable[..., Crawler], redis_url: str) -> Crawler:
    return make_crawler(REDIS_URL=redis_url, ALI1688_CHANGE_MIN_PERCENT="5")


def stream(redis_url: str) -> list[Any]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        entries: Any = client.xrange("ali1688:changes")
    return [json.loads(entry["change"]) for _, entry in entries]


async def test_changes_reach_the_redis_stream(
    with_redis: Crawler, redis_url: str, stored: Database[dict[str, Any]]
) -> None:
    async with opened(with_redis) as pipeline:
        await pipeline.process_item(product(7, price=Decimal(10), stock=100))
        await pipeline.process_item(product(7, 60, price=Decimal(9), stock=99))
    assert stored["product_changes"].count_documents({}) == 2
    [change] = stream(redis_url)
    assert change["percent"] == -10.0


@pytest.mark.parametrize("key", ["ali1688:changes", "{ali1688:changes}:ids"])
async def test_a_stream_that_takes_nothing_holds_up_no_product(
    *,
    make_crawler: Callable[..., Crawler],
    redis_url: str,
    stored: Database[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
    key: str,
) -> None:
    caplog.set_level(logging.INFO, "ali1688_spider")
    crawler = make_crawler(REDIS_URL=redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.set(key, "of another program's")
        async with opened(crawler) as pipeline:
            for number in range(3):
                await pipeline.process_item(product(7, 60 * number, price=Decimal(10 - number)))
        assert own_stats(crawler)["ali1688/items/stored"] == 3
        assert own_stats(crawler)["ali1688/changes/kept"] >= 1
        assert stored["product_changes"].count_documents({}) == 2
        [pending] = stored["products"].find({"pending_changes": {"$exists": True}})
        assert len(pending["pending_changes"]) == 2
        [record] = (each for each in caplog.records if each.name.startswith("ali1688_spider"))
        assert record.levelname == "ERROR"
        assert record.message.startswith(
            "The Redis Stream takes no changes: Redis refuses the key "
        )
        assert record.message.endswith("; products go on, changes are kept")

        client.delete(key)
        async with opened(make_crawler(REDIS_URL=redis_url)):
            pass
    assert [change["new"] for change in stream(redis_url)] == ["9", "8"]
    assert stored["products"].count_documents({"pending_changes": {"$exists": True}}) == 0


def detail(seconds: int, **changes: Any) -> Product:
    """Return what ``queryProductDetail`` says of the example of retail prices."""
    data = copy.deepcopy(sample("detail_retail"))
    data["result"]["result"] |= {"productSkuInfos": None, **changes}
    return made(read_product(DETAIL, data), seconds, complete=True)


def row(seconds: int, **prices: str) -> Product:
    """Return what a row of a search says of it."""
    data = {
        "offerId": 610000000060,
        "subject": "硅胶折叠杯",
        "priceInfo": {"price": "4.05", **prices},
    }
    page = read_page(KEYWORD, {"result": {"result": {"totalRecords": 1, "data": [data]}}})
    return made(page.rows[0], seconds, complete=False)


def made(fields: dict[str, Any], seconds: int, *, complete: bool) -> Product:
    at = NOON + timedelta(seconds=seconds)
    checked = check(ParsedProduct(fields, None, "api", at, complete))
    assert isinstance(checked, Product), checked
    return checked


def without_campaign() -> dict[str, Any]:
    sale = copy.deepcopy(sample("detail_retail"))["result"]["result"]["productSaleInfo"]
    sale["priceRangeList"][0]["promotionPrice"] = ""
    return {"productSaleInfo": sale}


async def test_a_campaign_and_a_delisting_are_changes_of_their_own(
    crawler: Crawler, stored: Database[dict[str, Any]]
) -> None:
    usual = without_campaign()
    async with opened(crawler) as pipeline:
        for observed in (
            detail(0, **usual),
            detail(60),  # the campaign begins
            row(120),  # tells nothing of it
            row(180, promotionPrice="3.90"),
            detail(240, **usual),  # and ends
            detail(300, **usual, status="member expired"),
        ):
            await pipeline.process_item(observed)

    changes = stored["product_changes"].find().sort([("at", 1), ("field", -1)])
    assert [(each["field"], each["old"], each["new"]) for each in changes] == [
        ("promotion_price", None, Decimal128("3.90")),
        ("promotion_price", Decimal128("3.90"), None),
        ("status", "published", "member expired"),
        ("available", True, False),
    ]
    document = stored["products"].find_one()
    assert document is not None
    assert document["price_tiers"] == [
        {"min_quantity": 1, "price": Decimal128("4.80")},
        {"min_quantity": 2, "price": Decimal128("4.05")},
    ]
    assert (document["price"], document["price_max"]) == (Decimal128("4.05"), Decimal128("4.80"))
    assert (document["retail_price"], document["promotion_price"]) == (Decimal128("4.80"), None)
    assert (document["available"], document["stock"]) == (False, 1000)


async def test_the_image_of_a_row_never_replaces_a_product_s_images(
    crawler: Crawler, stored: Database[dict[str, Any]]
) -> None:
    fields = {"name": "杯", "images": ["https://cbu01.alicdn.com/row.jpg"]}
    own = {"name": "杯", "images": ["https://cbu01.alicdn.com/1.jpg"]}
    async with opened(crawler) as pipeline:
        await pipeline.process_item(made({"product_id": 1, **fields}, 0, complete=False))
        await pipeline.process_item(made({"product_id": 2, **own}, 0, complete=True))
        await pipeline.process_item(made({"product_id": 2, **fields}, 60, complete=False))
    images = {each["_id"]: each["images"] for each in stored["products"].find()}
    assert images == {1: fields["images"], 2: own["images"]}
