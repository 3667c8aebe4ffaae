"""The answers of the ``alibaba.product`` APIs: ``productInfo``."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from ali1688_spider.sandbox.clock import platform_text
from ali1688_spider.sandbox.products import BY_SKU
from ali1688_spider.sandbox.shapes.wire import Json, Wire, whole_tiers

if TYPE_CHECKING:
    from ali1688_spider.sandbox.products import Product, Sku

_CREATED_AT = 1_544_703_398.0
_SPARSE = ("categoryName", "description", "attributes", "shippingInfo", "supplierLoginId", "image")
_SIMPLE_SKU = ("skuId", "specId", "cargoNumber", "amountOnSale", "attributes")


def full(product: Product) -> Json:
    """Return the answer of ``alibaba.product.get`` and ``alibaba.cross.productInfo``."""
    return {"productInfo": _product_info(product)}


def simple(product: Product) -> Json:
    """Return the answer of ``alibaba.product.simple.get``: no prices but ``referencePrice``."""
    info = _product_info(product)
    info.pop("saleInfo")
    info["skuInfos"] = [{name: sku[name] for name in _SIMPLE_SKU} for sku in info["skuInfos"]]
    return {"productInfo": info}


def list_row(product: Product) -> Json:
    """Return a row of ``alibaba.product.list.get``, the seller's own products."""
    info = _product_info(product)
    info.pop("description", None)
    return info


def list_page(rows: list[Json], total: int) -> Json:
    """Return a page of ``alibaba.product.list.get``."""
    return {"result": {"pageResult": {"totalRecords": total, "resultList": rows}}}


def _product_info(product: Product) -> Json:
    """Return a ``productInfo``."""
    wire, traits = Wire(product), product.traits
    info: Json = {
        "productID": wire.number(product.product_id),
        "categoryID": wire.number(product.category.category_id),
        "categoryName": product.category.name,
        "subject": product.name,
        "description": f"<p>{product.english_name}</p>",
        "status": product.status,
        "image": {"images": [wire.image(path) for path in product.images]},
        "attributes": [
            {"attributeID": wire.number(id_), "attributeName": name, "value": value}
            for id_, name, value in product.attributes
        ],
        "skuInfos": [_sku_info(product, sku, wire) for sku in product.skus],
        "saleInfo": _sale_info(product, wire),
        "shippingInfo": {
            "unitWeight": 0.25,
            "length": 10,
            "width": 8,
            "height": 5.5,
            "sendGoodsAddressText": product.region,
        },
        "supplierLoginId": product.login_id,
        "sellerLoginId": product.login_id,
        "bookedCount": wire.number(product.sold),
        "referencePrice": _reference_price(product),
        "createTime": platform_text(_CREATED_AT + product.number),
        "lastUpdateTime": platform_text(_CREATED_AT + 2 * product.number),
    }
    if traits.sparse:
        for name in _SPARSE:
            info.pop(name)
    if traits.extended:
        info |= {"intelligentInfo": None, "bizType": 1, "qualityLevel": wire.number(-10000)}
    return info


def _sale_info(product: Product, wire: Wire) -> Json:
    info: Json = {
        "priceRanges": wire.tiers(whole_tiers(product)),
        "amountOnSale": wire.number(product.stock),
        "unit": product.category.unit,
        "minOrderQuantity": wire.number(product.min_order_quantity),
        "batchNumber": wire.number(1),
        "sellunit": product.category.unit,
        "quoteType": wire.number(product.traits.quote_type),
        "priceAuth": wire.flag(product.traits.private),
        "mixWholeSale": wire.flag(True),
        "retailprice": None,
        "consignPrice": None,
    }
    if product.traits.sparse:
        info.pop("minOrderQuantity")
        if product.skus:
            info.pop("amountOnSale")  # what is left is then said by the SKUs alone
    return info


def _sku_info(product: Product, sku: Sku, wire: Wire) -> Json:
    attribute_name = "attributeDisplayName" if product.traits.display_names else "attributeName"
    image = wire.image(sku.image)
    return {
        "skuId": wire.number(sku.sku_id),
        "specId": sku.spec_id,
        "cargoNumber": f"C{product.number}-{sku.sku_id % 10}",
        "amountOnSale": wire.number(sku.stock),
        "price": wire.money(sku.price) if product.traits.quote_type == BY_SKU else None,
        "retailPrice": None,
        "consignPrice": None,
        "priceRange": wire.tiers(sku.tiers),
        "attributes": [
            {
                "attributeID": wire.number(3216),
                attribute_name: "颜色",
                "attributeValue": sku.colour,
                "skuImageUrl": image,
            },
            {"attributeID": wire.number(450), attribute_name: "尺码", "attributeValue": sku.size},
        ],
    }


def _reference_price(product: Product) -> str:
    if product.traits.private or not isinstance(product.price, Decimal):
        return ""
    if product.price == product.price_max:
        return f"{product.price:f}"
    return f"{product.price:f}-{product.price_max:f}"
