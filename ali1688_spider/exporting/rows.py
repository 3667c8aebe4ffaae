"""An item, or a stored document, as rows: one plain value for each column, in the record's order.

Plain values are ``None``, ``bool``, ``int``, ``float``, ``str``, ``Decimal``, UTC ``datetime``,
and lists and dicts of them. Here is also their text: exact, and harmless in a spreadsheet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_type_hints

from itemadapter import ItemAdapter
from pydantic import AwareDatetime
from scrapy.utils.serialize import ScrapyJSONEncoder
from typing_extensions import TypedDict

from ali1688_spider.items import Product


@dataclass(frozen=True)
class Table:
    """What the rows of a file are.

    Attributes:
        name: Of its sheet in a workbook.
        types: The annotation of each column, in order.
    """

    name: str
    types: Mapping[str, Any]

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.types)


class SkuRow(TypedDict):
    """A row of a file of SKUs: what the response tells of the SKU itself, prices in CNY."""

    product_id: int
    name: str | None
    sku_id: int | None
    spec_id: str | None
    attributes: str | None
    price: Decimal | None
    retail_price: Decimal | None
    promotion_price: Decimal | None
    dropship_price: Decimal | None
    stock: int | None
    image: str | None
    cargo_number: str | None
    url: str | None


class ChangeRow(TypedDict):
    """A row of a file of changes: what was observed to differ, and when (UTC)."""

    product_id: int
    sku_id: int | None
    field: str
    old: str | None
    new: str | None
    at: AwareDatetime
    percent: float | None
    name: str | None
    url: str | None


PRODUCTS = Table(
    "products", {name: field.annotation for name, field in Product.model_fields.items()}
)
SKUS = Table("skus", get_type_hints(SkuRow))
CHANGES = Table("changes", get_type_hints(ChangeRow))

PRODUCT_COLUMNS = PRODUCTS.columns
CHANGE_COLUMNS = CHANGES.columns

_PLACES = {name: place for place, name in enumerate(PRODUCT_COLUMNS)}

FORMULA_STARTS = tuple("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")
"""What makes a spreadsheet read a text as a formula.

OWASP, "CSV Injection"; the last four are the full-width forms of the first four, which East Asian
versions read alike.
"""


def row_of(item: Any) -> dict[str, Any]:
    """Return the fields that *item* has, the record's own first.

    *item* is a stored document, any item that Scrapy knows, or a product: of this the fields that
    the response set, the currency, and the image of a search's row.
    """
    adapter = ItemAdapter(item)
    given: Iterable[str] = adapter
    if isinstance(item, Product):
        given = item.model_fields_set | {"currency", *(["images"] if item.images else [])}
    ordered = sorted(given, key=lambda name: _PLACES.get(name, len(_PLACES)))
    return {name: adapter[name] for name in ordered if name != "_id"}


def sku_rows(product: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a :class:`SkuRow` for each SKU of a product's row.

    A product without SKUs yields one of its own prices, stock and first image, without ``sku_id``.
    """
    itself = {**product, "attributes": {}, "image": next(iter(product.get("images") or ()), None)}
    for sku in product.get("skus") or [itself]:
        row = {name: sku.get(name) for name in SKUS.columns}
        texts = (f"{name}: {value}" for name, value in (sku.get("attributes") or {}).items())
        row["attributes"] = "; ".join(texts) or None
        yield row | {name: product.get(name) for name in ("product_id", "name", "url")}


def json_text(value: Any) -> Any:
    """Return as text what JSON does not know; ``default`` of its encoders.

    Decimals have all their digits, never an exponent: ``12.50``. Times are ISO 8601 in UTC, in
    whole seconds: ``2026-11-23T10:00:00Z``. Other values are what Scrapy makes of them.
    """
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=value.tzinfo or UTC)  # MongoDB means UTC by none
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return ScrapyJSONEncoder().default(value)


def cell_text(value: Any) -> str:
    """Return a plain value as the text of one cell.

    Nothing is an empty text; a list of addresses is joined by spaces, which no address has; other
    lists and dicts are compact JSON.
    """
    if value is None or value in ([], (), {}):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal | datetime):
        return str(json_text(value))
    if isinstance(value, list | tuple) and all(map(_is_address, value)):
        return " ".join(value)
    return json.dumps(value, default=json_text, ensure_ascii=False, separators=(",", ":"))


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://")) and " " not in value
