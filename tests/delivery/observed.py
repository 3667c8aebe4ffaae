"""Changes, for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ali1688_spider.storage.changes import Change

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def price_change(number: int, *, percent: float | None = -20.0) -> Change:
    """A price change of the product with this number, that many seconds after noon."""
    return Change(
        id=f"{number}::price:0",
        product_id=number,
        sku_id=None,
        field="price",
        old=Decimal("10.00"),
        new=Decimal("8.00"),
        percent=percent,
        at=NOON + timedelta(seconds=number),
    )
