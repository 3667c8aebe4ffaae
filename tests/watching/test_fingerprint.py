from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from ali1688_spider.items import Product
from ali1688_spider.watching.fingerprint import fingerprint


def sku(sku_id: int, **fields: Any) -> dict[str, Any]:
    return {
        "sku_id": sku_id,
        "spec_id": None,
        "attributes": {},
        "price": None,
        "price_tiers": [],
        "stock": 3,
        "image": None,
        **fields,
    }


def product(**fields: Any) -> Product:
    record = {"name": "杯", "price": Decimal("2.50"), "stock": 7, "skus": [sku(1), sku(2)]}
    at = datetime(2026, 10, 10, tzinfo=UTC)
    return Product(product_id=1, source_api="test", fetched_at=at, **{**record, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "碗"},
        {"status": "published"},
        {"price": Decimal("2.51")},
        {"price_max": Decimal(9)},
        {"price_tiers": [{"min_quantity": 2, "price": Decimal("2.50")}]},
        {"stock": 6},
        {"skus": [sku(1), sku(2, stock=4)]},
        {"skus": [sku(1), sku(2, price=Decimal(1))]},
        {"skus": [sku(1), sku(2, price_tiers=[{"min_quantity": 2, "price": Decimal(2)}])]},
        {"skus": [sku(1)]},
    ],
)
def test_a_change_shows(fields: dict[str, Any]) -> None:
    assert fingerprint(product(**fields)) != fingerprint(product())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"fetched_at": datetime(2026, 10, 11, tzinfo=UTC)},
        {"images": ["https://cbu01.alicdn.com/1.jpg"], "supplier": "厂"},
        {"skus": [sku(2, image="https://cbu01.alicdn.com/2.jpg"), sku(1)]},
        {"price": Decimal("2.5")},
        {"skus": [sku(1, price_tiers=[]), sku(2)]},
    ],
)
def test_what_is_no_change_does_not(fields: dict[str, Any]) -> None:
    record = {"fetched_at": datetime(2026, 10, 10, tzinfo=UTC), **fields}
    same = product().model_copy(update=record)
    assert fingerprint(same) == fingerprint(product())


def test_it_has_twelve_characters() -> None:
    assert len(fingerprint(product())) == 12
