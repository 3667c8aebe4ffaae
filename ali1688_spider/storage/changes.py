"""Changes between the stored product and a newer response about it.

A change needs a value on both sides: learning a value for the first time is none, and a response
without a field says nothing about it. Of a private product it is known that its price is None. A
SKU that appears among others, or goes, changes its stock from or to None. Of ``promotion_price``
None is a value, too, where the field is there at all: no campaign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from bson.decimal128 import Decimal128

if TYPE_CHECKING:
    from ali1688_spider.items import ChangeField

SkuId: TypeAlias = int | str | None
Tiers: TypeAlias = list[dict[str, Any]]

COMPARED = (
    *("name", "price", "price_private", "price_tiers", "stock", "status"),
    *("promotion_price", "available"),
    *("skus.sku_id", "skus.price", "skus.price_tiers", "skus.stock", "skus.promotion_price"),
)
"""The stored fields that :func:`differences` looks at, as a projection names them."""

_OPTIONAL = ("min_quantity", "old_tiers", "new_tiers")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of a product, or of one of its SKUs.

    Attributes:
        id: The same for the same change, whichever worker finds it and however often.
        product_id: The product.
        sku_id: The SKU, or None for the product itself.
        field: What changed. A change of the price tiers is one of the price.
        old: The value before: ``Decimal`` (CNY) for a price, int for a stock, bool for
            ``available``, else text; None for a private price, for the stock of a SKU that was
            not there, and for no promotion.
        new: The value after, likewise.
        percent: How much a price or stock changed, in per cent of the old value: -20.0 for a
            fifth less. None when a side is None or the old value is 0.
        at: When the response that shows it arrived (UTC).
        min_quantity: Where only price tiers changed: the first tier that did, whose prices ``old``
            and ``new`` then are.
        old_tiers: The price tiers before, ``[{min_quantity, price}]``, where they differ.
        new_tiers: The price tiers after, likewise.
    """

    id: str
    product_id: int
    sku_id: SkuId
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
        values = self._values()
        return {"_id": values.pop("id"), **values}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Change:
        """Return the change of a document as :meth:`document` makes it, or as MongoDB holds it."""
        values = {each.name: document.get(each.name) for each in fields(cls)}
        return cls(**_decimals({**values, "id": document["_id"]}))

    def message(self) -> dict[str, Any]:
        """Return the change ready for JSON: amounts as exact decimal text, times in ISO 8601."""
        return {name: _converted(value, _to_json) for name, value in self._values().items()}

    def _values(self) -> dict[str, Any]:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {n: value for n, value in values.items() if value is not None or n not in _OPTIONAL}


def differences(
    product_id: int, old: Mapping[str, Any], new: Mapping[str, Any], at: datetime
) -> list[Change]:
    """Return the changes of a product and of its SKUs, the product's first.

    Args:
        product_id: The product.
        old: The stored document, at least :data:`COMPARED` of it; prices as ``Decimal128``.
        new: The fields that the newer response has, likewise.
        at: When the newer response arrived (UTC).
    """
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    return [
        Change(
            id=f"{product_id}:{'' if sku_id is None else sku_id}:{each['field']}:{milliseconds}",
            product_id=product_id,
            sku_id=sku_id,
            percent=percent(each["old"], each["new"]),
            at=at,
            **each,
        )
        for sku_id, each in _decimals(list(_differences(old, new)))
    ]


