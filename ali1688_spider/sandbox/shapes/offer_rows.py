"""Products as the searches, recommendations, rankings and pools of the platform list them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox.category_tree import translate
from ali1688_spider.sandbox.shapes import IMAGE_HOST, Json, date_text, envelope, money_text, wire
from ali1688_spider.sandbox.shapes.offers import (
    category_fields,
    promotion_fields,
    seller_data,
    shipping_promise,
)

if TYPE_CHECKING:
    from ali1688_spider.sandbox.sandbox_product import SandboxProduct

WINDOW = 2000  # rows of one search that are told of and can be paged through

_SPARSE = ("monthSold", "tradeScore", "createDate", "modifyDate", "sellerDataInfo", "whiteImage")


def offer_row(product: SandboxProduct, country: str, *, curated: bool) -> Json:
    """Return a row of ``product.search.keywordQuery``; its prices are texts."""
    row: Json = {
        "offerId": wire(product, product.product_id),
        "subject": product.name,
        "subjectTrans": translate(product.english_name, country),
        "imageUrl": IMAGE_HOST + product.images[0],
        "whiteImage": IMAGE_HOST + product.images[1],
        "isJxhy": wire(product, curated),
        "priceInfo": _prices(product, curated=curated),
        "minOrderQuantity": wire(product, product.min_order_quantity),
        "isOnePsale": wire(product, product.min_order_quantity == 1),
        "createDate": date_text(product.listed_at),
        "modifyDate": date_text(product.modified_at),
        "offerIdentities": ["tp_member"] if product.number % 2 else [],
        "isPatentProduct": wire(product, product.number % 50 == 1),
        "productSimpleShippingInfo": _shipping(product),
        "promotionURL": f"https://detail.1688.com/offer/{product.product_id}.html?kjSource=pc",
    }
    row |= _sales(product) | _seller(product)
    row |= category_fields(product) | promotion_fields(product)
    if product.traits.sparse:
        for name in _SPARSE:
            del row[name]
    return row


def _prices(product: SandboxProduct, *, curated: bool) -> Json:
    price = money_text(product, product.price)
    return {
        "price": price,
        "jxhyPrice": None,
        "pfJxhyPrice": price if curated else None,
        "consignPrice": money_text(product, product.dropship_price),
        "promotionPrice": money_text(product, product.promotion_price),
    }


def _sales(product: SandboxProduct) -> Json:
    sales = product.sales
    return {
        "repurchaseRate": f"{sales.repurchase}%",
        "monthSold": wire(product, sales.days30),
        "sales7d": str(sales.days7),
        "tradeScore": sales.score,
        "productTradeInfo": {
            "addCartCount7d": str(sales.days7 * 3),
            "payBuyerCount7d": str(sales.buyers // 4),
            "payBuyerCount30d": str(sales.buyers),
        },
    }


def _seller(product: SandboxProduct) -> Json:
    is_factory = product.seller.is_factory
    return {
        "sellerIdentities": ["super_factory"] if is_factory else [],
        "sellerDataInfo": seller_data(product),
        "invoiceInfo": {
            "supportOnlineInvoice": is_factory,
            "invoiceTypes": ["VAT"] if is_factory else [],
            "taxpayerType": "general",
        },
    }


def _shipping(product: SandboxProduct) -> Json:
    return {
        "shippingTimeGuarantee": shipping_promise(product),
        "perfectFulfillmentRate30d": "100.00%",
        "pickupWithin24hRate30d": f"{60 + product.number % 40}.00%",
        "qualityReturnRate30d": "0.50%",
        "qualityReturnRate7d": "0.20%",
    }


def offer_page(rows: list[Json], total: int, page: int, page_size: int) -> Json:
    """Return the data of a search; ``totalRecords`` stops at the window, ``totalPage`` is wrong."""
    records = min(total, WINDOW)
    last = -(-records // page_size) + 1  # one too many, as on the platform
    fields: Json = {"totalRecords": records, "totalPage": last, "currentPage": page}
    return fields | {"pageSize": page_size, "data": rows}


def seller_row(product: SandboxProduct, country: str, *, curated: bool) -> Json:
    """Return a row of ``product.search.querySellerOfferList``: without a promotion's price."""
    row = offer_row(product, country, curated=curated)
    del row["priceInfo"]["promotionPrice"]
    return row


def image_row(product: SandboxProduct, country: str, *, curated: bool) -> Json:
    """Return a row of ``product.search.imageQuery``."""
    row = offer_row(product, country, curated=curated)
    return row | {"companyName": product.seller.company, "offerDataInfo": {"score": "0.9"}}


def similar_page(rows: list[SandboxProduct], total: int, page: int, page_size: int) -> Json:
    """Return the data of ``alibaba.cross.similar.offer.search``; its prices are in fen."""
    told = [_similar_row(product) for product in rows]
    fields: Json = {"total": total, "page": page, "pageSize": page_size, "result": told}
    return {"success": True, "result": fields}


def _similar_row(product: SandboxProduct) -> Json:
    province, _, city = product.region.partition(" ")
    priced = isinstance(product.price, Decimal) and not product.traits.private
    return {
        "offerId": str(product.product_id),
        "subject": product.name,
        "quantityBegin": product.min_order_quantity,
        "unit": product.category.unit,
        "oldPrice": int(product.price * 100) if priced else None,
        "imageUrl": IMAGE_HOST + product.images[0],
        "province": province,
        "city": city,
        "supplyAmount": product.stock,
        "categoryId": product.category.category_id,
        "detailUrl": f"https://detail.1688.com/offer/{product.product_id}.html",
    }


def ranking(products: list[SandboxProduct], rank_id: str, name: str, language: str) -> Json:
    """Return the data of ``product.topList.query``."""
    rows = [
        {
            "itemId": product.product_id,
            "title": product.name,
            "translateTitle": translate(product.english_name, language),
            "imgUrl": IMAGE_HOST + product.images[0],
            "sort": place,
            "serviceList": ["7天无理由"] if product.number % 2 else [],
            "buyerNum": product.sales.buyers,
            "soldOut": product.sales.total,
            "goodsScore": product.sales.score,
        }
        for place, product in enumerate(products, 1)
    ]
    return envelope({"rankId": rank_id, "rankName": name, "rankProductModels": rows})


def pool_page(products: list[tuple[int, int]], total: int) -> Json:
    """Return the data of ``pool.product.pull`` from ids and their leaf categories."""
    rows: list[Any] = [
        {"offerId": product_id, "bizCategoryId": category_id, "offerPoolTotal": total}
        for product_id, category_id in products
    ]
    return envelope(rows, as_text=True)
