"""``productInfo``: the answer of the ``alibaba.product.get`` family."""

from __future__ import annotations

from typing import Any

from ali1688_spider.gateway.parsing.attributes import read_attributes
from ali1688_spider.gateway.parsing.prices import (
    quoted_prices,
    read_range,
    read_tiers,
    without_prices,
)
from ali1688_spider.gateway.parsing.skus import read_skus, total_stock
from ali1688_spider.gateway.parsing.values import (
    Fields,
    count,
    first,
    image_urls,
    is_true,
    section,
    text,
    told,
)


def parse(payload: Any) -> Fields:
    """Return the fields of ``{"productInfo": {…}}``, which may stand in a ``result``."""
    return read_product(
        section(payload, "productInfo") or section(payload, "result", "productInfo")
    )


def read_product(product: dict[str, Any]) -> Fields:
    """Return the fields of one ``productInfo`` object."""
    sale = section(product, "saleInfo")
    skus = read_skus(product.get("skuInfos"))
    fields = told(
        product_id=count(first(product, "productID", "productId")),
        name=product.get("subject"),
        stock=_stock(product, sale, skus),
        unit=text(sale.get("unit")),
        min_order_quantity=count(sale.get("minOrderQuantity")),
        skus=skus,
        attributes=read_attributes(product.get("attributes")),
        images=image_urls(section(product, "image").get("images")),
        category_id=count(first(product, "categoryID", "categoryId")),
        category_name=text(product.get("categoryName")),
        supplier=text(first(product, "supplierLoginId", "sellerLoginId")),
        status=text(product.get("status")),
    )
    fields |= _prices(product, sale, skus)
    if "priceAuth" in sale:
        fields["price_private"] = is_true(sale["priceAuth"])
    return without_prices(fields) if fields.get("price_private") else fields


def _prices(product: dict[str, Any], sale: dict[str, Any], skus: Any) -> Fields:
    quoted = quoted_prices(sale.get("quoteType"), read_tiers(sale.get("priceRanges")), skus)
    if quoted or product.get("referencePrice") is None:
        return quoted
    low, high = read_range(product["referencePrice"])
    return {"price": low, "price_max": high}


def _stock(product: dict[str, Any], sale: dict[str, Any], skus: Any) -> Any:
    stock = count(sale.get("amountOnSale"))
    if stock is None:
        stock = total_stock(skus)
    if stock is None:
        stock = count(sale.get("supplyAmount", product.get("supplyAmount")))
    return stock
