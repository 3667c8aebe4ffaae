"""Weight and size of a product: in grams and cm, with who says so.

The platform knows up to three: what it measured itself, what the seller declares, and what it
predicts. Sellers declare none for half of the offers, and up to 10,000 kg for others.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ali1688_spider.gateway import fields

if TYPE_CHECKING:
    from ali1688_spider.gateway.fields import Fields

Source: TypeAlias = Literal["measured", "declared", "predicted"]

SUSPECT_GRAMS = 200_000
"""A heavier single piece is rather a mistake; it is kept and marked."""

_TRUST: tuple[Source, ...] = ("measured", "declared", "predicted")
_SOURCES: dict[str, Source] = {"官方测量": "measured", "商家自填": "declared", "预测": "predicted"}
_SIDES = ("length", "width", "height")
_MAX_CM = 1_000_000


def read_package(shipping: dict[str, Any]) -> Fields:
    """Return the fields of the record that ``shippingInfo`` or ``productShippingInfo`` tells."""
    if not shipping:
        return {}
    packages = sorted(_packages(shipping), key=lambda each: _TRUST.index(each["source"]))
    record = fields.set_fields(
        ship_from=fields.told_text(shipping.get("sendGoodsAddressText")),
        **{f"{side}_cm": _first_told(packages, side) for side in _SIDES},
    )
    for package in packages:
        if (grams := package["grams"]) is not None:
            suspect = grams > SUSPECT_GRAMS
            return record | {
                "weight_g": grams,
                "weight_source": package["source"],
                "weight_suspect": suspect,
            }
    return record


def _packages(shipping: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what each source says: grams, sides in cm, and the source."""
    told = shipping.get("pkgSizeSource")
    source = _SOURCES.get(told.strip()) if isinstance(told, str) else None
    official = {side: _cm(shipping.get(f"official{side.title()}")) for side in _SIDES}
    official["grams"] = _grams(shipping.get("officialWeight"))
    is_official = any(value is not None for value in official.values())
    own = {side: _cm(shipping.get(side)) for side in _SIDES}
    own["grams"] = _grams(fields.first(shipping, "weight", "unitWeight"))
    if own["grams"] is None:
        own["grams"] = _grams_of_skus(shipping)
    # The source describes the platform's own figures; without these, the others.
    own_source: Source = "declared" if is_official or source is None else source
    packages = [{**own, "source": own_source}]
    return [{**official, "source": source or "measured"}, *packages] if is_official else packages


def _grams_of_skus(shipping: dict[str, Any]) -> int | None:
    """Return the weight of the SKUs where all have the same; one list is in kg, one in grams."""
    for name, factor in (("skuShippingDetails", 1000), ("skuShippingInfoList", 1)):
        entries = shipping.get(name)
        if isinstance(entries, list) and entries:
            weights = {_grams(fields.section(each).get("weight"), factor) for each in entries}
            if len(weights) == 1:
                return weights.pop()
    return None


def _grams(value: Any, factor: int = 1000) -> int | None:
    weight = fields.told_amount(value)
    grams = None if weight is None else round(weight * factor)
    return grams if grams and fields.told_count(grams) else None


def _cm(value: Any) -> float | None:
    length = fields.told_amount(value)
    return float(length) if length is not None and length < Decimal(_MAX_CM) else None


def _first_told(packages: list[dict[str, Any]], side: str) -> float | None:
    return next((each[side] for each in packages if each[side] is not None), None)
