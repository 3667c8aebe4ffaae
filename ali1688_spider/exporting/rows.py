"""An item, or a stored document, as a row: one plain value for each column, in the record's order.

Plain values are ``None``, ``bool``, ``int``, ``float``, ``str``, ``Decimal``, UTC ``datetime``,
and lists and dicts of them. Here is also their text: exact, and harmless in a spreadsheet.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bson import Decimal128
from itemadapter import ItemAdapter

from ali1688_spider.items import Product

PRODUCT_COLUMNS = tuple(Product.model_fields)
"""The columns of a file of products."""

CHANGE_COLUMNS: tuple[str, ...] = ("product_id", "sku_id", "field", "old", "new", "at")
"""The columns of a file of changes: what was observed to differ, and when (UTC)."""

_PLACES = {name: place for place, name in enumerate(PRODUCT_COLUMNS)}

FORMULA_STARTS = tuple("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")
"""What makes a spreadsheet read a text as a formula.

OWASP, "CSV Injection"; the last four are the full-width forms of the first four, which East Asian
versions read alike.
"""


def row_of(item: Any) -> dict[str, Any]:
    """Return the fields that *item* has as plain values, the record's own first.

    *item* is a stored document, any item that Scrapy knows, or a product: of this the fields that
    the response set, and the currency.
    """
    adapter = ItemAdapter(item)
    fields = item.model_fields_set | {"currency"} if isinstance(item, Product) else adapter
    given = (name for name in fields if name != "_id")
    ordered = sorted(given, key=lambda name: _PLACES.get(name, len(_PLACES)))
    return {name: plain(adapter[name]) for name in ordered}


def plain(value: Any) -> Any:
    """Return *value* as a plain value (see the module); money stays exact.

    A time without a zone is taken as UTC, as MongoDB means it.
    """
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def json_value(value: Any) -> Any:
    """Return a plain value as JSON can hold it.

    Decimals become texts of all their digits, never with an exponent: ``12.50``. Times become
    ISO 8601 in UTC, in whole seconds: ``2026-11-23T10:00:00Z``.
    """
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, dict):
        return {str(name): json_value(part) for name, part in value.items()}
    if isinstance(value, list):
        return [json_value(part) for part in value]
    return value


def cell_text(value: Any) -> str:
    """Return a plain value as the text of one cell.

    Nothing is an empty text; a list of addresses is joined by spaces, which no address has; other
    lists and dicts are compact JSON.
    """
    if value is None or value in ([], {}):
        return ""
    if isinstance(value, list) and all(map(_is_address, value)):
        return " ".join(value)
    value = json_value(value)
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://")) and " " not in value
