"""The changes of the last hours, against those of the report."""

from __future__ import annotations

from datetime import UTC, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pymongo
import pytest

from ali1688_spider.dashboard import changes_of_period
from ali1688_spider.dashboard.changes_of_period import read_changes
from ali1688_spider.dashboard.product_history import SHOWN_CHANGES
from ali1688_spider.exporting.selection import READ_OPTIONS
from ali1688_spider.reporting.figures import HOUR, PriceMove
from ali1688_spider.reporting.reading import read_report
from tests.dashboard.shop import BOTTLE, DRESS, PRIVATE, TRICK, ago, change, product, shop

if TYPE_CHECKING:
    from ali1688_spider.dashboard.changes_of_period import ChangesOfPeriod
    from ali1688_spider.storage.database import Database
    from tests.dashboard.conftest import Reads


async def read(database: Database, hours: int) -> ChangesOfPeriod:
    return await read_changes(database.with_options(codec_options=READ_OPTIONS), hours)


async def fill(database: Database) -> None:
    products, changes = shop()
    await database["products"].insert_many(products)
    await database["product_changes"].insert_many(changes)


@pytest.mark.parametrize("hours", [1, 2, 24, 168])
async def test_they_are_those_of_the_report(database: Database, mongo_uri: str, hours: int) -> None:
    await fill(database)
    changes = await read(database, hours)
    with pymongo.MongoClient(mongo_uri) as client:
        stored = client.get_database(database.name, codec_options=READ_OPTIONS)
        report = read_report(stored, changes.period)
    for name in ("drops", "rises", "events"):
        assert getattr(changes.figures, name) == getattr(report.changes, name)
    assert +changes.figures.total == report.changes.total
    assert changes.cut_at is None
    assert {each["product_id"] for each in changes.newest} <= set(changes.products)


async def test_a_period_begins_with_an_hour(database: Database) -> None:
    period = (await read(database, 24)).period
    assert (period.start.minute, period.start.second, period.step) == (0, 0, HOUR)
    assert period.start.tzinfo is UTC
    assert 24 * HOUR <= period.end - period.start < 25 * HOUR


async def test_moves_and_events(database: Database) -> None:
    await fill(database)
    changes = await read(database, 24)
    figures = changes.figures
    assert figures.drops == [
        PriceMove(DRESS, Decimal("16.00"), Decimal("8.00"), 1),
        PriceMove(BOTTLE, Decimal("13.00"), Decimal("12.50"), 1),
    ]
    assert [each.product_id for each in figures.rises] == [TRICK]
    assert [each.product_id for each in figures.events["off sale"]] == [DRESS]
    assert [each.price for each in figures.events["promotion began"]] == [Decimal("9.90")]
    assert {DRESS, BOTTLE, TRICK} <= set(changes.products)


async def test_private_prices_are_left_out(database: Database) -> None:
    await fill(database)
    promotion = change(PRIVATE, "promotion_price", None, "55.50", hours=2)
    await database["product_changes"].insert_one(promotion)
    changes = await read(database, 24)
    figures = changes.figures
    named = {each.product_id for each in (*figures.drops, *figures.events["promotion began"])}
    assert named == {DRESS, BOTTLE}
    assert (figures.total["cheaper"], figures.total["promotion began"]) == (2, 1)
    of_it = [each["field"] for each in changes.newest if each["product_id"] == PRIVATE]
    assert of_it == ["stock"]


async def test_too_many_changes_are_counted_from_the_newest(
    database: Database, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_of_period, "MOST_COUNTED", 150)
    await database["products"].insert_many([product(n, f"杯 {n}") for n in range(1, 301)])
    many = [
        change(n, "price", "2.00", "1.00", hours=n / 10 + 0.01) | {"_id": n} for n in range(1, 301)
    ]
    await database["product_changes"].insert_many(many)
    changes = await read(database, 100)
    assert reads.returned["product_changes"] == 150 == changes.counted
    assert changes.cut_at == many[149]["at"]
    assert changes.period.start <= changes.cut_at < changes.period.start + HOUR
    assert changes.figures.total["cheaper"] == 150
    assert [each["_id"] for each in changes.newest] == list(range(1, SHOWN_CHANGES + 1))
    assert sum(each["cheaper"] for each in changes.figures.buckets.values()) == 150


async def test_what_comes_meanwhile_is_of_the_next_time(database: Database) -> None:
    later = change(1, "price", "2.00", "1.00") | {"at": ago(hours=0) + timedelta(minutes=5)}
    await database["product_changes"].insert_one(later)
    changes = await read(database, 1)
    assert (changes.counted, changes.newest, changes.figures.drops) == (0, [], [])
