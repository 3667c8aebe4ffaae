"""The SKUs of a product, as ``productInfo`` and ``queryProductDetail`` list them."""

from __future__ import annotations

from typing import Any

from ali1688_spider.gateway.parsing.attributes import read_pairs
from ali1688_spider.gateway.parsing.prices import read_tiers, unit_price
from ali1688_spider.gateway.parsing.values import count, first, image_url, listed, text

UNLIMITED = 2_147_483_646
"""The stock by which the platform says "unlimited"; it stays in the record as it came."""


def read_skus(raw: Any) -> Any:
    """Return the record's ``skus``; what a SKU does not tell is None or empty."""
    if raw is None:
        return None
    skus = listed(raw)
    if not isinstance(skus, list):
        return raw
    return [_read_sku(sku) if isinstance(sku, dict) else sku for sku in skus]


def total_stock(skus: Any) -> int | None:
    """Return the stock of all SKUs together, None if one of them does not tell it."""
    if not isinstance(skus, list) or not skus:
        return None
    stocks = [sku["stock"] if isinstance(sku, dict) else None for sku in skus]
    counts = [stock for stock in stocks if isinstance(stock, int)]
    if len(counts) < len(stocks):
        return None
    return UNLIMITED if UNLIMITED in counts else sum(counts)


def _read_sku(sku: dict[str, Any]) -> dict[str, Any]:
    raw = first(sku, "attributes", "skuAttributes")
    pairs = read_pairs(raw)
    return {
        "sku_id": count(first(sku, "skuId", "skuID")),
        "spec_id": text(first(sku, "specId", "specID")),
        "attributes": raw if pairs is None else dict(pairs),
        "price": unit_price(sku),
        "price_tiers": read_tiers(sku.get("priceRange")),
        "stock": count(sku.get("amountOnSale")),
        "image": None if pairs is None else _first_image(listed(raw)),
    }


def _first_image(attributes: list[dict[str, Any]]) -> Any:
    images = (image_url(attribute.get("skuImageUrl")) for attribute in attributes)
    return next((image for image in images if image is not None), None)
