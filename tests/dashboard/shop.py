"""A small shop as the store keeps it, for the pages of products."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from bson import Decimal128

HOSTILE = "</title><script>alert(\"x\")</script><img src=x onerror=alert(1)> \u202e杯子 & 'y'"
LONG = "W" * 400 + "长名" * 400
BOTTLE, DRESS, TRICK, LONGEST, PRIVATE = range(610_000_000_001, 610_000_000_006)


def now() -> datetime:
    """Return the present, as MongoDB keeps it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def ago(**time: float) -> datetime:
    """Return when that long ago was."""
    return now() - timedelta(**time)


def product(product_id: int, name: str | None, **fields: Any) -> dict[str, Any]:
    """Return a stored product."""
    return {
        "_id": product_id,
        "product_id": product_id,
        "name": name,
        "price": Decimal128("12.50"),
        "stock": 300,
        "status": "published",
        "available": True,
        "supplier": "义乌市好运日用品厂",
        "url": f"https://detail.1688.com/offer/{product_id}.html",
        "images": [],
        "skus": [],
        "price_tiers": [],
        "price_private": False,
        "first_seen_at": ago(days=60),
        "fetched_at": ago(minutes=5),
        "changed_at": ago(hours=1),
    } | fields


def sku(sku_id: int, colour: str, price: str = "12.50", stock: int = 100) -> dict[str, Any]:
    """Return a SKU of a product."""
    attributes = {"颜色": colour, "容量": "500ml"}
    values = {"price": Decimal128(price), "stock": stock, "promotion_price": None}
    return {"sku_id": sku_id, "spec_id": None, "attributes": attributes, **values}


def change(product_id: int, field: str, old: Any, new: Any, **values: Any) -> dict[str, Any]:
    """Return a recorded change; prices are given as texts, ``hours`` and ``sku_id`` by name."""
    when = ago(hours=values.pop("hours", 1))
    percent = None
    if field == "stock" or (old is not None and new is not None and "price" in field):
        percent = float((Decimal(new or 0) - Decimal(old or 0)) * 100 / Decimal(old or 1))
    is_price = "price" in field
    old, new = (Decimal128(each) if is_price and each is not None else each for each in (old, new))
    whole = {"product_id": product_id, "sku_id": None, "field": field, "old": old, "new": new}
    return {**whole, "percent": percent, "at": when, **values}


def bottle() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a product with 15 SKUs and its changes."""
    skus = [sku(900 + n, f"红{n}", stock=10 * n) for n in range(1, 16)]
    changes = [
        change(BOTTLE, "price", "15.00", "14.00", hours=24 * 40),
        change(BOTTLE, "price", "14.00", "13.00", hours=50),
        change(BOTTLE, "stock", 500, 0, hours=30),
        change(BOTTLE, "stock", 0, 300, hours=20),
        change(BOTTLE, "price", "13.00", "12.50", hours=2),
        change(BOTTLE, "promotion_price", None, "9.90", hours=1.5),
        change(BOTTLE, "price", "11.00", "10.00", hours=1.2, min_quantity=100),
        change(BOTTLE, "status", "expired", "published", hours=1),
        change(BOTTLE, "available", False, True, hours=1),
    ]
    for number, each in enumerate(skus):
        changes += [
            change(BOTTLE, "stock", n, n + 1, hours=40 - n, sku_id=each["sku_id"])
            for n in range(number)
        ]
    tiers = [{"min_quantity": n, "price": Decimal128(p)} for n, p in ((2, "12.50"), (100, "10.00"))]
    fields = {"skus": skus, "price_tiers": tiers, "promotion_price": Decimal128("9.90")}
    fields |= {"name_translated": "Stainless vacuum bottle", "category_name": "保温杯"}
    return product(BOTTLE, "304不锈钢保温杯 500ml (新款) C++", **fields), changes


def shop() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return products and changes: an everyday one, and those that want to break a page."""
    first, changes = bottle()
    products = [
        first,
        product(DRESS, "夏季连衣裙 Dress", price=Decimal128("8.00"), changed_at=ago(hours=3)),
        product(TRICK, HOSTILE, supplier=HOSTILE, status=HOSTILE, changed_at=ago(hours=4)),
        product(LONGEST, LONG, supplier=LONG, changed_at=ago(days=3)),
        product(PRIVATE, "私密商品", price=None, price_private=True, changed_at=ago(days=2)),
    ]
    changes += [
        change(DRESS, "price", "16.00", "8.00", hours=3),
        change(DRESS, "available", True, False, hours=2.5),
        change(TRICK, "price", "10.00", "11.00", hours=4),
        change(TRICK, "name", "x", HOSTILE, hours=4),
        change(LONGEST, "name", LONG, "y", hours=5),
        change(PRIVATE, "price", "77.70", "66.60", hours=6),
        change(PRIVATE, "stock", 5, 0, hours=5),
    ]
    return products, changes
