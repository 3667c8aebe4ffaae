"""Which APIs there are, each with its parameters and the shape of its response.

An API is one entry in a table: its name, and the function that reads the parameters of a call and
returns what is asked for, a query. Every such function raises RefusedError when a parameter is
missing or wrong. To add an API, write its function here and its shape in :mod:`.shapes`.

A query is immutable and hashable (responses are cached by it), and has ``product_id`` (None if it
is for no single product) and ``data(inventory, step)``, the data of the response.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar

from ali1688_spider.sandbox import shapes
from ali1688_spider.sandbox.faults import RefusedError, require
from ali1688_spider.sandbox.products import Criteria, Inventory, SandboxProduct, decimal_of
from ali1688_spider.sandbox.shapes import Json

_NUMBER = re.compile(r"[0-9]{1,19}")
_PAGE_SIZE = 20
_MAX_ROUTER_PAGE, _MAX_OFFER_PAGE, _MAX_OWN_PAGE = 100, 50, 20

Parameters = Mapping[str, str]
Shape = Callable[[SandboxProduct], Json]


@dataclass(frozen=True, slots=True)
class ProductQuery:
    """A call for one product; ``product_id`` is 0 when the parameter is not a number."""

    product_id: int
    text: str
    shape: Shape

    def data(self, inventory: Inventory, step: int) -> Json:
        """Return the data of the response at a step of time; RefusedError without the product."""
        require(inventory.exists(self.product_id), "not-found", f"商品[{self.text}]不存在")
        return self.shape(inventory.product(self.product_id, step))


@dataclass(frozen=True, slots=True)
class PageQuery:
    """A call for one page of products, from page 1 on; it concerns no single product."""

    product_id: ClassVar[None] = None
    criteria: Criteria
    page: int
    page_size: int
    shape: Callable[[list[SandboxProduct], int, int, int], Json] = field(repr=False)
    sort: str = ""  # "price asc" or "price desc"; the order holds within the page
    window: int | None = field(default=None, repr=False)  # how many rows can be paged through

    def data(self, inventory: Inventory, step: int) -> Json:
        """Return the data of the response at a step of time."""
        found = inventory.find(self.criteria, step)
        start = (self.page - 1) * self.page_size
        ids = list(found[: self.window][start : start + self.page_size])
        if self.sort:
            prices = {id_: inventory.price(id_, step) for id_ in ids}
            descending = self.sort == "price desc"
            ids.sort(key=lambda id_: (prices[id_] is None, prices[id_] or 0), reverse=descending)
        rows = [inventory.product(id_, step) for id_ in ids]
        return self.shape(rows, len(found), self.page, self.page_size)


Query = ProductQuery | PageQuery
Api = Callable[[Parameters], Query]


def _product(name: str, shape: Shape, params: Parameters) -> Query:
    text = _required(params, name)
    return ProductQuery(_number(text, 0), text, shape)


def _product_of_site(shape: Shape, params: Parameters) -> Query:
    query = _product("productID", shape, params)
    site = _required(params, "webSite")
    require(site in ("1688", "alibaba"), "invalid-parameter", parameter="webSite")
    return query


def _router_search(params: Parameters) -> Query:
    criteria = Criteria(_required(params, "keyword"))
    page, size = _page(params, "page_no", "page_size", _MAX_ROUTER_PAGE)
    return PageQuery(criteria, page, size, shapes.router_page)


def _own_products(params: Parameters) -> Query:
    page, size = _page(params, "pageNo", "pageSize", _MAX_OWN_PAGE)
    return PageQuery(Criteria(own=True), page, size, shapes.own_page)


def _offer(params: Parameters) -> Query:
    fields = _json_object(params, "offerDetailParam")
    text = str(fields.get("offerId") or "")
    complete = text and fields.get("country")
    require(complete, "missing-parameter", parameter="offerDetailParam.offerId and country")
    return ProductQuery(_number(text, 0), text, shapes.offer)


def _offers(params: Parameters) -> Query:
    fields = _json_object(params, "offerQueryParam")
    keyword, category = str(fields.get("keyword") or ""), fields.get("categoryId") or None
    complete = fields.get("country") and (keyword or category)
    require(complete, "missing-parameter", parameter="offerQueryParam.keyword and country")
    page_size = _number(fields.get("pageSize"), _PAGE_SIZE)
    require(page_size <= _MAX_OFFER_PAGE, "page-size", parameter="pageSize")
    prices = _amount(fields, "priceStart"), _amount(fields, "priceEnd")
    criteria = Criteria(keyword, category and _number(category, -1), *prices)
    # A page that is missing, misnamed or no number is the first one, as on the platform.
    page, sort = _number(fields.get("beginPage"), 1), _sort(fields.get("sort"))
    return PageQuery(criteria, page, page_size, shapes.offer_page, sort, shapes.OFFER_WINDOW)


# The APIs of `router` and `top` by their names (the parameter `method`).
ROUTER_APIS: dict[str, Api] = {
    "alibaba.product.get": partial(_product, "product_id", shapes.router_product),
    "alibaba.product.search": _router_search,
}
_PRODUCT, _CROSS_BORDER = "com.alibaba.product", "com.alibaba.fenxiao.crossborder"
# The APIs of `param2` by their names (namespace, API and version).
PARAM2_APIS: dict[str, Api] = {
    f"{_PRODUCT}:alibaba.product.get-1": partial(_product_of_site, shapes.full_product),
    f"{_PRODUCT}:alibaba.product.simple.get-1": partial(_product_of_site, shapes.simple_product),
    f"{_PRODUCT}:alibaba.cross.productInfo-1": partial(_product, "productId", shapes.full_product),
    f"{_PRODUCT}:alibaba.product.list.get-1": _own_products,
    f"{_CROSS_BORDER}:product.search.queryProductDetail-1": _offer,
    f"{_CROSS_BORDER}:product.search.keywordQuery-1": _offers,
}
# The system's, which `wire` answers: the first needs a signature alone, the second none.
CURRENT_TIME, GET_TOKEN = "system:currentTime-1", "system.oauth2:getToken-1"
API_NAMES = {*ROUTER_APIS, *PARAM2_APIS, CURRENT_TIME, GET_TOKEN}


def bare_name(api_name: str) -> str:
    """Return the name of an API without its namespace and version."""
    return api_name.rpartition(":")[2].removesuffix("-1")


def _required(params: Parameters, name: str) -> str:
    require(params.get(name), "missing-parameter", parameter=name)
    return params[name]


def _json_object(params: Parameters, name: str) -> Json:
    value = _parsed(_required(params, name))
    if not isinstance(value, dict):
        raise RefusedError("invalid-parameter", parameter=name)
    return value


def _parsed(text: str) -> Any:
    """Return the value of a JSON text, with the digits of its amounts; None of any other text."""
    try:
        return json.loads(text, parse_float=str)
    except (ValueError, RecursionError):
        return None


def _page(params: Parameters, page: str, page_size: str, most: int) -> tuple[int, int]:
    number, size = _number(params.get(page, 1), 0), _number(params.get(page_size, _PAGE_SIZE), 0)
    require(number, "invalid-parameter", parameter=page)
    require(size, "invalid-parameter", parameter=page_size)
    require(size <= most, "page-size", parameter=page_size)
    return number, size


def _number(value: Any, default: int) -> int:
    """Return a number from 1, or its text; else the *default*."""
    text = str(value)
    return (int(text) if _NUMBER.fullmatch(text) else 0) or default


def _amount(fields: Json, name: str) -> Decimal | None:
    value, amount = fields.get(name), decimal_of(fields.get(name))
    require(amount is not None or value in (None, ""), "invalid-parameter", parameter=name)
    return amount


def _sort(value: Any) -> str:
    """Return the order by price of ``{"price": "asc"}``, an object or its text; else none."""
    order = _parsed(value) if isinstance(value, str) else value
    direction = order.get("price") if isinstance(order, dict) else None
    return f"price {direction}" if direction in ("asc", "desc") else ""
