"""What the page of a product shows, against what is stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.dashboard.product_history import (
    MOST_READ,
    SHOWN_CHANGES,
    SKU_CURVES,
    read_product,
)
from ali1688_spider.exporting.selection import READ_OPTIONS
from ali1688_spider.reporting.figures import Period
from ali1688_spider.storage.database import ensure_indexes
from tests.dashboard.shop import BOTTLE, DRESS, PRIVATE, ago, change, product, shop, sku

if TYPE_CHECKING:
    from ali1688_spider.dashboard.product_history import ProductHistory
    from ali1688_spider.storage.database import Database
    from tests.dashboard.conftest import Reads

MANY = 2 * MOST_READ


@pytest.fixture
def period() -> Period:
    return Period.last_days(7, datetime.now(UTC))


async def read(database: Database, product_id: int, period: Period) -> ProductHistory:
    history = await read_product(
        database.with_options(codec_options=READ_OPTIONS), product_id, period
    )
    assert history is not None
    return history


async def fill(database: Database) -> list[dict[str, Any]]:
    products, changes = shop()
    await database["products"].insert_many(products)
    await database["product_changes"].insert_many(changes)
    return changes


async def test_curves_are_the_stored_changes(database: Database, period: Period) -> None:
    changes = await fill(database)
    history = await read(database, BOTTLE, period)
    at = {(each["field"], str(each["new"])): each["at"] for each in changes[:9]}
    assert history.curves["price"].points == [
        (period.start, Decimal("14.00")),
        (at["price", "13.00"], Decimal("13.00")),
        (at["price", "12.50"], Decimal("12.50")),
    ]
    assert history.curves["stock"].points == [
        (period.start, 500),
        (at["stock", "0"], 0),
        (at["stock", "300"], 300),
    ]
    assert history.cut_at is None


async def test_what_never_changed_is_a_level_line(database: Database, period: Period) -> None:
    young = product(9, "new", first_seen_at=ago(hours=3))
    await database["products"].insert_many([young, product(8, "old")])
    history = await read(database, 9, period)
    assert history.curves["price"].points == [(young["first_seen_at"], Decimal("12.50"))]
    history = await read(database, 8, period)
    assert history.curves["stock"].points == [(period.start, 300)]
    assert (history.changes, history.skus) == ([], [])


async def test_skus(database: Database, period: Period) -> None:
    changes = await fill(database)
    history = await read(database, BOTTLE, period)
    assert [each.sku["sku_id"] for each in history.skus] == list(range(901, 916))
    assert history.sku_count == 15
    # Each has one change more than the one before it.
    curves = {each.sku["sku_id"]: each.curves for each in history.sku_curves}
    assert list(curves) == list(range(916 - SKU_CURVES, 916))
    steps = [each for each in changes if each["sku_id"] == 915]
    stock = curves[915] and curves[915]["stock"].points
    assert stock == [(period.start, 0), *((each["at"], each["new"]) for each in steps)]
    last = {each.sku["sku_id"]: each.last_change for each in history.skus}
    assert last[901] is None
    assert last[915] is not None
    assert (last[915]["at"], last[915]["new"]) == (steps[-1]["at"], 14)


async def test_the_last_changes(database: Database, period: Period) -> None:
    changes = await fill(database)
    history = await read(database, BOTTLE, period)
    of_it = [each for each in changes if each["product_id"] == BOTTLE]
    newest = sorted(of_it, key=lambda each: each["at"], reverse=True)[:SHOWN_CHANGES]
    assert len(of_it) > SHOWN_CHANGES
    assert [each["at"] for each in history.changes] == [each["at"] for each in newest]
    assert {each["sku_id"] for each in history.changes} >= {None, 915}


async def test_private_prices_stay_private(database: Database, period: Period) -> None:
    await fill(database)
    history = await read(database, PRIVATE, period)
    assert [each["field"] for each in history.changes] == ["stock"]
    assert history.curves["price"].known == []


async def test_what_is_not_stored(database: Database, period: Period) -> None:
    assert await read_product(database, 5, period) is None


async def test_a_product_that_changes_without_end(
    database: Database, reads: Reads, period: Period
) -> None:
    """Its newest changes are read, and no curve tells of what was not."""
    skus = [sku(1, "红"), sku(2, "蓝")]
    await database["products"].insert_one(product(DRESS, "Dress", skus=skus, stock=MANY))
    last = ago(minutes=1)
    # The product, then each SKU, in turn.
    changes = [
        change(DRESS, "stock", n, n + 1, sku_id=(None, 1, 2)[n % 3])
        | {"at": last - n * timedelta(minutes=1)}
        for n in range(MANY)
    ]
    await database["product_changes"].drop()  # without indexes they are stored sooner
    await database["product_changes"].insert_many(changes)
    await ensure_indexes(database, 0)
    history = await read(database, DRESS, period)
    assert reads.returned == {"products": 1, "product_changes": MOST_READ}
    assert history.read == MOST_READ
    assert history.cut_at == changes[MOST_READ - 1]["at"]
    stock = history.curves["stock"]
    assert stock.points[0][0] == history.cut_at > period.start
    assert stock.points[-1] == (changes[0]["at"], changes[0]["new"])
    of_skus = [each.curves["stock"] for each in history.sku_curves if each.curves]
    # Each curve has a point more than steps.
    assert sum(each.total - 1 for each in (stock, *of_skus)) == MOST_READ
    assert len(history.changes) == SHOWN_CHANGES
