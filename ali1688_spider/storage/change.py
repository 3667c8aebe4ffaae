"""One observed change, as the database holds it and as other programs are told of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from bson.decimal128 import Decimal128

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ali1688_spider.items import ChangeField

Tiers: TypeAlias = list[dict[str, Any]]

_ALWAYS = ("product_id", "sku_id", "field", "old", "new", "percent", "at")
_SOMETIMES = ("min_quantity", "old_tiers", "new_tiers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of a product, or of one of its SKUs.

    Attributes:
        id: The same for the same change, whoever finds it and however often.
        product_id: Whose change it is.
        sku_id: The SKU, or None for the product itself.
        field: What changed. A change of the price tiers is one of the price.
        old: The value before: ``Decimal`` (CNY) for a price, int for a stock, else text; None for
            a private price and for the stock of a SKU that was not there.
        new: The value after, likewise.
        percent: How much a price or stock changed, in per cent of the old value: -20.0 for a
            fifth less. None when a side is None or the old value is 0.
        at: When the answer that shows it arrived (UTC).
        min_quantity: Where only price tiers changed: the first tier that did, whose prices ``old``
            and ``new`` then are.
        old_tiers: The price tiers before, ``[{min_quantity, price}]``, where they differ.
        new_tiers: The price tiers after, likewise.
    """

    id: str
    product_id: int
    sku_id: int | str | None
    field: ChangeField
    old: Any
    new: Any
    percent: float | None
    at: datetime
    min_quantity: int | None = None
    old_tiers: Tiers | None = None
    new_tiers: Tiers | None = None

    def document(self) -> dict[str, Any]:
        """Return the document of ``product_changes``; its ``_id`` is :attr:`id`."""
        return {"_id": self.id, **{name: to_bson(value) for name, value in self._values()}}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Change:
        """Return the change that :meth:`document` made the document of."""
        names = (*_ALWAYS, *_SOMETIMES)
        return cls(id=document["_id"], **{name: from_bson(document.get(name)) for name in names})

    def message(self) -> dict[str, Any]:
        """Return the change ready for JSON: amounts as exact decimal text, times in ISO 8601."""
        return {"id": self.id, **{name: _to_json(value) for name, value in self._values()}}

    def _values(self) -> list[tuple[str, Any]]:
        values = [(name, getattr(self, name)) for name in _ALWAYS]
        more = [(name, getattr(self, name)) for name in _SOMETIMES]
        return values + [(name, value) for name, value in more if value is not None]


def to_bson(value: Any) -> Any:
    """Return *value* with every ``Decimal`` in it as ``Decimal128``."""
    if isinstance(value, Decimal):
        return Decimal128(value)
    if isinstance(value, list):
        return [to_bson(item) for item in value]
    if isinstance(value, dict):
        return {key: to_bson(item) for key, item in value.items()}
    return value


def from_bson(value: Any) -> Any:
    """Return *value* with every ``Decimal128`` in it as ``Decimal``."""
    if isinstance(value, Decimal128):
        return value.to_decimal()
    if isinstance(value, list):
        return [from_bson(item) for item in value]
    if isinstance(value, dict):
        return {key: from_bson(item) for key, item in value.items()}
    return value


def _to_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    return value
