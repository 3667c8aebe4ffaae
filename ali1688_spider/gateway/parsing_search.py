"""Reads the pages of searches, and what each kind of row tells of a product.

A row sets the fields that it tells and no others: of a campaign that it does not mention it says
nothing, neither that there is none.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway import fields, prices
from ali1688_spider.gateway.parsing import SearchPage, router_result
from ali1688_spider.gateway.parsing_product import (
    read_categories,
    read_product_info,
    read_router_product,
    read_seller,
)

if TYPE_CHECKING:
    from ali1688_spider.gateway.fields import Fields

_FEN = 100  # of a yuan


def parse_router_search(data: Any) -> SearchPage:
    """Return the page ``result{totalCount, pageNo, pageSize, products[]}`` (router and top)."""
    page = router_result(data)
    return SearchPage.read(page, page.get("products"), partial(read_router_product, is_row=True))


def parse_own_products(data: Any) -> SearchPage:
    """Return the page ``result.pageResult{totalRecords, resultList[]}`` of ``productInfo``s."""
    page = fields.section(data, "result", "pageResult")
    return SearchPage.read(page, page.get("resultList"), read_product_info)


def parse_found_products(data: Any) -> SearchPage:
    """Return the page ``result.result{totalRecords, currentPage, pageSize, data[]}``.

    So answer ``keywordQuery``, ``imageQuery`` and ``querySellerOfferList``.
    """
    page = fields.section(data, "result", "result")
    return SearchPage.read(page, page.get("data"), _read_row)


def parse_recommended_products(data: Any) -> SearchPage:
    """Return the rows of ``result.result[]``, which has no totals."""
    return SearchPage.read({}, _result(data), _read_row)


def parse_ranking(data: Any) -> SearchPage:
    """Return the rows of ``result.result.rankProductModels[]``."""
    ranking = fields.section(data, "result", "result")
    return SearchPage.read({}, ranking.get("rankProductModels"), _read_ranked_product)


def parse_pool(data: Any) -> SearchPage:
    """Return the rows of ``result.result[]``, of which each has the pool's total."""
    rows = _result(data)
    first = rows[0] if isinstance(rows, list) and rows else None
    return SearchPage.read(fields.section(first), rows, _read_pool_product)


def parse_similar_products(data: Any) -> SearchPage:
    """Return the page ``result{total, page, pageSize, result[]}``."""
    page = fields.section(data, "result")
    return SearchPage.read(page, page.get("result"), _read_similar_product)


def _result(data: Any) -> Any:
    """Return the list in ``{"result": {"result": […]}}``; where it is null, none was found."""
    envelope = fields.section(data, "result")
    rows = envelope.get("result")
    return [] if rows is None and "result" in envelope else rows


def _read_row(row: dict[str, Any]) -> Fields:
    info = fields.section(row, "priceInfo") or row
    price, _ = prices.read_range(info.get("price"))
    record = fields.set_fields(
        product_id=fields.count(row.get("offerId")),
        name=fields.first(row, "subject", "subjectTrans"),
        price=price,
        promotion_price=fields.told_amount(info.get("promotionPrice")),
        dropship_price=fields.told_amount(info.get("consignPrice")),
        min_order_quantity=fields.told_count(row.get("minOrderQuantity")),
        images=fields.image_urls(row.get("imageUrl")) or None,
        name_translated=fields.told_text(row.get("subjectTrans")),
        sales_30d=fields.told_count(row.get("monthSold")),
        repurchase_rate=fields.told_share(row.get("repurchaseRate")),
        trade_score=fields.told_number(row.get("tradeScore")),
        listed_at=fields.told_moment(row.get("createDate")),
        modified_at=fields.told_moment(row.get("modifyDate")),
    )
    return record | read_seller(row) | read_categories(row)


def _read_ranked_product(row: dict[str, Any]) -> Fields:
    return fields.set_fields(
        product_id=fields.count(row.get("itemId")),
        name=fields.first(row, "title", "translateTitle"),
        images=fields.image_urls(row.get("imgUrl")) or None,
        name_translated=fields.told_text(row.get("translateTitle")),
        sales_total=fields.told_count(row.get("soldOut")),
    )


def _read_pool_product(row: dict[str, Any]) -> Fields:
    category = fields.told_ids(row.get("bizCategoryId"))
    return fields.set_fields(
        product_id=fields.count(row.get("offerId")),
        category_id=category[0] if category else None,
    )


def _read_similar_product(row: dict[str, Any]) -> Fields:
    price = fields.told_amount(row.get("oldPrice"))
    place = [fields.told_text(row.get(name)) for name in ("province", "city")]
    return fields.set_fields(
        product_id=fields.count(row.get("offerId")),
        name=fields.text(row.get("subject")),
        price=None if price is None else price / _FEN,
        stock=fields.told_count(row.get("supplyAmount")),
        unit=fields.told_text(row.get("unit")),
        min_order_quantity=fields.told_count(row.get("quantityBegin")),
        images=fields.image_urls(row.get("imageUrl")) or None,
        category_id=fields.told_count(row.get("categoryId")) or None,
        ship_from=" ".join(filter(None, place)) or None,
    )
