"""A report read from a database."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from bson import Decimal128
from pymongo.monitoring import CommandListener
from scrapy.settings import Settings

from ali1688_spider.exporting.selection import READ_OPTIONS, changes, open_database, products
from ali1688_spider.reporting.figures import Event, Period, PriceMove
from ali1688_spider.reporting.reading import crawl_figures, read_report
from ali1688_spider.storage.database import connect, ensure_indexes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database
    from pymongo.monitoring import (
        CommandFailedEvent,
        CommandStartedEvent,
        CommandSucceededEvent,
    )

    from ali1688_spider.reporting.figures import Report

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
PERIOD = Period.last_days(7, NOW)


@pytest.fixture
def database(mongo_server_uri: str, mongo_database: str) -> Iterator[Database[dict[str, Any]]]:
    settings = Settings({"MONGO_URI": mongo_server_uri, "MONGO_DATABASE": mongo_database})
    with open_database(settings) as database:
        yield database


def product(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "_id": number,
        "product_id": number,
        "name": f"裙 {number}",
        "price": Decimal128("9.90"),
        "stock": 5,
        "status": "published",
        "price_private": False,
        "fetched_at": NOW - HOUR,
        "first_seen_at": NOW - 30 * DAY,
        **fields,
    }


def change(product_id: int, old: Any, new: Any, at: datetime, **fields: Any) -> dict[str, Any]:
    is_price = isinstance(old, str)
    return {
        "product_id": product_id,
        "sku_id": None,
        "field": "price" if is_price else "stock",
        "old": Decimal128(old) if is_price else old,
        "new": Decimal128(new) if is_price else new,
        "at": at,
        "ratio": 0.5,
        **fields,
    }


def read(database: Database[dict[str, Any]], *product_ids: int) -> Report:
    return read_report(database, PERIOD, product_ids)


def test_empty_database(database: Database[dict[str, Any]]) -> None:
    report = read(database)
    assert (report.products.total, report.changes.total, report.crawls.count) == (0, Counter(), 0)
    assert report.curves == {}
    assert report.missing == []


def test_prices_of_larger_quantities(database: Database[dict[str, Any]]) -> None:
    database["products"].insert_one(product(1))
    tiers = change(1, "8.00", "4.00", NOW - HOUR, min_quantity=100)
    database["product_changes"].insert_one(tiers)
    report = read(database, 1)
    assert report.changes.total == {"any": 1}
    assert [value for _, value in report.curves[1]["price"].points] == [Decimal("9.90")]


def test_products(database: Database[dict[str, Any]]) -> None:
    database["products"].insert_many(
        [
            product(1),
            product(2, stock=0, first_seen_at=NOW - DAY),
            product(3, fetched_at=NOW - 2 * DAY, price=None, price_private=True),
            product(4, fetched_at=NOW - 30 * DAY, status="member expired", available=False),
            product(5, fetched_at=NOW + HOUR),
        ]
    )
    figures = read(database).products
    assert (figures.total, figures.new, figures.out_of_stock) == (5, 1, 1)
    assert figures.not_for_sale == 1
    assert figures.collected == {midnight(23): 3, midnight(21): 1}
    assert figures.not_seen == 1


def midnight(day: int) -> datetime:
    return datetime(2026, 11, day, tzinfo=UTC)


def test_changes_of_the_period(database: Database[dict[str, Any]]) -> None:
    database["products"].insert_many([product(1), product(2), product(3, price_private=True)])
    database["product_changes"].insert_many(
        [
            change(1, "11.00", "9.90", NOW - HOUR),
            change(2, "9.00", "9.90", NOW - 2 * HOUR),
            change(1, "12.50", "11.00", NOW - DAY),
            change(1, "99.00", "12.50", NOW - 9 * DAY),
            change(3, "5.00", "1.00", NOW - HOUR),
            change(3, 7, 8, NOW - HOUR),
            change(4, "2.00", "1.00", NOW - HOUR, sku_id=7),
            change(5, "2.00", "1.00", NOW - HOUR),
        ]
    )
    report = read(database)
    assert report.changes.total == {"any": 5, "cheaper": 2, "dearer": 1, "stock": 1}
    assert report.changes.drops == [
        PriceMove(5, Decimal("2.00"), Decimal("1.00"), 1),
        PriceMove(1, Decimal("12.50"), Decimal("9.90"), 2),
    ]
    assert report.changes.rises == [PriceMove(2, Decimal("9.00"), Decimal("9.90"), 1)]
    assert report.shown[1] == {
        "_id": 1,
        "product_id": 1,
        "name": "裙 1",
        "supplier": None,
        "price": Decimal("9.90"),
        "stock": 5,
        "status": "published",
        "url": None,
        "images": None,
        "fetched_at": NOW - HOUR,
        "first_seen_at": NOW - 30 * DAY,
        "price_private": False,
    }
    assert report.observed == [NOW - HOUR] * 3
    assert list(report.curves) == [1, 2, 3]
    assert report.missing == [5]


def test_curves_of_chosen_products(database: Database[dict[str, Any]]) -> None:
    database["products"].insert_many([product(1), product(2, price=None, price_private=True)])
    database["product_changes"].insert_many(
        [
            change(1, "12.50", "9.90", NOW - HOUR),
            change(1, "0.10", "0.20", NOW - HOUR, sku_id=7),
            change(2, "5.00", "1.00", NOW - HOUR),
            change(2, 7, 5, NOW - HOUR),
        ]
    )
    report = read(database, 2, 99, 1)
    assert report.missing == [99]
    assert list(report.curves) == [2, 1]
    assert report.curves[1]["price"].points == [
        (PERIOD.start, Decimal("12.50")),
        (NOW - HOUR, Decimal("9.90")),
    ]
    assert report.curves[1]["stock"].points == [(PERIOD.start, 5)]
    assert report.curves[2]["price"].points == [(PERIOD.start, None)]
    assert report.curves[2]["stock"].points == [(PERIOD.start, 7), (NOW - HOUR, 5)]


def test_products_of_events_are_shown(database: Database[dict[str, Any]]) -> None:
    database["products"].insert_many([product(1, available=False), product(2), product(3)])
    database["product_changes"].insert_many(
        [
            change(1, 0, 0, NOW - HOUR) | {"field": "available", "old": True, "new": False},
            change(2, "0", "3.20", NOW - HOUR) | {"field": "promotion_price", "old": None},
            change(3, 0, 0, NOW - 9 * DAY) | {"field": "available", "old": True, "new": False},
        ]
    )
    report = read(database)
    assert report.changes.events["promotion began"] == [Event(2, NOW - HOUR, Decimal("3.20"))]
    assert report.shown.keys() == {1, 2}


def test_crawls_of_the_period(database: Database[dict[str, Any]]) -> None:
    database["crawls"].insert_many(
        {
            "spider": f"crawl {age}",
            "started_at": NOW - age * DAY - HOUR,
            "finished_at": NOW - age * DAY,
            "reason": "finished",
            "stats": {"ali1688/calls": 10},
        }
        for age in (3, 1, 2, 8)
    )
    crawls = read(database).crawls
    assert (crawls.count, crawls.numbers["calls"]) == (3, 30)
    assert [crawl["spider"] for crawl in crawls.latest] == ["crawl 1", "crawl 2", "crawl 3"]


def test_crawls_that_have_not_ended_come_first(database: Database[dict[str, Any]]) -> None:
    def begun(spider: str, last_seen: datetime) -> dict[str, Any]:
        started = {"spider": spider, "started_at": NOW - DAY, "stats": {"ali1688/calls": 5}}
        return {**started, "last_seen": last_seen}

    minute = timedelta(minutes=1)
    database["crawls"].insert_many(
        [
            begun("running", NOW - minute),
            begun("killed", NOW - 2 * minute),
            begun("long ago", NOW - 9 * DAY),
            {**begun("ended", NOW - HOUR), "finished_at": NOW - HOUR, "reason": "incomplete"},
        ]
    )
    crawls = read(database).crawls
    assert (crawls.count, crawls.numbers["calls"]) == (3, 15)
    assert {(each["spider"], each["state"], each["reason"]) for each in crawls.latest[:2]} == {
        ("running", "running", "running"),
        ("killed", "silent since 2026-11-23 11:58", "silent since 2026-11-23 11:58"),
    }
    assert {each["spider"]: each["finished_at"] for each in crawls.latest} == {
        "running": NOW - minute,
        "killed": NOW - 2 * minute,
        "ended": NOW - HOUR,
    }
    last = crawls.latest[2]
    assert (last["spider"], last["state"], last["reason"]) == ("ended", "finished", "incomplete")


def test_whole_market(database: Database[dict[str, Any]], small_market: Any) -> None:
    for name in ("products", "crawls"):
        database[name].insert_many(getattr(small_market, name), ordered=False)
    database["product_changes"].insert_many(small_market.changes, ordered=False)
    report = read_report(database, Period.last_days(7, small_market.now))
    first: dict[int, Decimal] = {}
    last: dict[int, Decimal] = {}
    for made in small_market.changes:
        if made["field"] == "price":
            first.setdefault(made["product_id"], made["old"].to_decimal())
            last[made["product_id"]] = made["new"].to_decimal()
    assert report.products.total == 300
    changed = {made["product_id"] for made in small_market.changes}
    assert report.changes.total["any"] == len(changed)
    assert report.changes.total["cheaper"] == sum(last[key] < first[key] for key in first)
    assert report.changes.total["dearer"] == sum(last[key] > first[key] for key in first)
    biggest = min(first, key=lambda key: last[key] / first[key])
    assert report.changes.drops[0].product_id == biggest
    assert len(report.curves) == 8


class Finds(CommandListener):
    """Notes the queries of a client: collection, filter and order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any], list[str]]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "find":
            command = event.command
            found = (command["find"], dict(command["filter"]), list(command.get("sort", {})))
            self.seen.append(found)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


