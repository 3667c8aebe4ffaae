"""The APIs for several products that a call names: lists, curated goods, the listing list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.sandbox.apis import (
    PagePart,
    Parameters,
    Query,
    id_list,
    moment,
    page_of,
    parsed,
)
from ali1688_spider.sandbox.apis.product_apis import require_relation
from ali1688_spider.sandbox.platform_errors import RefusedError, require
from ali1688_spider.sandbox.products import Criteria, Goods
from ali1688_spider.sandbox.shapes.product_info import curated_list, own_page, product_list

if TYPE_CHECKING:
    from ali1688_spider.sandbox.shapes import Json

_MOST_CURATED, _MOST_LISTED, _OWN_PAGE = 50, 20, 20
_UNORDERED = 10  # in other orders than that of ids every so many-th product is never shown


def curated_products(params: Parameters) -> Query:
    """Read a call of ``alibaba.pifatuan.product.detail.list``: all or nothing, of curated goods."""
    ids = id_list(params, "offerIds")
    require(len(ids) <= _MOST_CURATED, "too-many-ids", parameter="offerIds")
    return Query(_tell_curated, ids, batch=ids)


def _tell_curated(goods: Goods, *ids: int) -> Json:
    for id_ in ids:
        curated = goods.exists(id_) and goods.is_curated(id_)
        require(curated, "not-curated", f"offerId:{id_} 不是精选货源商品")
    return curated_list([goods.product(id_) for id_ in ids])


def cross_products(params: Parameters) -> Query:
    """Read a call of ``alibaba.cross.productList``, which tells the products with a relation."""
    ids = id_list(params, "productIdList")
    return Query(_tell_related, ids, batch=ids)


def _tell_related(goods: Goods, *ids: int) -> Json:
    related = [id_ for id_ in ids if goods.exists(id_) and goods.inventory.is_related(id_)]
    if not related:
        require_relation(goods, ids[0])
    products = [goods.product(id_) for id_ in related]
    return product_list(products, details=False)


def own_products_by_id(params: Parameters) -> Query:
    """Read a call of ``alibaba.product.getByIdList``, which tells the seller's own products."""
    ids = id_list(params, "productIdList")
    return Query(_tell_own, ids, batch=ids)


def _tell_own(goods: Goods, *ids: int) -> Json:
    own = [id_ for id_ in ids if goods.inventory.is_own(id_) and goods.exists(id_)]
    return product_list([goods.product(id_) for id_ in own], details=True)


def list_products(params: Parameters) -> Query:
    """Read a call of ``alibaba.cross.syncProductListPushed``, which makes relations."""
    ids = id_list(params, "productIdList")
    require(len(ids) <= _MOST_LISTED, "listing-refused")
    return Query(_list, ids, batch=ids, changes=True)


def _list(goods: Goods, *ids: int) -> Json:
    for id_ in ids:
        require(goods.exists(id_), "listing-refused", f"商品[{id_}]不存在")
    for id_ in ids:
        goods.inventory.relate(id_)
    return {"result": {"success": True, "errorCode": None, "errorMsg": None}}


def own_products(params: Parameters) -> Query:
    """Read a call of ``alibaba.product.list.get``, the seller's own products.

    Only in the order of ids (``orderByCondition=ID``) do its pages show all of them.
    """
    at = page_of(params, "pageNo", "pageSize", _OWN_PAGE)
    order = params.get("orderByCondition", "")
    direction = params.get("orderByType", "ASC")
    require(direction in ("ASC", "DESC"), "invalid-parameter", parameter="orderByType")
    criteria = Criteria(
        own=True,
        product_ids=id_list(params, "productIds") if params.get("productIds") else (),
        statuses=_texts(params, "statusList"),
        modified=(moment(params, "startModifyTime"), moment(params, "endModifyTime")),
    )
    by_id = direction if order == "ID" else ""
    details = params.get("needDetail") == "true"
    return Query(_tell_own_page, (criteria, by_id, at, details))


def _texts(params: Parameters, name: str) -> tuple[str, ...]:
    if not params.get(name):
        return ()
    values = parsed(params[name])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise RefusedError("invalid-parameter", parameter=name)
    return tuple(values)


def _tell_own_page(
    goods: Goods,
    criteria: Criteria,
    by_id: str,
    at: PagePart,
    details: bool,  # noqa: FBT001  # a Query's arguments have no names
) -> Json:
    found = goods.find(criteria)
    ids = sorted(found, reverse=by_id == "DESC")
    if not by_id:
        ids = [
            ids[max(place - 1, 0)] if place % _UNORDERED == 1 else id_
            for place, id_ in enumerate(ids)
        ]
    rows = [goods.product(id_) for id_ in at.of(ids)]
    return own_page(rows, len(found), *at, details=details)
