"""The changes of the ticker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from ali1688_spider.dashboard.changes_of_period import LATEST, latest_changes

if TYPE_CHECKING:
    from ali1688_spider.storage.database import Database

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


async def test_the_last_ones_with_names_and_without_private_prices(database: Database) -> None:
    await database["products"].insert_many(
        [{"_id": 1, "name": "杯子"}, {"_id": 2, "name": "secret", "price_private": True}]
    )
    fields = ["price", "promotion_price", "stock"]
    await database["product_changes"].insert_many(
        {"product_id": each % 4, "field": field, "new": Decimal(each), "at": NOW + at}
        for each in range(40)
        for field in fields
        for at in [timedelta(seconds=each)]
    )
    changes = await latest_changes(database)
    assert 0 < len(changes) <= LATEST
    assert changes == sorted(changes, key=lambda each: each["at"], reverse=True)
    assert {each["name"] for each in changes if each["product_id"] == 1} == {"杯子"}
    assert {each["name"] for each in changes if each["product_id"] == 3} == {None}
    assert {each["field"] for each in changes if each["product_id"] == 2} == {"stock"}
    assert {each["field"] for each in changes if each["product_id"] == 1} == set(fields)
