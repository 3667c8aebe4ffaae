"""Where an answer keeps the price.

The answer's ``quoteType`` says it:

* 0: no SKUs, by quantity: the product's ranges
* 1: per SKU: the SKU's price
* 2: SKUs, by quantity for the whole product: the product's ranges; a SKU has no price
* 3: per SKU and quantity: the SKU's ranges

Where the answer says nothing, or nothing is at the place that it names, the other places count.
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway.parsing.values import Fields, amount, count, listed

if TYPE_CHECKING:
    from collections.abc import Iterable

_WHOLE_PRODUCT = (0, 2)
_EACH_SKU = 1
_MAX_RANGE_LENGTH = 64
_RANGE = re.compile(r"[¥￥]?\s*([0-9.]+)\s*元?(?:\s*[-~～—至]\s*[¥￥]?\s*([0-9.]+)\s*元?)?")


def read_tiers(raw: Any) -> Any:
    """Return ``[{min_quantity, price}]`` in the answer's order.

    A range without a quantity counts from the first piece, one without a price tells nothing.
    """
    tiers = listed(raw)
    if not isinstance(tiers, list):
        return raw
    read = [_read_tier(tier) if isinstance(tier, dict) else tier for tier in tiers]
    return [tier for tier in read if not isinstance(tier, dict) or tier["price"] is not None]


def _read_tier(tier: dict[str, Any]) -> dict[str, Any]:
    quantity = count(tier.get("startQuantity"))
    return {
        "min_quantity": 1 if quantity is None else quantity,
        "price": unit_price(tier),
    }


def unit_price(source: dict[str, Any]) -> Any:
    """Return the price that a buyer pays: the promotion price where there is one."""
    price, promotion = amount(source.get("price")), amount(source.get("promotionPrice"))
    is_promoted = isinstance(promotion, Decimal) and promotion.is_finite() and promotion > 0
    return promotion if is_promoted or price is None else price


def read_range(value: Any) -> tuple[Any, Any]:
    """Return the lowest and the highest of ``12.50``, ``"12.50"`` or ``"10.00-15.00"``."""
    price = amount(value)
    is_short = isinstance(price, str) and len(price) <= _MAX_RANGE_LENGTH
    match = _RANGE.fullmatch(price.strip()) if is_short else None
    if match is None:
        return price, price
    low, high = amount(match[1]), amount(match[2] or match[1])
    return low, high


def quoted_prices(quote_type: Any, tiers: Any, skus: Any) -> Fields:
    """Return ``price``, ``price_max`` and ``price_tiers``; nothing if no price is quoted.

    Args:
        quote_type: The answer's ``quoteType``, if any.
        tiers: The product's ranges, as :func:`read_tiers` gives them.
        skus: The product's SKUs, as ``read_skus`` gives them; their prices are set to what
            *quote_type* means.
    """
    quote_type = count(quote_type)
    variants = [sku for sku in skus if isinstance(sku, dict)] if isinstance(skus, list) else []
    by_product = bool(tiers) and quote_type in _WHOLE_PRODUCT
    if not by_product:
        for sku in variants:
            _quote_sku(sku, quote_type)
        by_sku = list(chain.from_iterable(_sku_prices(sku) for sku in variants))
        if by_sku:
            return {**_span(by_sku), "price_tiers": []}
    if not tiers:
        return {}
    for sku in variants:
        sku.update(price=None, price_tiers=[])
    return {**_span(_tier_prices(tiers)), "price_tiers": tiers}


def without_prices(fields: Fields) -> Fields:
    """Return *fields* with every price of product and SKUs unknown, for they are private."""
    hidden = {**fields, "price": None, "price_max": None, "price_tiers": [], "price_private": True}
    if isinstance(fields.get("skus"), list):
        hidden["skus"] = [
            {**sku, "price": None, "price_tiers": []} if isinstance(sku, dict) else sku
            for sku in fields["skus"]
        ]
    return hidden


def _quote_sku(sku: dict[str, Any], quote_type: Any) -> None:
    if quote_type == _EACH_SKU and sku["price"] is not None:
        sku["price_tiers"] = []
    elif sku["price_tiers"]:
        sku["price"] = _span(_tier_prices(sku["price_tiers"]))["price"]


def _sku_prices(sku: dict[str, Any]) -> list[Any]:
    return _tier_prices(sku["price_tiers"]) or [sku["price"]] * (sku["price"] is not None)


def _tier_prices(tiers: Any) -> list[Any]:
    tiers = tiers if isinstance(tiers, list) else []
    return [tier["price"] for tier in tiers if isinstance(tier, dict)]


def _span(prices: Iterable[Any]) -> Fields:
    finite = [price for price in prices if isinstance(price, Decimal) and price.is_finite()]
    return {"price": min(finite, default=None), "price_max": max(finite, default=None)}