def percent(old: Any, new: Any) -> float | None:
    """Return a change in per cent of the old value, as :attr:`Change.percent`."""
    amounts = all(isinstance(each, int | Decimal) and each is not True for each in (old, new))
    if not amounts or not old:
        return None
    return round(float((new - old) * 100 / Decimal(old)), 4)


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[SkuId, dict[str, Any]]]:
    """Yield the SKU, and the field, both values and perhaps the price tiers, of each difference."""
    was_private = bool(old.get("price_private"))
    is_private = bool(new.get("price_private", was_private))
    both_tell = "promotion_price" in old and "promotion_price" in new
    sides = {
        "was_private": was_private,
        "is_private": is_private,
        "tell_promotions": both_tell and not was_private and not is_private,
    }
    yield from ((None, difference) for difference in _of_offer(old, new, **sides))
    for field in ("status", "name", "available"):
        if _both_known(old.get(field), new.get(field)) and old[field] != new[field]:
            yield None, {"field": field, "old": old[field], "new": new[field]}
    old_skus, new_skus = _by_id(old), _by_id(new)
    if not old_skus or not new_skus:
        return
    for sku_id in old_skus | new_skus:
        before, after = old_skus.get(sku_id), new_skus.get(sku_id)
        if before and after:
            yield from ((sku_id, each) for each in _of_offer(before, after, **sides))
        else:
            stocks = {"old": (before or {}).get("stock"), "new": (after or {}).get("stock")}
            if any(stock is not None for stock in stocks.values()):
                yield sku_id, {"field": "stock", **stocks}


def _of_offer(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    was_private: bool,
    is_private: bool,
    tell_promotions: bool,
) -> Iterator[dict[str, Any]]:
    """Compare price, price tiers, promotion and stock of a product or of a SKU."""
    tiers = _tiers_difference(old, new)
    before, after = old.get("price"), new.get("price")
    known = (before is not None or was_private) and (after is not None or is_private)
    if "price" in new and known and not _equal(before, after):
        more = {name: value for name, value in tiers.items() if name != "min_quantity"}
        yield {"field": "price", "old": before, "new": after, **more}
    elif tiers:
        quantity = tiers["min_quantity"]
        before, after = (_ladder(side.get("price_tiers")).get(quantity) for side in (old, new))
        yield {"field": "price", "old": before, "new": after, **tiers}
    before, after = old.get("promotion_price"), new.get("promotion_price")
    if tell_promotions and not _equal(before, after):
        yield {"field": "promotion_price", "old": before, "new": after}
    if _both_known(old.get("stock"), new.get("stock")) and old["stock"] != new["stock"]:
        yield {"field": "stock", "old": old["stock"], "new": new["stock"]}


def _tiers_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    before, after = _ladder(old.get("price_tiers")), _ladder(new.get("price_tiers"))
    differing = [each for each in before | after if not _equal(before.get(each), after.get(each))]
    if not before or not after or not differing:
        return {}
    tiers = {"old_tiers": old["price_tiers"], "new_tiers": new["price_tiers"]}
    return {"min_quantity": min(differing), **tiers}


def _ladder(tiers: list[Mapping[str, Any]] | None) -> dict[int, Any]:
    return {tier["min_quantity"]: tier["price"] for tier in tiers or ()}


def _by_id(document: Mapping[str, Any]) -> dict[int | str, Mapping[str, Any]]:
    skus = document.get("skus") or ()
    return {sku["sku_id"]: sku for sku in skus if sku.get("sku_id") is not None}


def _both_known(old: Any, new: Any) -> bool:
    return old is not None and new is not None


def _equal(old: Any, new: Any) -> bool:
    """Whether two amounts are the same; 10.0 and 10.00 are."""
    # Comparing the encoded form first is 20 times faster, and amounts seldom change.
    return old == new or (_both_known(old, new) and _decimals(old) == _decimals(new))


def _decimals(value: Any) -> Any:
    """Return *value* with every ``Decimal128`` in it as ``Decimal``."""
    return _converted(value, lambda each: each.to_decimal() if type(each) is Decimal128 else each)


def _to_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def _converted(value: Any, convert: Callable[[Any], Any]) -> Any:
    if isinstance(value, list | tuple):
        return [_converted(each, convert) for each in value]
    if isinstance(value, dict):
        return {key: _converted(each, convert) for key, each in value.items()}
    return convert(value)
