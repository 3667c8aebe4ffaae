"""The answers of the cross-border APIs: offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.sandbox.products import (
    BY_QUANTITY_WITH_SKUS,
    BY_SKU,
    BY_SKU_AND_QUANTITY,
)
from ali1688_spider.sandbox.shapes.wire import IMAGE_HOST, Json, Wire, whole_tiers

if TYPE_CHECKING:
    from ali1688_spider.sandbox.products import Product, Sku


def detail(product: Product) -> Json:
    """Return the answer of ``product.search.queryProductDetail``."""
    wire, traits = Wire(product), product.traits
    # The API knows no price by SKU and quantity: such a SKU has its lowest price.
    quote_type = BY_SKU if traits.quote_type == BY_SKU_AND_QUANTITY else traits.quote_type
    fields: Json = {
        "offerId": wire.number(product.product_id),
        "subject": product.name,
        "subjectTrans": product.english_name,
        "productImage": {"images": [_absolute(path) for path in product.images]},
        "productSkuInfos": [_sku(product, sku, wire) for sku in product.skus],
        "productSaleInfo": {
            "amountOnSale": wire.number(product.stock),
            "quoteType": quote_type,
            "priceRangeList": [
                {**tier, "promotionPrice": None} for tier in wire.tiers(whole_tiers(product))
            ],
            "unitInfo": {"unit": product.category.unit},
        },
        "minOrderQuantity": wire.number(product.min_order_quantity),
        "sellerOpenId": f"BBB{product.login_id}",
        "companyName": product.supplier,
        "status": product.status,
        "soldOut": wire.flag(product.stock == 0),
    }
    if traits.sparse:
        fields.pop("companyName")
        fields["productSaleInfo"].pop("unitInfo")
    if traits.extended:
        fields |= {"isJxhy": wire.flag(True), "tradeScore": "4.5"}
    return _result(fields)


def row(product: Product) -> Json:
    """Return a row of ``product.search.keywordQuery``."""
    wire = Wire(product)
    return {
        "offerId": wire.number(product.product_id),
        "subject": product.name,
        "subjectTrans": product.english_name,
        "imageUrl": _absolute(product.images[0]),
        "priceInfo": {"price": wire.money(product.price)},
        "monthSold": wire.number(product.sold // 30),
        "repurchaseRate": f"{product.sold % 40}%",
    }


def page(rows: list[Json], total: int, number: int, page_size: int, *, pages: int) -> Json:
    """Return a page of ``product.search.keywordQuery``."""
    return _result(
        {
            "totalRecords": total,
            "totalPage": pages,
            "currentPage": number,
            "pageSize": page_size,
            "data": rows,
        }
    )


def _sku(product: Product, sku: Sku, wire: Wire) -> Json:
    by_sku = product.traits.quote_type != BY_QUANTITY_WITH_SKUS
    return {
        "skuId": wire.number(sku.sku_id),
        "specId": sku.spec_id,
        "price": wire.money(sku.price) if by_sku else None,
        "amountOnSale": wire.number(sku.stock),
        "consignPrice": None,
        "skuAttributes": [
            {
                "attributeId": wire.number(3216),
                "attributeName": "颜色",
                "value": sku.colour,
                "skuImageUrl": _absolute(sku.image),
            },
            {"attributeId": wire.number(450), "attributeName": "尺码", "value": sku.size},
        ],
    }


def _result(value: Json) -> Json:
    return {"result": {"success": "true", "code": "200", "message": "ok", "result": value}}


def _absolute(path: str) -> str:
    return IMAGE_HOST + path
