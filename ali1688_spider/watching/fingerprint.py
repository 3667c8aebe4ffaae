"""What counts as a change of a watched product."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ali1688_spider.items import Product

_SIZE = 6  # bytes: a change goes unseen once in 10^14


def fingerprint(product: Product) -> str:
    """Return 12 characters that differ when price, stock, status or name differ, SKUs included."""
    told: list[Any] = [
        product.name,
        product.status,
        product.price,
        product.price_max,
        product.price_tiers,
        product.stock,
    ]
    told += sorted(
        [str(sku["sku_id"]), str(sku["price"]), str(sku["price_tiers"]), sku["stock"] or 0]
        for sku in product.skus or ()
    )
    text = json.dumps(told, default=str, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=_SIZE).hexdigest()
