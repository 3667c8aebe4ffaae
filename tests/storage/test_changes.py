from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import bson
import pytest
from bson import Decimal128

from ali1688_spider.storage.changes import Change, differences
from ali1688_spider.storage.database import CODEC_OPTIONS

AT = datetime(2026, 11, 23, 12, 0, 0, 5000, tzinfo=UTC)
MILLISECONDS = 1795435200005


def yuan(text: str) -> Decimal128:
    return Decimal128(text)


def tiers(*steps: tuple[int, str]) -> list[dict[str, Any]]:
    return [{"min_quantity": quantity, "price": yuan(price)} for quantity, price in steps]


def sku(sku_id: int | None, **fields: Any) -> dict[str, Any]:
    return {"sku_id": sku_id, "price": None, "price_tiers": [], "stock": None, **fields}


def found(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (change.sku_id, change.field, change.old, change.new)
        for change in differences(7, old, new, AT)
    ]


def test_the_fields_of_a_product() -> None:
    old = {"name": "衣", "price": yuan("12.50"), "stock": 3, "status": "published", "unit": "件"}
    new = {"name": "裙", "price": yuan("10.00"), "stock": 0, "status": "expired", "unit": "个"}
    assert differences(7, old, new, AT) == [
        Change(
            id=f"7::price:{MILLISECONDS}",
            product_id=7,
            sku_id=None,
            field="price",
            old=Decimal("12.50"),
            new=Decimal("10.00"),
            percent=-20.0,
            at=AT,
        ),
        Change(
            id=f"7::stock:{MILLISECONDS}",
            product_id=7,
            sku_id=None,
            field="stock",
            old=3,
            new=0,
            percent=-100.0,
            at=AT,
        ),
        Change(
            id=f"7::status:{MILLISECONDS}",
            product_id=7,
            sku_id=None,
            field="status",
            old="published",
            new="expired",
            percent=None,
            at=AT,
        ),
        Change(
            id=f"7::name:{MILLISECONDS}",
            product_id=7,
            sku_id=None,
            field="name",
            old="衣",
            new="裙",
            percent=None,
            at=AT,
        ),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"price": yuan("10.0")}, {"price": yuan("10.00")}),
        ({"price": yuan("10.0"), "stock": 3, "name": "x", "status": "published"}, {}),
        ({}, {"price": yuan("10.0"), "stock": 3, "name": "x", "status": "published"}),
        ({"price": None, "stock": None}, {"price": yuan("1"), "stock": 1}),
        ({"price": yuan("1"), "stock": 1}, {"price": None, "stock": None}),
        ({"price_tiers": tiers((1, "2"))}, {"price_tiers": []}),
        ({"price_tiers": []}, {"price_tiers": tiers((1, "2"))}),
        ({"price_tiers": tiers((1, "2.0"))}, {"price_tiers": tiers((1, "2.00"))}),
        ({"skus": []}, {"skus": [sku(1, stock=5)]}),
        ({"skus": [sku(1, stock=5)]}, {"skus": []}),
        ({"skus": [sku(1, stock=5)]}, {"skus": [{"sku_id": 1}]}),
        ({"skus": [sku(None, stock=5)]}, {"skus": [sku(None, stock=6)]}),
        ({"price": None, "price_private": True}, {"price": None, "price_private": True}),
    ],
)
def test_what_is_no_change(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert found(old, new) == []


def test_a_price_goes_private_and_comes_back() -> None:
    public = {"price": yuan("8"), "price_private": False}
    private = {"price": None, "price_private": True}
    assert found(public, private) == [(None, "price", Decimal(8), None)]
    assert found(private, public) == [(None, "price", None, Decimal(8))]


def test_price_tiers_below_an_unchanged_lowest_price() -> None:
    old = {"price": yuan("8"), "price_tiers": tiers((1, "12"), (10, "10"), (100, "8"))}
    new = {"price": yuan("8"), "price_tiers": tiers((1, "12"), (10, "9"), (100, "8"))}
    [change] = differences(7, old, new, AT)
    assert (change.field, change.old, change.new) == ("price", Decimal(10), Decimal(9))
    assert (change.min_quantity, change.percent) == (10, -10.0)
    assert change.old_tiers is not None
    assert change.old_tiers[1] == {"min_quantity": 10, "price": Decimal(10)}
    assert change.new_tiers is not None
    assert change.new_tiers[1] == {"min_quantity": 10, "price": Decimal(9)}


def test_a_tier_that_appears() -> None:
    old = {"price": yuan("8"), "price_tiers": tiers((1, "8"))}
    new = {"price": yuan("8"), "price_tiers": tiers((1, "8"), (5, "8"))}
    [change] = differences(7, old, new, AT)
    assert (change.old, change.new, change.min_quantity) == (None, Decimal(8), 5)


def test_price_and_tiers_together_are_one_change() -> None:
    old = {"price": yuan("8"), "price_tiers": tiers((1, "10"), (10, "8"))}
    new = {"price": yuan("7"), "price_tiers": tiers((1, "9"), (10, "7"))}
    [change] = differences(7, old, new, AT)
    assert (change.old, change.new, change.min_quantity) == (Decimal(8), Decimal(7), None)
    assert change.new_tiers is not None
    assert [tier["price"] for tier in change.new_tiers] == [Decimal(9), Decimal(7)]


def test_skus() -> None:
    old = {"skus": [sku(1, price=yuan("5"), stock=3), sku(2, stock=4), sku(3, stock=6)]}
    new = {"skus": [sku(1, price=yuan("6"), stock=2), sku(3, stock=6), sku(4, stock=9)]}
    assert found(old, new) == [
        (1, "price", Decimal(5), Decimal(6)),
        (1, "stock", 3, 2),
        (2, "stock", 4, None),
        (4, "stock", None, 9),
    ]
    assert [change.id for change in differences(7, old, new, AT)][:2] == [
        f"7:1:price:{MILLISECONDS}",
        f"7:1:stock:{MILLISECONDS}",
    ]


def test_a_change_survives_the_database_and_is_plain_for_others() -> None:
    old = {"price": yuan("8.10"), "price_tiers": tiers((1, "10"), (10, "8.10"))}
    new = {"price": yuan("8.1000"), "price_tiers": tiers((1, "9.00"), (10, "8.10"))}
    [change] = differences(7, old, new, AT)
    document = bson.decode(
        bson.encode(change.document(), codec_options=CODEC_OPTIONS), CODEC_OPTIONS
    )
    assert document["_id"] == change.id
    assert document["new"] == Decimal128("9.00")
    assert Change.from_document(document) == Change.from_document(change.document()) == change
    assert change.message() == {
        "id": f"7::price:{MILLISECONDS}",
        "product_id": 7,
        "sku_id": None,
        "field": "price",
        "old": "10",
        "new": "9.00",
        "percent": -10.0,
        "at": "2026-11-23T12:00:00.005Z",
        "min_quantity": 1,
        "old_tiers": [{"min_quantity": 1, "price": "10"}, {"min_quantity": 10, "price": "8.10"}],
        "new_tiers": [{"min_quantity": 1, "price": "9.00"}, {"min_quantity": 10, "price": "8.10"}],
    }


def test_a_campaign_begins_and_ends_without_a_change_of_the_price() -> None:
    price = {"price": yuan("4.05"), "price_tiers": tiers((2, "4.05"))}
    usual: dict[str, Any] = {**price, "promotion_price": None}
    campaign = {**price, "promotion_price": yuan("3.90")}
    assert found(usual, campaign) == [(None, "promotion_price", None, Decimal("3.90"))]
    assert found(campaign, usual) == [(None, "promotion_price", Decimal("3.90"), None)]
    assert found(campaign, {**price, "promotion_price": yuan("3.9")}) == []
    deeper = {**price, "promotion_price": yuan("3.51")}
    assert found(campaign, deeper) == [(None, "promotion_price", Decimal("3.90"), Decimal("3.51"))]
    assert differences(7, campaign, deeper, AT)[0].percent == -10.0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"promotion_price": yuan("3.90")}, {}),  # a row that mentions no promotion
        ({}, {"promotion_price": yuan("3.90")}),  # so far no response could tell
        ({"promotion_price": yuan("3.90")}, {"promotion_price": None, "price_private": True}),
        ({"available": None}, {"available": True}),
        ({"available": True}, {"available": None}),
    ],
)
def test_what_one_side_cannot_tell_is_no_change(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert found(old, new) == []


def test_a_campaign_for_one_sku() -> None:
    usual = {"promotion_price": None, "skus": [sku(1, promotion_price=None), sku(2)]}
    campaign = {
        "promotion_price": yuan("3.90"),
        "skus": [sku(1, promotion_price=yuan("3.90")), sku(2)],
    }
    assert found(usual, campaign) == [
        (None, "promotion_price", None, Decimal("3.90")),
        (1, "promotion_price", None, Decimal("3.90")),
    ]
    del usual["promotion_price"]
    assert found(usual, campaign) == []


def test_a_product_that_is_delisted() -> None:
    old = {"status": "published", "available": True, "stock": 5}
    new = {"status": "member expired", "available": False, "stock": 5}
    assert found(old, new) == [
        (None, "status", "published", "member expired"),
        (None, "available", True, False),
    ]
    status, available = differences(7, old, new, AT)
    assert status.percent is available.percent is None
    assert available.message()["old"] is True
    assert found(new, {"status": "removed", "available": False}) == [
        (None, "status", "member expired", "removed")
    ]
