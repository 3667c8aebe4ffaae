"""What a call asks for, read from its parameters.

Every ``read_`` function raises :class:`.refusals.RefusedError` when a parameter is missing or
wrong.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox.parameters import required
from ali1688_spider.sandbox.refusals import RefusedError
from ali1688_spider.sandbox.search import Criteria

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER = re.compile(r"[0-9]{1,19}")
_PAGE_SIZE = 20
_MAX_ROUTER_PAGE, _MAX_OFFER_PAGE, _MAX_LIST_PAGE = 100, 50, 20


@dataclass(frozen=True, slots=True)
class ProductQuery:
    """A call for one product; ``product_id`` is 0 when the parameter is no number."""

    product_id: int
    text: str


@dataclass(frozen=True, slots=True)
class PageQuery:
    """A call for one page of products; ``sort`` is ``price asc``, ``price desc`` or empty."""

    criteria: Criteria
    page: int
    page_size: int
    sort: str = ""


Query = ProductQuery | PageQuery


def _product_query(text: str) -> ProductQuery:
    return ProductQuery(int(text) if _NUMBER.fullmatch(text) else 0, text)


def read_router_product(params: Mapping[str, str]) -> ProductQuery:
    """Return the query of ``alibaba.product.get`` of the router."""
    return _product_query(required(params, "product_id"))


def read_product(params: Mapping[str, str]) -> ProductQuery:
    """Return the query of ``alibaba.product.get`` and ``alibaba.product.simple.get``."""
    query = _product_query(required(params, "productID"))
    if required(params, "webSite") not in ("1688", "alibaba"):
        raise RefusedError("invalid-parameter", parameter="webSite")
    return query


def read_cross_product(params: Mapping[str, str]) -> ProductQuery:
    """Return the query of ``alibaba.cross.productInfo``."""
    return _product_query(required(params, "productId"))


def read_offer_detail(params: Mapping[str, str]) -> ProductQuery:
    """Return the query of ``product.search.queryProductDetail``."""
    fields = _json_object(params, "offerDetailParam")
    offer_id = fields.get("offerId")
    if not offer_id or not fields.get("country"):
        raise RefusedError("missing-parameter", parameter="offerDetailParam.offerId and country")
    return _product_query(str(offer_id))


def read_router_search(params: Mapping[str, str]) -> PageQuery:
    """Return the query of ``alibaba.product.search``."""
    criteria = Criteria(required(params, "keyword"))
    page = _strict_number(params, "page_no", 1)
    page_size = _strict_number(params, "page_size", _PAGE_SIZE)
    if page_size > _MAX_ROUTER_PAGE:
        raise RefusedError("page-size", parameter="page_size")
    return PageQuery(criteria, page, page_size)


def read_offer_search(params: Mapping[str, str]) -> PageQuery:
    """Return the query of ``product.search.keywordQuery``."""
    fields = _json_object(params, "offerQueryParam")
    keyword, category = str(fields.get("keyword") or ""), str(fields.get("categoryId") or "")
    if not fields.get("country") or not (keyword or category):
        raise RefusedError("missing-parameter", parameter="offerQueryParam.keyword and country")
    page_size = _lenient_number(fields.get("pageSize"), _PAGE_SIZE)
    if page_size > _MAX_OFFER_PAGE:
        raise RefusedError("page-size", parameter="pageSize")
    criteria = Criteria(
        keyword,
        _lenient_number(category, -1) if category else None,
        _amount(fields, "priceStart"),
        _amount(fields, "priceEnd"),
    )
    # A page that is missing, misnamed or no number is the first one, as on the platform.
    page = _lenient_number(fields.get("beginPage"), 1)
    return PageQuery(criteria, page, page_size, _sort(fields.get("sort")))


def read_list(params: Mapping[str, str]) -> PageQuery:
    """Return the query of ``alibaba.product.list.get``."""
    page = _strict_number(params, "pageNo", 1)
    page_size = _strict_number(params, "pageSize", _PAGE_SIZE)
    if page_size > _MAX_LIST_PAGE:
        raise RefusedError("page-size", parameter="pageSize")
    return PageQuery(Criteria(own=True), page, page_size)


def _json_object(params: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        value = json.loads(required(params, name), parse_float=str)
    except (ValueError, RecursionError) as error:
        raise RefusedError("invalid-parameter", parameter=name) from error
    if not isinstance(value, dict):
        raise RefusedError("invalid-parameter", parameter=name)
    return value


def _strict_number(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not int(text):
        raise RefusedError("invalid-parameter", parameter=name)
    return int(text)


def _lenient_number(value: Any, default: int) -> int:
    text = str(value)
    return int(text) if _NUMBER.fullmatch(text) and int(text) else default


def _amount(fields: Mapping[str, Any], name: str) -> Decimal | None:
    value = fields.get(name)
    if value in (None, ""):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation as error:
        raise RefusedError("invalid-parameter", parameter=name) from error
    if not amount.is_finite():
        raise RefusedError("invalid-parameter", parameter=name)
    return amount


def _sort(value: Any) -> str:
    """Return the order by price of ``{"price": "asc"}``, an object or its text; else none."""
    try:
        order = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return ""
    direction = order.get("price") if isinstance(order, dict) else None
    return f"price {direction}" if direction in ("asc", "desc") else ""
