"""What the platform proposes: recommendations, rankings, hot words, pools; and its categories."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from decimal import Decimal

from ali1688_spider.sandbox import category_tree
from ali1688_spider.sandbox.apis import (
    PagePart,
    Parameters,
    Query,
    json_object,
    number,
    page_of,
    required,
)
from ali1688_spider.sandbox.category_tree import CATEGORIES, leaves_of, path_of, translate
from ali1688_spider.sandbox.platform_errors import require
from ali1688_spider.sandbox.product_facts import FIRST_ID, SandboxSales, category_of
from ali1688_spider.sandbox.products import Criteria, Goods
from ali1688_spider.sandbox.shapes import Json, envelope
from ali1688_spider.sandbox.shapes.offer_rows import offer_row, pool_page, ranking

POOL_ID = 174_316_138  # the only pool: all curated goods

_MAX_PAGE, _MAX_RELATED_PAGE, _MAX_RANKING, _MAX_POOL_PAGE = 50, 10, 20, 1000
_RECOMMENDED, _RELATED = 200, 50  # so many there are in all
_RANKINGS = {"complex": "综合榜", "hot": "热销榜", "goodPrice": "好价榜"}


def recommended(params: Parameters) -> Query:
    """Read a call of ``product.search.offerRecommend``: 200 products for each user."""
    name = "recommendOfferParam"
    fields = json_object(params, name, "beginPage", "pageSize", "country", "outMemberId")
    criteria = Criteria(f"{fields['outMemberId']}/{_RECOMMENDED}")
    at = page_of(fields, "beginPage", "pageSize", _MAX_PAGE)
    return Query(_tell_recommended, (criteria, at, str(fields["country"])))


def _tell_recommended(goods: Goods, criteria: Criteria, at: PagePart, country: str) -> Json:
    found = goods.find(criteria)
    return _rows(goods, at.of(found), country)


def related(params: Parameters) -> Query:
    """Read a call of ``product.related.recommend``: 50 products of the same category."""
    name = "relatedQueryParams"
    fields = json_object(params, name, "offerId", "pageNo", "pageSize", "language")
    at = page_of(fields, "pageNo", "pageSize", _MAX_RELATED_PAGE)
    return Query(_tell_related, (str(fields["offerId"]), at, str(fields["language"])))


def _tell_related(goods: Goods, text: str, at: PagePart, language: str) -> Json:
    product_id = number(text, 0)
    require(goods.exists(product_id), "not-found", f"商品[{text}]不存在")
    leaf = goods.product(product_id).category.category_id
    others = [id_ for id_ in goods.find(Criteria(category_id=leaf)) if id_ != product_id]
    start = product_id % max(len(others) - _RELATED, 1)
    return _rows(goods, at.of(others[start : start + _RELATED]), language)


def _rows(goods: Goods, ids: Sequence[int], language: str) -> Json:
    rows = [offer_row(goods.product(id_), language, curated=goods.is_curated(id_)) for id_ in ids]
    return envelope(rows)


def top_list(params: Parameters) -> Query:
    """Read a call of ``product.topList.query``, a ranking of a category."""
    name = "rankQueryParams"
    fields = json_object(params, name, "rankId", "rankType", "limit", "language")
    kind, limit = str(fields["rankType"]), number(fields["limit"], 0)
    require(kind in _RANKINGS, "invalid-parameter", parameter=f"{name}.rankType")
    require(0 < limit <= _MAX_RANKING, "page-size", parameter="limit")
    return Query(_tell_ranking, (str(fields["rankId"]), kind, limit, str(fields["language"])))


def _tell_ranking(goods: Goods, rank_id: str, kind: str, limit: int, language: str) -> Json:
    category_id = number(rank_id, -1)
    require(path_of(category_id), "no-category")
    found = goods.find(Criteria(category_id=category_id))

    def rank(product_id: int) -> tuple[Decimal | int, int]:
        sales = SandboxSales(product_id - FIRST_ID + 1)
        if kind == "goodPrice":
            return goods.price(product_id) or Decimal("Infinity"), product_id
        return -(sales.total if kind == "hot" else sales.repurchase), product_id

    products = [goods.product(id_) for id_ in sorted(found, key=rank)[:limit]]
    return ranking(products, rank_id, _RANKINGS[kind], language)


def top_keywords(params: Parameters) -> Query:
    """Read a call of ``product.search.topKeyword``: the nouns of a category."""
    name = "topSeKeywordParam"
    fields = json_object(params, name, "country", "sourceId", "hotKeywordType")
    require(fields["hotKeywordType"] == "cate", "invalid-parameter", parameter=name)
    return Query(_tell_keywords, (number(fields["sourceId"], -1), str(fields["country"])))


def _tell_keywords(_: Goods, category_id: int, country: str) -> Json:
    leaves = leaves_of(category_id)
    require(leaves, "no-category")
    nouns = (noun for leaf in CATEGORIES if leaf.category_id in leaves for noun in leaf.nouns)
    rows = [
        {"seKeyword": chinese, "seKeywordTranslation": translate(english, country)}
        for chinese, english in nouns
    ]
    return envelope(rows)


def pool_products(params: Parameters) -> Query:
    """Read a call of ``pool.product.pull``; another ``taskId`` is another order of the products."""
    name = "offerPoolQueryParam"
    fields = json_object(params, name, "offerPoolId", "taskId", "pageNo", "pageSize")
    at = page_of(fields, "pageNo", "pageSize", _MAX_POOL_PAGE)
    category = fields.get("cateId") or None
    criteria = Criteria(category_id=category and number(category, -1), curated=True)
    sort, order = str(fields.get("sortField") or ""), str(fields.get("sortType") or "DESC")
    require(sort in ("", "order1m", "buyer1m"), "invalid-parameter", parameter=f"{name}.sortField")
    require(order in ("ASC", "DESC"), "invalid-parameter", parameter=f"{name}.sortType")
    require(number(fields["offerPoolId"], 0) == POOL_ID, "no-pool")
    return Query(_tell_pool, (criteria, str(fields["taskId"]), at, (sort, order == "DESC")))


def _tell_pool(
    goods: Goods, criteria: Criteria, task_id: str, at: PagePart, sort: tuple[str, bool]
) -> Json:
    found = goods.find(criteria)
    start = zlib.crc32(task_id.encode()) % max(len(found), 1)
    ids = [*found[start:], *found[:start]]
    field, descending = sort
    if field:
        ids.sort(key=lambda id_: _sold(id_, field), reverse=descending)
    rows = [(id_, category_of(id_ - FIRST_ID + 1).category_id) for id_ in at.of(ids)]
    return pool_page(rows, len(found))


def _sold(product_id: int, sort: str) -> int:
    sales = SandboxSales(product_id - FIRST_ID + 1)
    return sales.days30 if sort == "order1m" else sales.buyers


def category_translation(params: Parameters) -> Query:
    """Read a call of ``category.translation.getById``; 0 is the root of the tree."""
    language, text = required(params, "language"), required(params, "categoryId")
    return Query(_tell_category, (_category_id(text), language))


def _category_id(text: str) -> int:
    return category_tree.ROOT_ID if text == str(category_tree.ROOT_ID) else number(text, -1)


def _tell_category(_: Goods, category_id: int, language: str) -> Json:
    category = category_tree.translated_category(category_id, language)
    require(category, "no-category")
    return envelope(category)


def category_info(params: Parameters) -> Query:
    """Read a call of ``alibaba.category.get``; 0 is the root of the tree."""
    return Query(_tell_category_info, (_category_id(required(params, "categoryID")),))


def _tell_category_info(_: Goods, category_id: int) -> Json:
    row = category_tree.category_info(category_id)
    require(row, "no-category-info")
    return {"succes": "true", "categoryInfo": [row], "errorCode": None, "errorMsg": None}