async def test_report_and_exports_find_by_an_index(
    mongo_server_uri: str, mongo_database: str
) -> None:
    store = connect(mongo_server_uri, mongo_database)
    await ensure_indexes(store, 0)
    await store.client.close()
    finds = Finds()
    client = pymongo.MongoClient[dict[str, Any]](mongo_server_uri, event_listeners=[finds])
    with client:
        database = client.get_database(mongo_database, codec_options=READ_OPTIONS)
        database["products"].insert_many([product(1), product(2)])
        database["product_changes"].insert_many(
            change(number, "2.00", "1.00", NOW - HOUR) for number in (1, 2)
        )
        list(products(database, {"price_private": {"$ne": True}}))
        list(products(database, {}, [1, 2]))
        list(changes(database, {}, NOW - DAY))
        list(changes(database, {}, NOW - DAY, [1]))
        read_report(database, PERIOD)
        assert len(finds.seen) > 8
        for collection, query, order in finds.seen:
            indexes = database[collection].index_information().values()
            first = {index["key"][0][0] for index in indexes}
            assert first & {*query, *order[:1]}, (collection, query, order)
            # A sort that no index gives holds everything that is found.
            if not query.keys() & {"_id", "product_id", "finished_at"}:
                assert order in ([], *([name for name, _ in index["key"]] for index in indexes))


def crawl(**stats: float) -> dict[str, Any]:
    names = {f"ali1688/{name.replace('__', '/')}": value for name, value in stats.items()}
    return {
        "_id": 1,
        "spider": "product",
        "started_at": NOW,
        "finished_at": NOW,
        "reason": "finished",
        "stats": {"log_count/INFO": 5, **names},
    }


def test_crawls_are_summed_up() -> None:
    figures = crawl_figures(
        [
            crawl(calls=100, errors__rate_limit=3, quota__wait_seconds=1.5, items__stored=90),
            crawl(calls=50, errors__rate_limit=1, errors__item_gone=2, retries=4),
            crawl(),
        ],
        latest=2,
    )
    assert (figures.count, len(figures.latest)) == (3, 2)
    assert figures.numbers["calls"] == 150
    assert figures.numbers["items/stored"] == 90
    assert figures.errors == {"rate_limit": 4, "item_gone": 2}
    assert figures.numbers["quota/wait_seconds"] == 1.5
    assert figures.latest[1]["errors"] == {"rate_limit": 1, "item_gone": 2}
