"""What counts as a change of a watched product."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

    from ali1688_spider.items import Product

_SIZE = 6  # bytes: a change goes unseen once in 10^14


def fingerprint(product: Product) -> str:
    """Return 12 characters that differ when price, stock, status or name differ, SKUs included."""
    skus = sorted(product.skus, key=lambda sku: str(sku["sku_id"]))
    told: list[Any] = [
        product.name,
        product.status,
        product.price,
        product.price_max,
        product.price_tiers,
        product.stock,
        [[sku["sku_id"], sku["price"], sku["price_tiers"], sku["stock"]] for sku in skus],
    ]
    text = json.dumps(told, default=_shortest, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=_SIZE).hexdigest()


def _shortest(amount: Decimal) -> str:
    return str(amount.normalize())  # 2.5 and 2.50 are the same price
