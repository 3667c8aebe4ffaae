"""The answers of the cross-border APIs: ``queryProductDetail`` and ``keywordQuery``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway.parsing.attributes import read_attributes
from ali1688_spider.gateway.parsing.prices import quoted_prices, read_range, read_tiers, unit_price
from ali1688_spider.gateway.parsing.search_page import search_page
from ali1688_spider.gateway.parsing.skus import read_skus, total_stock
from ali1688_spider.gateway.parsing.values import (
    count,
    first,
    image_urls,
    is_true,
    section,
    text,
    told,
)

if TYPE_CHECKING:
    from ali1688_spider.gateway.parsing.search_page import SearchPage
    from ali1688_spider.gateway.parsing.values import Fields


def parse(payload: Any) -> Fields:
    """Return the fields of ``queryProductDetail``'s ``{"result": {"result": {…}}}``."""
    product = section(payload, "result", "result")
    sale = section(product, "productSaleInfo")
    skus = read_skus(product.get("productSkuInfos"))
    fields = told(
        product_id=count(product.get("offerId")),
        name=first(product, "subject", "subjectTrans"),
        stock=_stock(product, sale, skus),
        unit=text(section(sale, "unitInfo").get("unit")),
        min_order_quantity=count(product.get("minOrderQuantity")),
        skus=skus,
        attributes=read_attributes(product.get("productAttribute")),
        images=image_urls(section(product, "productImage").get("images")),
        category_id=count(product.get("categoryId")),
        category_name=text(product.get("categoryName")),
        supplier=text(first(product, "companyName", "sellerOpenId")),
        status=text(product.get("status")),
    )
    tiers = read_tiers(sale.get("priceRangeList"))
    return fields | quoted_prices(sale.get("quoteType"), tiers, skus)


def parse_search(payload: Any) -> SearchPage:
    """Return ``keywordQuery``'s ``result.result{totalRecords, currentPage, pageSize, data[]}``.

    Raises:
        UnexpectedAnswerError: There is no such page in the answer.
    """
    page = section(payload, "result", "result")
    return search_page(page, page.get("data"), _read_row)


def _read_row(row: dict[str, Any]) -> Fields:
    # The one image of a row is left out: as ``images`` it would replace all of the product's.
    price, _ = read_range(unit_price(section(row, "priceInfo") or row))
    return told(
        product_id=count(row.get("offerId")),
        name=first(row, "subject", "subjectTrans"),
        price=price,
    )


def _stock(product: dict[str, Any], sale: dict[str, Any], skus: Any) -> Any:
    # As a number, soldOut counts the pieces sold so far.
    if is_true(product.get("soldOut")):
        return 0
    stock = count(sale.get("amountOnSale"))
    return total_stock(skus) if stock is None else stock
