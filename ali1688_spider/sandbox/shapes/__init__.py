"""The products as the APIs return them: one function for each shape, one module for each family.

Here is what all of them share, and the shapes of ``router`` and ``top``. Sources: the API pages of
the 1688 Open Platform, and what real responses show besides: numbers as texts, relative image
paths, repeated attributes, missing and undocumented fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ali1688_spider.sandbox.sandbox_product import SandboxProduct, Tier

Json = dict[str, Any]

CHINA = timezone(timedelta(hours=8))
IMAGE_HOST = "https://cbu01.alicdn.com/"


def encode(value: Any) -> bytes:
    """Return the JSON text of *value*; in UTF-8, or escaped when it has lone surrogates."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def platform_text(seconds: float) -> str:
    """Return a time in seconds since 1970 as the platform writes it: ``20181213201638000+0800``."""
    return f"{datetime.fromtimestamp(seconds, CHINA):%Y%m%d%H%M%S%f}"[:17] + "+0800"


def date_text(seconds: float) -> str:
    """Return a time as the cross-border APIs write it, in China time: ``2024-04-20 08:00:00``."""
    return f"{datetime.fromtimestamp(seconds, CHINA):%Y-%m-%d %H:%M:%S}"


def wire(product: SandboxProduct, value: Any) -> Any:
    """Return a number or a boolean; a text for some products."""
    if not product.traits.texts or not isinstance(value, int):
        return value
    return str(value).lower()


def money(product: SandboxProduct, value: Any) -> Any:
    """Return an amount whose digits in the JSON text are exact, None when it is private."""
    if product.traits.private:
        return None
    if not isinstance(value, Decimal):
        return value
    exact = Decimal(repr(float(value))) == value
    return float(value) if exact and not product.traits.texts else f"{value:f}"


def money_text(product: SandboxProduct, value: Any) -> Any:
    """Return an amount as text, None when it is private."""
    if product.traits.private:
        return None
    return f"{value:f}" if isinstance(value, Decimal) else value


def tier_rows(product: SandboxProduct, tiers: Iterable[Tier]) -> list[Json]:
    """Return tiers of a price by quantity; none when it is private."""
    return [
        {"startQuantity": wire(product, quantity), "price": money(product, price)}
        for quantity, price in tiers
        if not product.traits.private
    ]


def envelope(value: Any, *, as_text: bool = False) -> Json:
    """Return the data of the cross-border APIs in what they come in; some write success as text."""
    success = "true" if as_text else True
    return {"result": {"success": success, "code": "200", "message": "ok", "result": value}}


def router_product(product: SandboxProduct) -> Json:
    """Return the data of ``alibaba.product.get`` of ``router`` and ``top``."""
    fields = _router_fields(product)
    if product.traits.extended:
        fields |= {"productID": wire(product, product.product_id), "isVip": wire(product, False)}
    return {"result": {"product": fields}}


def router_page(rows: list[SandboxProduct], total: int, page: int, page_size: int) -> Json:
    """Return a page of ``alibaba.product.search``."""
    told = [{"productID": wire(row, row.product_id)} | _router_fields(row) for row in rows]
    fields = {"totalCount": total, "pageNo": page, "pageSize": page_size, "products": told}
    return {"result": fields}


def _router_fields(product: SandboxProduct) -> Json:
    return {
        "productName": product.name,
        "price": money(product, product.price),
        "quantity": wire(product, product.stock),
    }
