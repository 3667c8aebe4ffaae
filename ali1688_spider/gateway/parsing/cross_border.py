"""The cross-border APIs: ``queryProductDetail`` and ``keywordQuery``."""

from __future__ import annotations

from typing import Any

from ali1688_spider.gateway.parsing import SearchPage, fields


def parse(data: Any) -> fields.Fields:
    """Return the fields of ``queryProductDetail``'s ``{"result": {"result": {…}}}``."""
    product = fields.section(data, "result", "result")
    sale = fields.section(product, "productSaleInfo")
    skus = fields.read_skus(product.get("productSkuInfos"))
    record = fields.set_fields(
        product_id=fields.count(product.get("offerId")),
        name=fields.first(product, "subject", "subjectTrans"),
        stock=_stock(product, sale, skus),
        unit=fields.text(fields.section(sale, "unitInfo").get("unit")),
        min_order_quantity=fields.count(product.get("minOrderQuantity")),
        skus=skus,
        attributes=fields.read_attributes(product.get("productAttribute")),
        images=fields.image_urls(fields.section(product, "productImage").get("images")),
        category_id=fields.count(product.get("categoryId")),
        category_name=fields.text(product.get("categoryName")),
        supplier=fields.text(fields.first(product, "companyName", "sellerOpenId")),
        status=fields.text(product.get("status")),
    )
    tiers = fields.read_tiers(sale.get("priceRangeList"))
    return record | fields.quoted_prices(sale.get("quoteType"), tiers, skus)


def parse_search(data: Any) -> SearchPage:
    """Return ``keywordQuery``'s ``result.result{totalRecords, currentPage, pageSize, data[]}``."""
    page = fields.section(data, "result", "result")
    return SearchPage.read(page, page.get("data"), _read_row)


def _read_row(row: dict[str, Any]) -> fields.Fields:
    # The one image of a row is left out: as ``images`` it would replace all of the product's.
    price, _ = fields.read_range(fields.unit_price(fields.section(row, "priceInfo") or row))
    return fields.set_fields(
        product_id=fields.count(row.get("offerId")),
        name=fields.first(row, "subject", "subjectTrans"),
        price=price,
    )


def _stock(product: dict[str, Any], sale: dict[str, Any], skus: Any) -> Any:
    # As a number, soldOut counts the pieces sold so far.
    if fields.is_true(product.get("soldOut")):
        return 0
    stock = fields.count(sale.get("amountOnSale"))
    return fields.total_stock(skus) if stock is None else stock
