"""``productInfo``: the data of the ``alibaba.product.get`` family, and the seller's own list."""

from __future__ import annotations

from typing import Any

from ali1688_spider.gateway.parsing import SearchPage, fields


def parse(data: Any) -> fields.Fields:
    """Return the fields of ``{"productInfo": {…}}``, which may stand in a ``result``."""
    product = fields.section(data, "productInfo")
    return read_product(product or fields.section(data, "result", "productInfo"))


def parse_own_products(data: Any) -> SearchPage:
    """Return the page ``result.pageResult{totalRecords, resultList[]}`` of ``productInfo``s."""
    page = fields.section(data, "result", "pageResult")
    return SearchPage.read(page, page.get("resultList"), read_product)


def read_product(product: dict[str, Any]) -> fields.Fields:
    """Return the fields of one ``productInfo`` object."""
    sale = fields.section(product, "saleInfo")
    skus = fields.read_skus(product.get("skuInfos"))
    record = fields.set_fields(
        product_id=fields.count(fields.first(product, "productID", "productId")),
        name=product.get("subject"),
        stock=_stock(product, sale, skus),
        unit=fields.text(sale.get("unit")),
        min_order_quantity=fields.count(sale.get("minOrderQuantity")),
        skus=skus,
        attributes=fields.read_attributes(product.get("attributes")),
        images=fields.image_urls(fields.section(product, "image").get("images")),
        category_id=fields.count(fields.first(product, "categoryID", "categoryId")),
        category_name=fields.text(product.get("categoryName")),
        supplier=fields.text(fields.first(product, "supplierLoginId", "sellerLoginId")),
        status=fields.text(product.get("status")),
    )
    tiers = fields.read_tiers(sale.get("priceRanges"))
    quoted = fields.quoted_prices(sale.get("quoteType"), tiers, skus)
    if not quoted and product.get("referencePrice") is not None:
        low, high = fields.read_range(product["referencePrice"])
        quoted = {"price": low, "price_max": high}
    record |= quoted
    if "priceAuth" in sale:
        record["price_private"] = fields.is_true(sale["priceAuth"])
    return fields.without_prices(record) if record.get("price_private") else record


def _stock(product: dict[str, Any], sale: dict[str, Any], skus: Any) -> Any:
    supply = fields.count(sale.get("supplyAmount", product.get("supplyAmount")))
    stocks = (fields.count(sale.get("amountOnSale")), fields.total_stock(skus), supply)
    return next((stock for stock in stocks if stock is not None), None)
