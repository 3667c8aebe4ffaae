"""The products as the APIs return them: one function for each shape.

Sources: the API pages of the 1688 Open Platform, and what real responses show besides: numbers as
texts, relative image paths, repeated attributes, missing and undocumented fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox import products

if TYPE_CHECKING:
    from ali1688_spider.sandbox.products import SandboxProduct, SandboxSku, Tier

Json = dict[str, Any]

CHINA = timezone(timedelta(hours=8))
OFFER_WINDOW = 2000  # rows of one `product.search.keywordQuery` that can be paged through

_IMAGE_HOST = "https://cbu01.alicdn.com/"
_IMAGE_PREFIXES = ("", _IMAGE_HOST, "//cbu01.alicdn.com/")
_CREATED_AT = 1_544_703_398.0
_PARCEL: Json = {"unitWeight": 0.25, "length": 10, "width": 8, "height": 5.5}
_SPARSE = ("categoryName", "description", "attributes", "shippingInfo", "supplierLoginId", "image")
_SIMPLE_SKU = ("skuId", "specId", "cargoNumber", "amountOnSale", "attributes")


def encode(value: Any) -> bytes:
    """Return the JSON text of *value*; in UTF-8, or escaped when it has lone surrogates."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def platform_text(seconds: float) -> str:
    """Return a time in seconds since 1970 as the platform writes it: ``20181213201638000+0800``."""
    return f"{datetime.fromtimestamp(seconds, CHINA):%Y%m%d%H%M%S%f}"[:17] + "+0800"


def _wire(product: SandboxProduct, value: Any) -> Any:
    """Return a number or a boolean; a text for some products."""
    if not product.traits.texts or not isinstance(value, int):
        return value
    return str(value).lower()


def _money(product: SandboxProduct, value: Any) -> Any:
    """Return an amount whose digits in the JSON text are exact, None when it is private."""
    if product.traits.private:
        return None
    if not isinstance(value, Decimal):
        return value
    exact = Decimal(repr(float(value))) == value
    return float(value) if exact and not product.traits.texts else f"{value:f}"


def _tiers(product: SandboxProduct, tiers: Iterable[Tier]) -> list[Json]:
    """Return tiers of a price by quantity; none when it is private."""
    return [
        {"startQuantity": _wire(product, quantity), "price": _money(product, price)}
        for quantity, price in tiers
        if not product.traits.private
    ]


def router_product(product: SandboxProduct) -> Json:
    """Return the data of ``alibaba.product.get`` of ``router`` and ``top``."""
    fields = _router_fields(product)
    if product.traits.extended:
        fields |= {"productID": _wire(product, product.product_id), "isVip": _wire(product, False)}
    return {"result": {"product": fields}}


def router_page(rows: list[SandboxProduct], total: int, page: int, page_size: int) -> Json:
    """Return a page of ``alibaba.product.search``."""
    told = [{"productID": _wire(row, row.product_id)} | _router_fields(row) for row in rows]
    fields = {"totalCount": total, "pageNo": page, "pageSize": page_size, "products": told}
    return {"result": fields}


def _router_fields(product: SandboxProduct) -> Json:
    return {
        "productName": product.name,
        "price": _money(product, product.price),
        "quantity": _wire(product, product.stock),
    }


def simple_product(product: SandboxProduct) -> Json:
    """Return the data of ``alibaba.product.simple.get``: no prices but ``referencePrice``."""
    data = full_product(product)
    info = data["productInfo"]
    del info["saleInfo"]
    info["skuInfos"] = [{name: sku[name] for name in _SIMPLE_SKU} for sku in info["skuInfos"]]
    return data


def own_page(rows: list[SandboxProduct], total: int, *_page_and_size: int) -> Json:
    """Return a page of ``alibaba.product.list.get``, of the seller's own products."""
    infos = [full_product(row)["productInfo"] for row in rows]
    for info in infos:
        info.pop("description", None)
    return {"result": {"pageResult": {"totalRecords": total, "resultList": infos}}}


def full_product(product: SandboxProduct) -> Json:
    """Return the data of ``alibaba.product.get`` and ``alibaba.cross.productInfo``."""
    traits, images = product.traits, product.images
    attributes = [
        {"attributeID": _wire(product, id_), "attributeName": name, "value": value}
        for id_, name, value in product.attributes
    ]
    info: Json = {
        "productID": _wire(product, product.product_id),
        "categoryID": _wire(product, product.category.category_id),
        "categoryName": product.category.name,
        "subject": product.name,
        "description": f"<p>{product.english_name}</p>",
        "status": product.status,
        "image": {"images": [_IMAGE_PREFIXES[traits.image_style] + path for path in images]},
        "attributes": attributes,
        "skuInfos": [_sku_info(product, sku) for sku in product.skus],
        "saleInfo": _sale_info(product),
        "shippingInfo": _PARCEL | {"sendGoodsAddressText": product.region},
        "supplierLoginId": product.login_id,
        "sellerLoginId": product.login_id,
        "bookedCount": _wire(product, product.sold),
        "referencePrice": _reference_price(product),
        "createTime": platform_text(_CREATED_AT + product.number),
        "lastUpdateTime": platform_text(_CREATED_AT + 2 * product.number),
    }
    if traits.sparse:
        for name in _SPARSE:
            del info[name]
    if traits.extended:
        info |= {"intelligentInfo": None, "bizType": 1, "qualityLevel": _wire(product, -10000)}
    return {"productInfo": info}


