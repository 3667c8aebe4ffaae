"""The history of a product as ``product.analyze`` tells it, and what its freight costs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from ali1688_spider.sandbox.product_facts import mix
from ali1688_spider.sandbox.shapes import Json, envelope

if TYPE_CHECKING:
    from ali1688_spider.sandbox.sandbox_product import SandboxProduct

Kind = Literal["sold", "price", "repurchase"]

_FIRST_KILOGRAM, _NEXT_KILOGRAM = Decimal("6.00"), Decimal("2.50")  # CNY


def trend(product: SandboxProduct, kind: Kind, days: Iterable[datetime]) -> Json:
    """Return a value for each day, as text; it is empty for some days."""
    rows = [{"date": f"{day:%Y%m%d}", "value": _value(product, kind, day)} for day in days]
    return {"result": {"success": True, "retCode": "200", "retMsg": "ok", "result": rows}}


def _value(product: SandboxProduct, kind: Kind, day: datetime) -> str:
    seed = mix(product.number, 30, day.toordinal())
    if seed % 7 == 0 or (kind == "price" and product.traits.private):
        return ""
    match kind:
        case "sold":
            return str(seed % (product.sales.days30 // 15 + 1))
        case "price":
            return str(product.share_of_price(product.price, 95 + seed % 11))
        case "repurchase":
            return f"{max(product.sales.repurchase + seed % 5 - 2, 0) / 100:.2f}"


def freight(product: SandboxProduct, count: int) -> Json:
    """Return the data of ``product.freight.estimate`` for so many pieces."""
    weight = product.parcel.weight or 0.5
    further = max(-(-round(weight * count * 1000) // 1000) - 1, 0)  # kilograms begun, but the first
    free = product.traits.dropship
    fields: Json = {
        "offerId": product.product_id,
        "freight": "0" if free else f"{_FIRST_KILOGRAM + _NEXT_KILOGRAM * further:f}",
        "templateId": 1,
        "templateName": "默认模板",
        "templateType": 2,
        "subTemplateType": 0,
        "subTemplateName": "快递",
        "firstFee": f"{_FIRST_KILOGRAM:f}",
        "firstUnit": "1",
        "nextFee": f"{_NEXT_KILOGRAM:f}",
        "nextUnit": "1",
        "discount": "1",
        "chargeType": "0",
        "freePostage": free,
        "sizeValueType": 1,
    }
    skus = [{"skuId": str(sku.sku_id)} | _parcel(product, "singleSku") for sku in product.skus]
    fields["productFreightSkuInfoModels"] = skus
    return envelope(fields | _parcel(product, "singleProduct"))


def _parcel(product: SandboxProduct, prefix: str) -> Json:
    """Return weight (kg) and size (cm) of one piece, under names that begin so."""
    sizes = ("Weight", "Length", "Width", "Height")
    return {prefix + size: getattr(product.parcel, size.lower()) for size in sizes}
