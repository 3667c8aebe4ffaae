"""What all families of responses share: single values, attributes, SKUs and prices.

Each reading of a value turns what it understands into the record's type, ``None`` and the empty
string into ``None``, and gives back anything else as it came, for validation to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TypeAlias

Fields: TypeAlias = dict[str, Any]
"""Fields of the product record by name; one that is not set in the data is absent."""

IMAGE_HOST = "https://cbu01.alicdn.com/"
"""Where the platform's relative image paths start."""

UNLIMITED = 2_147_483_646
"""The stock by which the platform says "unlimited"; it stays in the record as it came."""

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_INT_LIMIT = Decimal(10) ** 40
_MAX_RANGE_LENGTH = 64
_RANGE = re.compile(r"[¥￥]?\s*([0-9.]+)\s*元?(?:\s*[-~～—至]\s*[¥￥]?\s*([0-9.]+)\s*元?)?")

# Values of quoteType.
_WHOLE_PRODUCT = (0, 2)
_EACH_SKU = 1


def first(source: dict[str, Any], *names: str) -> Any:
    """Return the first value under one of *names* that is neither ``None`` nor ``""``.

    ``""`` when all that is there is empty, ``None`` when nothing is there.
    """
    found = None
    for name in names:
        value = source.get(name)
        if value == "":
            found = ""
        elif value is not None:
            return value
    return found


def section(source: Any, *path: str) -> dict[str, Any]:
    """Return the object at *path* below *source*; an empty one if there is none."""
    for name in path:
        source = source.get(name) if isinstance(source, dict) else None
    return source if isinstance(source, dict) else {}


def listed(value: Any) -> Any:
    """Return a list: ``None`` is an empty one, a lone object one of one element."""
    if value is None or value == "":
        return []
    return [value] if isinstance(value, dict) else value


def set_fields(**fields: Any) -> Fields:
    """Return the fields that are not ``None``."""
    return {name: value for name, value in fields.items() if value is not None}


def amount(value: Any) -> Any:
    """Read an amount of money (CNY) as ``Decimal``."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        return Decimal(text) if _NUMBER.fullmatch(text) else value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return value


def count(value: Any) -> Any:
    """Read a whole number (a count, an id) as ``int``."""
    if isinstance(value, int):
        return value
    number = amount(value)
    if isinstance(number, Decimal) and number.is_finite() and number.copy_abs() < _INT_LIMIT:
        return int(number) if number == number.to_integral_value() else value
    return None if number is None else value


def text(value: Any) -> Any:
    """Read text; a number is taken for its digits."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return str(value)
    return value


def is_true(value: Any) -> bool:
    """Whether *value* is ``True`` or ``"true"``, as the platform writes it."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def image_url(value: Any) -> Any:
    """Read an image's address as an absolute one."""
    if not isinstance(value, str):
        return value
    path = value.strip()
    if not path:
        return None
    if path.startswith("//"):
        return f"https:{path}"
    return path if _SCHEME.match(path) else IMAGE_HOST + path.lstrip("/")


def image_urls(value: Any) -> Any:
    """Read a list of images' addresses; empty ones are left out."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        return value
    return [url for url in map(image_url, value) if url is not None]


def read_pairs(raw: Any) -> list[tuple[str, Any]] | None:
    """Return name and value of each attribute; None if *raw* is no list of attributes.

    Where an attribute has no name, its id is one; without either, or a value, it is left out.
    """
    entries = listed(raw)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return None
    names = ("attributeName", "attributeDisplayName", "attributeID", "attributeId")
    pairs = [
        (text(first(entry, *names)), text(first(entry, "attributeValue", "value")))
        for entry in entries
    ]
    known = [(name, value) for name, value in pairs if name is not None and value is not None]
    return known if all(isinstance(name, str) for name, _ in known) else None


def read_attributes(raw: Any) -> Any:
    """Return ``{name: [values]}``; an attribute repeats once for each of its values."""
    pairs = None if raw is None else read_pairs(raw)
    if pairs is None:
        return raw
    attributes: dict[str, list[Any]] = {}
    for name, value in pairs:
        values = attributes.setdefault(name, [])
        if value not in values:
            values.append(value)
    return attributes


def read_skus(raw: Any) -> Any:
    """Return the record's ``skus``; what is not set for a SKU is None or empty."""
    skus = listed(raw)
    if raw is None or not isinstance(skus, list):
        return raw
    return [_read_sku(sku) if isinstance(sku, dict) else sku for sku in skus]


