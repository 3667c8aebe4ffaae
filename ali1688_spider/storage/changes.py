"""What changed between the stored product and a newer answer about it.

Both sides are read as MongoDB holds them, prices as ``Decimal128``. A change needs a value on both
sides: learning a value for the first time is none, and an answer that does not tell a field says
nothing about it. Of a private product it is known that its price is None. A SKU that appears among
others, or goes, changes its stock from or to None.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from ali1688_spider.storage.change import Change, from_bson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ali1688_spider.items import ChangeField

COMPARED = (
    *("name", "price", "price_private", "price_tiers", "stock", "status"),
    *("skus.sku_id", "skus.price", "skus.price_tiers", "skus.stock"),
)
"""The stored fields that :func:`differences` looks at, as a projection names them."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Difference(NamedTuple):
    field: ChangeField
    old: Any
    new: Any
    more: dict[str, Any] = {}  # noqa: RUF012  # never changed


def differences(
    product_id: int, old: Mapping[str, Any], new: Mapping[str, Any], at: datetime
) -> list[Change]:
    """Return the changes of a product and of its SKUs, the product's first.

    Args:
        product_id: The product.
        old: The stored document, at least :data:`COMPARED` of it.
        new: The fields that the newer answer tells.
        at: When the newer answer arrived (UTC).
    """
    return [
        _change(product_id, sku_id, difference, at) for sku_id, difference in _differences(old, new)
    ]


def _change(
    product_id: int, sku_id: int | str | None, difference: _Difference, at: datetime
) -> Change:
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    old, new = from_bson(difference.old), from_bson(difference.new)
    return Change(
        id=f"{product_id}:{'' if sku_id is None else sku_id}:{difference.field}:{milliseconds}",
        product_id=product_id,
        sku_id=sku_id,
        field=difference.field,
        old=old,
        new=new,
        percent=_percent(old, new),
        at=at,
        **from_bson(difference.more),
    )


def _percent(old: Any, new: Any) -> float | None:
    if not isinstance(old, (int, Decimal)) or not isinstance(new, (int, Decimal)) or not old:
        return None
    return round(float((new - old) * 100 / Decimal(old)), 4)


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[int | str | None, _Difference]]:
    was_private = bool(old.get("price_private"))
    is_private = bool(new.get("price_private", was_private))
    for difference in _of_offer(old, new, was_private=was_private, is_private=is_private):
        yield None, difference
    for field in ("status", "name"):
        if _both_known(old.get(field), new.get(field)) and old[field] != new[field]:
            yield None, _Difference(field, old[field], new[field])
    old_skus, new_skus = _by_id(old), _by_id(new)
    if not old_skus or not new_skus:
        return
    for sku_id in old_skus | new_skus:
        before, after = old_skus.get(sku_id), new_skus.get(sku_id)
        if before and after:
            pair = _of_offer(before, after, was_private=was_private, is_private=is_private)
            yield from ((sku_id, difference) for difference in pair)
        else:
            stocks = (before or {}).get("stock"), (after or {}).get("stock")
            if stocks != (None, None):
                yield sku_id, _Difference("stock", *stocks)


def _of_offer(
    old: Mapping[str, Any], new: Mapping[str, Any], *, was_private: bool, is_private: bool
) -> Iterator[_Difference]:
    """Compare price, price tiers and stock of a product or of a SKU."""
    tiers = _tiers_difference(old, new)
    before, after = old.get("price"), new.get("price")
    known = (before is not None or was_private) and (after is not None or is_private)
    if "price" in new and known and not _equal(before, after):
        more = {name: value for name, value in tiers.items() if name != "min_quantity"}
        yield _Difference("price", before, after, more)
    elif tiers:
        quantity = tiers["min_quantity"]
        before, after = (_ladder(side.get("price_tiers")).get(quantity) for side in (old, new))
        yield _Difference("price", before, after, tiers)
    if _both_known(old.get("stock"), new.get("stock")) and old["stock"] != new["stock"]:
        yield _Difference("stock", old["stock"], new["stock"])


def _tiers_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    before, after = _ladder(old.get("price_tiers")), _ladder(new.get("price_tiers"))
    if not before or not after:
        return {}
    differing = [
        quantity
        for quantity in before | after
        if not _equal(before.get(quantity), after.get(quantity))
    ]
    if not differing:
        return {}
    return {
        "min_quantity": min(differing),
        "old_tiers": old["price_tiers"],
        "new_tiers": new["price_tiers"],
    }


def _ladder(tiers: list[Mapping[str, Any]] | None) -> dict[int, Any]:
    return {tier["min_quantity"]: tier["price"] for tier in tiers or ()}


def _by_id(document: Mapping[str, Any]) -> dict[int | str, Mapping[str, Any]]:
    skus = document.get("skus") or ()
    return {sku["sku_id"]: sku for sku in skus if sku.get("sku_id") is not None}


def _both_known(old: Any, new: Any) -> bool:
    return old is not None and new is not None


def _equal(old: Any, new: Any) -> bool:
    """Tell whether two amounts are the same; 10.0 and 10.00 are."""
    # Comparing the encoded form first is 20 times faster, and amounts seldom change.
    return old == new or (_both_known(old, new) and from_bson(old) == from_bson(new))