def _sale_info(product: SandboxProduct) -> Json:
    info: Json = {
        "priceRanges": _tiers(product, product.tiers if product.by_quantity else ()),
        "amountOnSale": _wire(product, product.stock),
        "unit": product.category.unit,
        "minOrderQuantity": _wire(product, product.min_order_quantity),
        "batchNumber": _wire(product, 1),
        "sellunit": product.category.unit,
        "quoteType": _wire(product, product.traits.quote_type),
        "priceAuth": _wire(product, product.traits.private),
        "mixWholeSale": _wire(product, True),
        "retailprice": None,
        "consignPrice": None,
    }
    if product.traits.sparse:
        del info["minOrderQuantity"]
        if product.skus:
            del info["amountOnSale"]  # what is left is then said by the SKUs alone
    return info


def _sku_info(product: SandboxProduct, sku: SandboxSku) -> Json:
    traits = product.traits
    key = "attributeDisplayName" if traits.display_names else "attributeName"
    image = _IMAGE_PREFIXES[traits.image_style] + sku.image
    colour = {"attributeID": _wire(product, 3216), key: "颜色", "attributeValue": sku.colour}
    size = {"attributeID": _wire(product, 450), key: "尺码", "attributeValue": sku.size}
    return {
        "skuId": _wire(product, sku.sku_id),
        "specId": sku.spec_id,
        "cargoNumber": f"C{product.number}-{sku.sku_id % 10}",
        "amountOnSale": _wire(product, sku.stock),
        "price": _money(product, sku.price) if traits.quote_type == products.BY_SKU else None,
        "retailPrice": None,
        "consignPrice": None,
        "priceRange": _tiers(product, sku.tiers),
        "attributes": [colour | {"skuImageUrl": image}, size],
    }


def _reference_price(product: SandboxProduct) -> str:
    if product.traits.private or not isinstance(product.price, Decimal):
        return ""
    lowest, highest = f"{product.price:f}", f"{product.price_max:f}"
    return lowest if product.price == product.price_max else f"{lowest}-{highest}"


def offer(product: SandboxProduct) -> Json:
    """Return the data of ``product.search.queryProductDetail``."""
    traits = product.traits
    tiers = _tiers(product, product.tiers if product.by_quantity else ())
    # The API knows no price by SKU and quantity: such a SKU has its lowest price.
    by_both = traits.quote_type == products.BY_SKU_AND_QUANTITY
    fields: Json = {
        "offerId": _wire(product, product.product_id),
        "subject": product.name,
        "subjectTrans": product.english_name,
        "productImage": {"images": [_IMAGE_HOST + path for path in product.images]},
        "productSkuInfos": [_offer_sku(product, sku) for sku in product.skus],
        "productSaleInfo": {
            "amountOnSale": _wire(product, product.stock),
            "quoteType": products.BY_SKU if by_both else traits.quote_type,
            "priceRangeList": [tier | {"promotionPrice": None} for tier in tiers],
            "unitInfo": {"unit": product.category.unit},
        },
        "minOrderQuantity": _wire(product, product.min_order_quantity),
        "sellerOpenId": f"BBB{product.login_id}",
        "companyName": product.supplier,
        "status": product.status,
        "soldOut": _wire(product, product.stock == 0),
    }
    if traits.sparse:
        del fields["companyName"], fields["productSaleInfo"]["unitInfo"]
    if traits.extended:
        fields |= {"isJxhy": _wire(product, True), "tradeScore": "4.5"}
    return _result(fields)


def _offer_sku(product: SandboxProduct, sku: SandboxSku) -> Json:
    by_sku = product.traits.quote_type != products.BY_QUANTITY_WITH_SKUS
    colour = {"attributeId": _wire(product, 3216), "attributeName": "颜色", "value": sku.colour}
    size = {"attributeId": _wire(product, 450), "attributeName": "尺码", "value": sku.size}
    return {
        "skuId": _wire(product, sku.sku_id),
        "specId": sku.spec_id,
        "price": _money(product, sku.price) if by_sku else None,
        "amountOnSale": _wire(product, sku.stock),
        "consignPrice": None,
        "skuAttributes": [colour | {"skuImageUrl": _IMAGE_HOST + sku.image}, size],
    }


def _offer_row(product: SandboxProduct) -> Json:
    return {
        "offerId": _wire(product, product.product_id),
        "subject": product.name,
        "subjectTrans": product.english_name,
        "imageUrl": _IMAGE_HOST + product.images[0],
        "priceInfo": {"price": _money(product, product.price)},
        "monthSold": _wire(product, product.sold // 30),
        "repurchaseRate": f"{product.sold % 40}%",
    }


def offer_page(rows: list[SandboxProduct], total: int, page: int, page_size: int) -> Json:
    """Return a page of ``product.search.keywordQuery``."""
    last = -(-min(total, OFFER_WINDOW) // page_size)
    fields = {"totalRecords": total, "totalPage": last, "currentPage": page, "pageSize": page_size}
    return _result(fields | {"data": [_offer_row(row) for row in rows]})


def _result(value: Json) -> Json:
    return {"result": {"success": "true", "code": "200", "message": "ok", "result": value}}
