"""The product as ``product.search.queryProductDetail`` tells it, with all its prices.

In the model of 2026 ``retailPrice`` is what one piece costs, and ``price`` holds from two pieces
on, by quantity and for each SKU; of the old model it tells no ``retailPrice``. The prices of a
campaign stand beside the others, as ``promotionPrice``. ``soldOut`` is how many pieces were sold.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox.category_tree import path_of, translate
from ali1688_spider.sandbox.product_facts import BY_SKU, ships_within
from ali1688_spider.sandbox.shapes import (
    IMAGE_HOST,
    Json,
    date_text,
    envelope,
    money,
    money_text,
    tier_rows,
    wire,
)
from ali1688_spider.sandbox.shapes.product_info import description_of, video_of

if TYPE_CHECKING:
    from ali1688_spider.sandbox.sandbox_product import SandboxProduct, SandboxSku

_SCORES = (
    "compositeServiceScore",
    "logisticsExperienceScore",
    "disputeComplaintScore",
    "offerExperienceScore",
    "afterSalesExperienceScore",
    "consultingExperienceScore",
)
_SPARSE = ("companyName", "sellerDataInfo", "productShippingInfo", "createDate", "tradeScore")
_RATES = {"HKD": Decimal("1.09"), "USD": Decimal("0.14"), "JPY": Decimal("20.5")}  # for 1 CNY


def offer(
    product: SandboxProduct, country: str = "en", currency: str = "", *, curated: bool = False
) -> Json:
    """Return the data of ``queryProductDetail`` in a language and, if any, a currency."""
    fields: Json = {
        "offerId": wire(product, product.product_id),
        "productSkuInfos": [_sku(product, sku, country, currency) for sku in product.skus],
        "productSaleInfo": _sale_info(product, currency),
        "productShippingInfo": _shipping(product),
        "minOrderQuantity": wire(product, product.min_order_quantity),
        "batchNumber": wire(product, 1),
        "sellerMixSetting": {"generalHunpi": True, "mixAmount": 100, "mixNumber": 2},
        "productCargoNumber": f"C{product.number}",
        "status": product.status,
        "soldOut": wire(product, product.sales.total),
        "tradeScore": product.sales.score,
        "isJxhy": wire(product, curated),
        "createDate": date_text(product.listed_at),
    }
    fields |= _presentation(product, country) | _seller(product) | _labels(product)
    fields |= category_fields(product) | promotion_fields(product)
    if product.traits.sparse:
        del fields["productSaleInfo"]["unitInfo"]
        for name in _SPARSE:
            del fields[name]
    if product.traits.extended:
        fields |= {"sellingPoint": None, "traceInfo": f"object_id@{product.product_id}"}
    return envelope(fields, as_text=True)


def category_fields(product: SandboxProduct) -> Json:
    """Return the ids of the product's categories, from the first level down."""
    names = ("topCategoryId", "secondCategoryId", "thirdCategoryId")
    path = path_of(product.category.category_id)
    return {name: wire(product, id_) for name, id_ in zip(names, path, strict=True)}


def promotion_fields(product: SandboxProduct) -> Json:
    """Return whether a campaign runs."""
    runs = product.promotion_price is not None
    kind = {"promotionType": "plus"} if runs else {}
    return {"promotionModel": {"hasPromotion": wire(product, runs)} | kind}


def seller_data(product: SandboxProduct) -> Json:
    """Return the scores of the seller, numbers as texts."""
    seller = product.seller
    return {
        "tradeMedalLevel": str(seller.medal),
        **{name: seller.score(kind) for kind, name in enumerate(_SCORES)},
        "repeatPurchasePercent": f"0.{seller.number % 90:02d}",
        "collect30DayWithin48HPercent": "0.98",
        "qualityRefundWithin30Day": "0.01",
        "tpYear": seller.years,
    }


def shipping_promise(product: SandboxProduct) -> str | None:
    """Return within how many hours the product is promised to be shipped; None without one."""
    hours = ships_within(product.number)
    return f"shipIn{hours}Hours" if hours <= 48 else None


def _presentation(product: SandboxProduct, country: str) -> Json:
    """Return what a buyer sees: texts, pictures, videos, attributes."""
    return {
        "subject": product.name,
        "subjectTrans": translate(product.english_name, country),
        "description": description_of(product),
        "productImage": {"images": [IMAGE_HOST + path for path in product.images]},
        "mainVideo": video_of(product) if product.traits.video else None,
        "detailVideo": video_of(product, "detail") if product.traits.video else None,
        "productAttribute": [
            _attribute(product, id_, name, value, country)
            for id_, name, value in product.attributes
        ],
    }