def _read_sku(sku: dict[str, Any]) -> dict[str, Any]:
    raw = first(sku, "attributes", "skuAttributes")
    pairs = read_pairs(raw)
    images = [] if pairs is None else [image_url(entry.get("skuImageUrl")) for entry in listed(raw)]
    return {
        "sku_id": count(first(sku, "skuId", "skuID")),
        "spec_id": text(first(sku, "specId", "specID")),
        "attributes": raw if pairs is None else dict(pairs),
        "price": unit_price(sku),
        "price_tiers": read_tiers(sku.get("priceRange")),
        "stock": count(sku.get("amountOnSale")),
        "image": next((image for image in images if image is not None), None),
    }


def total_stock(skus: Any) -> int | None:
    """Return the stock of all SKUs together, None if that of one is unknown."""
    counts = [sku["stock"] for sku in _variants(skus) if isinstance(sku["stock"], int)]
    if not counts or len(counts) < len(skus):
        return None
    return UNLIMITED if UNLIMITED in counts else sum(counts)


def read_tiers(raw: Any) -> Any:
    """Return ``[{min_quantity, price}]`` in the order of the data.

    A range without a quantity counts from the first piece, one without a price is left out.
    """
    entries = listed(raw)
    if not isinstance(entries, list):
        return raw
    tiers = []
    for entry in entries:
        if not isinstance(entry, dict):
            tiers.append(entry)
        elif (price := unit_price(entry)) is not None:
            quantity = count(entry.get("startQuantity"))
            tiers.append({"min_quantity": 1 if quantity is None else quantity, "price": price})
    return tiers


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
    return amount(match[1]), amount(match[2] or match[1])


def quoted_prices(quote_type: Any, tiers: Any, skus: Any) -> Fields:
    """Return ``price``, ``price_max`` and ``price_tiers``; nothing if no price is quoted.

    *quote_type* says where the price is; where it says nothing, or nothing is at the place that it
    names, the other places count:

    * 0: no SKUs, by quantity: the product's ranges
    * 1: per SKU: the SKU's price
    * 2: SKUs, by quantity for the whole product: the product's ranges; a SKU has no price
    * 3: per SKU and quantity: the SKU's ranges

    *tiers* are the product's ranges, see :func:`read_tiers`; the prices of *skus* are set likewise.
    """
    quote_type, variants = count(quote_type), _variants(skus)
    if not (tiers and quote_type in _WHOLE_PRODUCT):
        by_sku = [price for sku in variants for price in _quote_sku(sku, quote_type)]
        if by_sku:
            return {**_span(by_sku), "price_tiers": []}
    if not tiers:
        return {}
    _hide_prices(variants)
    return {**_span(_tier_prices(tiers)), "price_tiers": tiers}


def without_prices(fields: Fields) -> Fields:
    """Return *fields* with every price of product and SKUs unknown, for they are private."""
    _hide_prices(_variants(fields.get("skus")))
    return fields | {"price": None, "price_max": None, "price_tiers": [], "price_private": True}


def _variants(skus: Any) -> list[dict[str, Any]]:
    return [sku for sku in skus if isinstance(sku, dict)] if isinstance(skus, list) else []


def _hide_prices(skus: list[dict[str, Any]]) -> None:
    for sku in skus:
        sku.update(price=None, price_tiers=[])


def _quote_sku(sku: dict[str, Any], quote_type: Any) -> list[Any]:
    """Set the prices of a SKU to what *quote_type* means; return them."""
    if quote_type == _EACH_SKU and sku["price"] is not None:
        sku["price_tiers"] = []
    elif sku["price_tiers"]:
        sku["price"] = _span(_tier_prices(sku["price_tiers"]))["price"]
    return _tier_prices(sku["price_tiers"]) or [sku["price"]] * (sku["price"] is not None)


def _tier_prices(tiers: Any) -> list[Any]:
    tiers = tiers if isinstance(tiers, list) else []
    return [tier["price"] for tier in tiers if isinstance(tier, dict)]


def _span(prices: Iterable[Any]) -> Fields:
    finite = [price for price in prices if isinstance(price, Decimal) and price.is_finite()]
    return {"price": min(finite, default=None), "price_max": max(finite, default=None)}
