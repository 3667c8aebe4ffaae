"""An item, or a stored document, as a row: one plain value for each column, in the record's order.

Plain values are ``None``, ``bool``, ``int``, ``float``, ``str``, ``Decimal``, UTC ``datetime``,
and lists and dicts of them. How a format writes them is its own matter.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bson import Decimal128
from itemadapter import ItemAdapter

from ali1688_spider.items import Product

if TYPE_CHECKING:
    from collections.abc import Iterable

PRODUCT_COLUMNS = (
    "product_id",
    "name",
    "price",
    "stock",
    "price_max",
    "currency",
    "price_tiers",
    "unit",
    "min_order_quantity",
    "skus",
    "attributes",
    "images",
    "category_id",
    "category_name",
    "supplier",
    "status",
    "url",
    "source_api",
    "fetched_at",
    "first_seen_at",
    "changed_at",
    "price_private",
)
"""The columns of a file of products."""

CHANGE_COLUMNS = ("product_id", "sku_id", "field", "old", "new", "at")
"""The columns of a file of changes: what was observed to differ, and when (UTC)."""


def row_of(item: Any) -> dict[str, Any]:
    """Return the fields that *item* has as plain values, the record's own first.

    Of a product these are the ones that the answer told, and the currency.

    Args:
        item: A product, a stored document, or any other item that Scrapy knows.
    """
    adapter = ItemAdapter(item)
    told = item.model_fields_set | {"currency"} if isinstance(item, Product) else adapter
    return {name: plain(adapter[name]) for name in ordered(told)}


def ordered(names: Iterable[str]) -> list[str]:
    """Return *names* without ``_id``, those of the record first and in its order."""
    given = dict.fromkeys(names)
    given.pop("_id", None)
    known = [name for name in PRODUCT_COLUMNS if name in given]
    return [*known, *(name for name in given if name not in PRODUCT_COLUMNS)]


def plain(value: Any) -> Any:
    """Return *value* as a plain value (see the module); money stays exact.

    A time without a zone is taken as UTC, as MongoDB means it.
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value
