"""The prices of a product, each with its meaning.

* List prices: ``price``, ``price_max`` and the tiers, which are the wholesale prices by quantity.
* ``retail_price``: one piece. Where the platform tells it, the wholesale price holds from two
  pieces on, whatever the smallest order is; where it does not, nothing is known of one piece.
* ``promotion_price``: what a campaign makes of the list price; a campaign changes no list price.
* ``dropship_price``: one piece, sent to the buyer's own customer.

Source: the API pages of the 1688 Open Platform, of ``queryProductDetail``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway import fields

if TYPE_CHECKING:
    from ali1688_spider.gateway.fields import Fields

_MAX_RANGE_LENGTH = 64
_RANGE = re.compile(r"[¥￥]?\s*([0-9.]+)\s*元?(?:\s*[-~～—至]\s*[¥￥]?\s*([0-9.]+)\s*元?)?")

# Values of quoteType.
_WHOLE_PRODUCT = (0, 2)
_EACH_SKU = 1

_PRICES = ("price", "retail_price", "promotion_price", "dropship_price")


def read_tiers(raw: Any) -> Any:
    """Return ``[{min_quantity, price}]`` of list prices in the order of the data.

    A range without a quantity counts from the first piece, one without a price is left out.
    """
    entries = fields.listed(raw)
    if not isinstance(entries, list):
        return raw
    tiers = []
    for entry in entries:
        if not isinstance(entry, dict):
            tiers.append(entry)
        elif (price := fields.amount(entry.get("price"))) is not None:
            quantity = fields.count(entry.get("startQuantity"))
            tiers.append({"min_quantity": 1 if quantity is None else quantity, "price": price})
    return tiers


def read_range(value: Any) -> tuple[Any, Any]:
    """Return the lowest and the highest of ``12.50``, ``"12.50"`` or ``"10.00-15.00"``."""
    price = fields.amount(value)
    is_short = isinstance(price, str) and len(price) <= _MAX_RANGE_LENGTH
    match = _RANGE.fullmatch(price.strip()) if is_short else None
    if match is None:
        return price, price
    return fields.amount(match[1]), fields.amount(match[2] or match[1])


def lowest(values: Iterable[Any]) -> Decimal | None:
    """Return the lowest of some amounts above 0; None if there is none."""
    amounts = (fields.told_amount(value) for value in values)
    return min((each for each in amounts if each is not None), default=None)


def dropship_price(offer: dict[str, Any], *sections: str) -> Decimal | None:
    """Return the price of drop-shipping in one of *sections* of a product or a SKU."""
    for name in sections:
        info = fields.section(offer, name)
        price = fields.told_amount(info.get("onePiecePrice"))
        price = price or fields.told_amount(info.get("offerPrice"))
        if price is not None:
            return price
    return None


def quoted_prices(quote_type: Any, tiers: Any, skus: Any, retail: Decimal | None = None) -> Fields:
    """Return ``price``, ``price_max``, ``price_tiers``, perhaps ``retail_price``; nothing for none.

    *quote_type* says where the price is; where it says nothing, or nothing is at the place that it
    names, the other places count:

    * 0: no SKUs, by quantity: the product's ranges
    * 1: per SKU: the SKU's price
    * 2: SKUs, by quantity for the whole product: the product's ranges; a SKU has no price
    * 3: per SKU and quantity: the SKU's ranges

    *tiers* are the product's ranges, see :func:`read_tiers`; *retail* is its price of one piece.
    The prices of *skus* are set likewise.
    """
    quote_type, sku_list = fields.count(quote_type), variants(skus)
    retail = retail or lowest(sku["retail_price"] for sku in sku_list)
    one_piece = fields.set_fields(retail_price=retail)
    if not (tiers and quote_type in _WHOLE_PRODUCT):
        by_sku = [price for sku in sku_list for price in _quote_sku(sku, quote_type)]
        if by_sku:
            tiers = _common_tiers(sku_list, retail) if retail else []
            return {**_span([*by_sku, retail]), "price_tiers": tiers, **one_piece}
    if not tiers and retail is None:
        return {}
    for sku in sku_list:
        sku.update(price=None, price_tiers=[])
    tiers = _with_one_piece(tiers, retail)
    return {**_span(_tier_prices(tiers)), "price_tiers": tiers, **one_piece}


def without_prices(record: Fields) -> Fields:
    """Return the fields with every price of product and SKUs unknown, for they are private."""
    for sku in variants(record.get("skus")):
        sku |= {**dict.fromkeys(_PRICES), "price_tiers": []}
    unknown: Fields = {**dict.fromkeys((*_PRICES, "price_max")), "price_tiers": []}
    return {**record, **unknown, "price_private": True}


def variants(skus: Any) -> list[dict[str, Any]]:
    """Return the SKUs among what stands in their place."""
    return [sku for sku in skus if isinstance(sku, dict)] if isinstance(skus, list) else []


def _quote_sku(sku: dict[str, Any], quote_type: Any) -> list[Any]:
    """Set the prices of a SKU to what *quote_type* means; return them."""
    if quote_type == _EACH_SKU and sku["price"] is not None:
        sku["price_tiers"] = []
    elif sku["price_tiers"]:
        sku["price"] = _span(_tier_prices(sku["price_tiers"]))["price"]
    if (retail := sku["retail_price"]) is not None and sku["price"] is not None:
        wholesale = sku["price_tiers"] or [{"min_quantity": 1, "price": sku["price"]}]
        sku["price_tiers"] = _with_one_piece(wholesale, retail)
    return _tier_prices(sku["price_tiers"]) or [sku["price"]] * (sku["price"] is not None)


def _with_one_piece(tiers: Any, retail: Decimal | None) -> Any:
    """Return the tiers with the price of one piece before those that hold from two on."""
    if retail is None or not isinstance(tiers, list) or len(variants(tiers)) < len(tiers):
        return tiers
    wholesale = [tier for tier in tiers if tier["min_quantity"] != 1]
    from_one = [tier for tier in tiers if tier["min_quantity"] == 1]
    if from_one and all(tier["min_quantity"] != 2 for tier in wholesale):
        wholesale.insert(0, {"min_quantity": 2, "price": from_one[-1]["price"]})
    return [{"min_quantity": 1, "price": retail}, *wholesale]


def _common_tiers(skus: list[dict[str, Any]], retail: Decimal) -> Any:
    """Return the tiers that hold for all SKUs; none where they differ."""
    ladders = [sku["price_tiers"] or [{"min_quantity": 1, "price": sku["price"]}] for sku in skus]
    is_common = all(ladder == ladders[0] for ladder in ladders)
    return _with_one_piece(ladders[0], retail) if is_common else []


def _tier_prices(tiers: Any) -> list[Any]:
    return [tier["price"] for tier in variants(tiers)]


def _span(prices: Iterable[Any]) -> Fields:
    finite = [price for price in prices if isinstance(price, Decimal) and price.is_finite()]
    return {"price": min(finite, default=None), "price_max": max(finite, default=None)}
