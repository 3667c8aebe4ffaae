"""The variants of a product, whose names differ little between the families of responses."""

from __future__ import annotations

from typing import Any

from ali1688_spider.gateway import fields, prices


def read_skus(raw: Any, *, has_retail: bool = False) -> Any:
    """Return the record's ``skus``; what is not told of a SKU is None or empty.

    With *has_retail* its ``retailPrice`` is the price of one piece. Elsewhere a field of that name
    is the seller's idea of what the buyer's customers should pay.
    """
    skus = fields.listed(raw)
    if raw is None or not isinstance(skus, list):
        return raw
    return [_read_sku(sku, has_retail=has_retail) if isinstance(sku, dict) else sku for sku in skus]


def _read_sku(sku: dict[str, Any], *, has_retail: bool) -> dict[str, Any]:
    raw = fields.first(sku, "attributes", "skuAttributes")
    pairs = fields.read_pairs(raw)
    entries = [] if pairs is None else fields.listed(raw)
    images = [fields.image_url(entry.get("skuImageUrl")) for entry in entries]
    dropship = prices.dropship_price(sku, "fenxiaoPriceInfo")
    return {
        "sku_id": fields.count(fields.first(sku, "skuId", "skuID")),
        "spec_id": fields.text(fields.first(sku, "specId", "specID")),
        "attributes": raw if pairs is None else dict(pairs),
        "price": fields.amount(sku.get("price")),
        "price_tiers": prices.read_tiers(sku.get("priceRange")),
        "stock": fields.count(sku.get("amountOnSale")),
        "image": next((image for image in images if image is not None), None),
        "retail_price": fields.told_amount(sku.get("retailPrice")) if has_retail else None,
        "promotion_price": fields.told_amount(sku.get("promotionPrice")),
        "dropship_price": dropship or fields.told_amount(sku.get("consignPrice")),
        "cargo_number": fields.told_text(sku.get("cargoNumber")),
    }


def total_stock(skus: Any) -> int | None:
    """Return the stock of all SKUs together, None if that of one is unknown."""
    stocks = [sku["stock"] for sku in prices.variants(skus) if isinstance(sku["stock"], int)]
    if not stocks or len(stocks) < len(skus):
        return None
    return fields.UNLIMITED if fields.UNLIMITED in stocks else sum(stocks)
