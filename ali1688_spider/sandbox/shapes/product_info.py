"""``productInfo``, as ``com.alibaba.product`` and ``com.alibaba.fenxiao`` tell it.

The two families name the same things differently: ``skuInfos``, ``saleInfo``, ``shippingInfo`` and
``image`` of the one are ``productSkuInfos``, ``productSaleInfo``, ``productShippingInfo`` and
``productImage`` of the other.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox.product_facts import BY_SKU
from ali1688_spider.sandbox.shapes import (
    IMAGE_HOST,
    Json,
    money,
    money_text,
    platform_text,
    tier_rows,
    wire,
)

if TYPE_CHECKING:
    from ali1688_spider.sandbox.sandbox_product import SandboxProduct, SandboxSku

_IMAGE_PREFIXES = ("", IMAGE_HOST, "//cbu01.alicdn.com/")
_SPARSE = ("categoryName", "description", "attributes", "shippingInfo", "supplierLoginId", "image")
_FENXIAO_SPARSE = ("categoryName", "description", "productAttribute", "productShippingInfo")
_SIMPLE_SKU = ("skuId", "specId", "cargoNumber", "amountOnSale", "attributes")
_DETAILS = ("attributes", "skuInfos", "saleInfo", "shippingInfo", "mainVedio", "detailVedio")


def full_product(product: SandboxProduct) -> Json:
    """Return the data of ``alibaba.product.get`` and ``alibaba.cross.productInfo``."""
    info: Json = {
        "productID": wire(product, product.product_id),
        "categoryID": wire(product, product.category.category_id),
        "categoryName": product.category.name,
        "subject": product.name,
        "description": description_of(product),
        "status": product.status,
        "image": {"images": _images(product)},
        "attributes": _attributes(product),
        "skuInfos": [_sku_info(product, sku) for sku in product.skus],
        "saleInfo": _sale_info(product),
        "shippingInfo": _parcel(product, "unitWeight") | {"sendGoodsAddressText": product.region},
        "supplierLoginId": product.seller.login_id,
        "sellerLoginId": product.seller.login_id,
        "bookedCount": wire(product, product.sales.total),
        "referencePrice": _reference_price(product),
        "createTime": platform_text(product.listed_at),
        "lastUpdateTime": platform_text(product.modified_at),
    }
    if product.traits.video:
        info |= {"mainVedio": video_of(product), "detailVedio": video_of(product, "detail")}
    if product.traits.sparse:
        for name in _SPARSE:
            del info[name]
    if product.traits.extended:
        info |= {"intelligentInfo": None, "bizType": 1, "qualityLevel": wire(product, -10000)}
    return {"productInfo": info}


def simple_product(product: SandboxProduct) -> Json:
    """Return the data of ``alibaba.product.simple.get``: no prices but ``referencePrice``."""
    data = full_product(product)
    info = data["productInfo"]
    del info["saleInfo"]
    info["skuInfos"] = [{name: sku[name] for name in _SIMPLE_SKU} for sku in info["skuInfos"]]
    return data


def own_page(
    rows: list[SandboxProduct], total: int, page: int, page_size: int, *, details: bool
) -> Json:
    """Return a page of ``alibaba.product.list.get``, of the seller's own products.

    Without *details* it tells neither prices by quantity nor SKUs.
    """
    infos = [listed_product(row, details=details) for row in rows]
    fields: Json = {"pageIndex": page, "sizePerPage": page_size, "totalRecords": total}
    return {"result": {"pageResult": fields | {"resultList": infos}}}


def listed_product(product: SandboxProduct, *, details: bool) -> Json:
    """Return the ``productInfo`` of a list: never with a description."""
    info: Json = full_product(product)["productInfo"]
    for name in ("description", *(() if details else _DETAILS)):
        info.pop(name, None)
    return info


def product_list(products: list[SandboxProduct], *, details: bool) -> Json:
    """Return the data of ``alibaba.product.getByIdList``.

    Without *details* it is that of ``alibaba.cross.productList``, which tells no price at all.
    """
    rows = [listed_product(product, details=details) for product in products]
    if not details:
        for row in rows:
            del row["referencePrice"]
    return {"productList": rows, "success": True, "message": "ok"}


def curated_list(products: list[SandboxProduct]) -> Json:
    """Return the data of ``alibaba.pifatuan.product.detail.list``; its image paths are relative."""
    rows = []
    for product in products:
        info = full_product(product)["productInfo"]
        info |= {"image": {"images": product.images}}
        rows.append({"instanceCode": f"pft{product.product_id}", "productInfo": info})
    return {"result": {"success": True, "message": "ok", "result": rows}}


def fenxiao_product(product: SandboxProduct) -> Json:
    """Return the data of ``alibaba.fenxiao.productInfo.get``."""
    info: Json = {
        "productID": wire(product, product.product_id),
        "categoryID": wire(product, product.category.category_id),
        "categoryName": product.category.name,
        "subject": product.name,
        "description": description_of(product),
        "status": product.status,
        "productImage": {"images": _images(product)},
        "productSkuInfos": [_fenxiao_sku(product, sku) for sku in product.skus],
        "productSaleInfo": _fenxiao_sale(product),
        "productShippingInfo": _fenxiao_shipping(product),
        "productAttribute": _attributes(product),
        "productExtendInfos": [{"key": "isFenxiao", "value": str(product.traits.dropship).lower()}],
        "referencePrice": _reference_price(product),
        "mainVedio": video_of(product) if product.traits.video else None,
        "supplierLoginId": product.seller.login_id,
        "createTime": platform_text(product.listed_at),
        "lastUpdateTime": platform_text(product.modified_at),
    }
    if product.traits.sparse:
        for name in _FENXIAO_SPARSE:
            del info[name]
    told = {"success": wire(product, True), "errorCode": None, "errorMsg": None}
    return told | {"productInfo": info}


def description_of(product: SandboxProduct) -> str:
    """Return the description, an HTML text."""
    return f"<p>{product.english_name}</p>"


def video_of(product: SandboxProduct, kind: str = "main") -> str:
    """Return the address of a video of a product that has some."""
    return f"https://cloud.video.taobao.com/play/{kind}/{product.product_id}.mp4"


def _images(product: SandboxProduct) -> list[str]:
    return [_IMAGE_PREFIXES[product.traits.image_style] + path for path in product.images]


def _attributes(product: SandboxProduct) -> list[Json]:
    return [
        {"attributeID": wire(product, id_), "attributeName": name[0], "value": value[0]}
        for id_, name, value in product.attributes
    ]


def _parcel(product: SandboxProduct, weight: str) -> Json:
    """Return weight (kg) and size (cm) of the parcel, if they are told, the former so named."""
    parcel = product.parcel
    if parcel.weight is None:
        return {}
    sizes = {"length": parcel.length, "width": parcel.width, "height": parcel.height}
    return {weight: parcel.weight} | sizes


def _sale_info(product: SandboxProduct) -> Json:
    info: Json = {
        "priceRanges": tier_rows(product, product.tiers if product.by_quantity else ()),
        "amountOnSale": wire(product, product.stock),
        "unit": product.category.unit,
        "minOrderQuantity": wire(product, product.min_order_quantity),
        "batchNumber": wire(product, 1),
        "sellunit": product.category.unit,
        "quoteType": wire(product, product.traits.quote_type),
        "priceAuth": wire(product, product.traits.private),
        "mixWholeSale": wire(product, True),
        "retailprice": None,
        "consignPrice": None,
    }
    if product.traits.sparse:
        del info["minOrderQuantity"]
        if product.skus:
            del info["amountOnSale"]  # what is left is then said by the SKUs alone
    return info


def _sku_info(product: SandboxProduct, sku: SandboxSku) -> Json:
    key = "attributeDisplayName" if product.traits.display_names else "attributeName"
    by_sku = product.traits.quote_type == BY_SKU
    return {
        "skuId": wire(product, sku.sku_id),
        "specId": sku.spec_id,
        "cargoNumber": sku.cargo_number,
        "amountOnSale": wire(product, sku.stock),
        "price": money(product, sku.price) if by_sku else None,
        "retailPrice": None,
        "consignPrice": None,
        "priceRange": tier_rows(product, sku.tiers),
        "attributes": _sku_attributes(product, sku, key),
    }


def _sku_attributes(product: SandboxProduct, sku: SandboxSku, *keys: str) -> list[Json]:
    image = _IMAGE_PREFIXES[product.traits.image_style] + sku.image
    colour: Json = {"attributeID": wire(product, 3216)} | dict.fromkeys(keys, "颜色")
    size: Json = {"attributeID": wire(product, 450)} | dict.fromkeys(keys, "尺码")
    return [
        colour | {"attributeValue": sku.colour[0], "skuImageUrl": image},
        size | {"attributeValue": sku.size[0]},
    ]


def _fenxiao_sku(product: SandboxProduct, sku: SandboxSku) -> Json:
    # The API knows no price by SKU and quantity: such a SKU has its lowest price.
    told: Any = None if product.by_quantity else money(product, sku.price)
    return {
        "skuId": wire(product, sku.sku_id),
        "specId": sku.spec_id,
        "price": told,
        "consignPrice": money(product, sku.dropship_price),
        "channelPrice": None,
        "retailPrice": money(product, sku.retail_price),
        "amountOnSale": wire(product, sku.stock),
        "cargoNumber": sku.cargo_number,
        "attributes": _sku_attributes(product, sku, "attributeName", "attributeDisplayName"),
    }


def _fenxiao_sale(product: SandboxProduct) -> Json:
    return {
        "priceRanges": tier_rows(product, product.tiers if product.by_quantity else ()),
        "amountOnSale": wire(product, product.stock),
        "unit": product.category.unit,
        "minOrderQuantity": wire(product, product.min_order_quantity),
        "batchNumber": wire(product, 1),
        "quoteType": product.traits.quote_type if product.by_quantity else BY_SKU,
        "priceAuth": wire(product, product.traits.private),
        "consignPrice": money(product, product.dropship_price),
        "channelPrice": None,
    }


def _fenxiao_shipping(product: SandboxProduct) -> Json:
    told = _parcel(product, "unitWeight")
    if product.parcel.weight is not None:
        told["suttleWeight"] = round(product.parcel.weight * 0.9, 3)
    return told | {"sendGoodsAddressText": product.region, "freightTemplateID": 1}


def _reference_price(product: SandboxProduct) -> str:
    if product.traits.private or not isinstance(product.price, Decimal):
        return ""
    lowest, highest = (money_text(product, price) for price in (product.price, product.price_max))
    return f"{lowest}" if lowest == highest else f"{lowest}-{highest}"