def _seller(product: SandboxProduct) -> Json:
    return {
        "sellerOpenId": product.seller.open_id,
        "companyName": product.seller.company,
        "sellerDataInfo": seller_data(product),
    }


def _labels(product: SandboxProduct) -> Json:
    return {
        "offerIdentities": ["tp_member"] if product.number % 2 else [],
        "tagInfoList": [{"key": "isOnePsale", "value": product.min_order_quantity == 1}],
        "certificateList": [],
    }


def _sale_info(product: SandboxProduct, currency: str) -> Json:
    rows = tier_rows(product, product.tiers if product.by_quantity else ())
    for row, tier in zip(rows, product.tiers, strict=False):
        row["promotionPrice"] = money(product, product.promotion_of(tier.price))
        row.update(_foreign(product, tier.price, currency))
    info: Json = {
        "amountOnSale": wire(product, product.stock),
        # The API knows no price by SKU and quantity: such a SKU has its lowest price.
        "quoteType": product.traits.quote_type if product.by_quantity else BY_SKU,
        "priceRangeList": rows,
        "unitInfo": {"unit": product.category.unit},
    }
    if product.retail_price is not None:
        info["retailPrice"] = money_text(product, product.retail_price)
    if product.traits.dropship:
        info["fenxiaoSaleInfo"] = _dropship(product, product.dropship_price) | {
            "startQuantity": 1,
            "onePieceFreePostage": wire(product, True),
        }
    return info


def _dropship(product: SandboxProduct, price: Any) -> Json:
    one_piece = money_text(product, price)
    return {
        "onePiecePrice": one_piece,
        "offerPrice": money_text(product, product.share_of_price(price, 95)),
    }


def _foreign(product: SandboxProduct, price: Any, currency: str) -> Json:
    """Return the price in another currency, when one is asked for."""
    if currency not in _RATES or not isinstance(price, Decimal):
        return {}
    return {"foreignCurrencyPrice": money_text(product, round(price * _RATES[currency], 2))}


def _sku(product: SandboxProduct, sku: SandboxSku, country: str, currency: str) -> Json:
    is_told = not product.by_quantity or product.retail_price is not None
    colour = _attribute(product, 3216, ("颜色", "Colour"), sku.colour, country)
    size = _attribute(product, 450, ("尺码", "Size"), sku.size, country)
    fields: Json = {
        "skuId": wire(product, sku.sku_id),
        "specId": sku.spec_id,
        "price": money(product, sku.price) if is_told else None,
        "promotionPrice": money(product, sku.promotion_price),
        "amountOnSale": wire(product, sku.stock),
        "consignPrice": None,
        "cargoNumber": sku.cargo_number,
        "skuAttributes": [colour | {"skuImageUrl": IMAGE_HOST + sku.image}, size],
    }
    if product.retail_price is not None:
        fields["retailPrice"] = money_text(product, sku.retail_price)
    if product.traits.dropship:
        fields["fenxiaoPriceInfo"] = _dropship(product, sku.dropship_price)
    return fields | _foreign(product, sku.price, currency)


def _attribute(
    product: SandboxProduct, id_: int, name: tuple[str, str], value: tuple[str, str], country: str
) -> Json:
    return {
        "attributeId": wire(product, id_),
        "attributeName": name[0],
        "attributeNameTrans": translate(name[1], country),
        "value": value[0],
        "valueTrans": translate(value[1], country),
    }


def _shipping(product: SandboxProduct) -> Json:
    """Return the parcel: kg and cm, but grams in ``skuShippingInfoList``."""
    parcel = product.parcel
    told: Json = {
        "sendGoodsAddressText": product.region,
        "shippingTimeGuarantee": shipping_promise(product),
    }
    if parcel.weight is None:
        return told | {"weight": None, "skuShippingInfoList": [], "skuShippingDetails": []}
    sizes: Json = {"length": parcel.length, "width": parcel.width, "height": parcel.height}
    told |= sizes | {"weight": parcel.weight, "pkgSizeSource": parcel.source}
    if parcel.is_measured:
        # What was measured; the seller's own numbers beside it are rounded up.
        told |= {f"official{name.title()}": value for name, value in sizes.items()}
        told |= {"officialWeight": parcel.weight, "weight": round(parcel.weight + 0.05, 1)}
    grams, kilograms = round(parcel.weight * 1000), parcel.weight
    told["skuShippingInfoList"] = [
        {"skuId": sku.sku_id, "specId": sku.spec_id, "weight": grams} | sizes
        for sku in product.skus
    ]
    told["skuShippingDetails"] = [
        {"skuId": str(sku.sku_id), "weight": kilograms} | sizes for sku in product.skus
    ]
    return told
