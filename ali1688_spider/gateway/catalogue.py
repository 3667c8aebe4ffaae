"""The APIs that this project calls: their names, their parameters and how to read their answers.

An :class:`~ali1688_spider.gateway.calls.ApiCall` says what is wanted; an :class:`Api` says which
parameters that is on the wire. Names and parameters: the API pages of the 1688 Open Platform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.parsing import (
    cross_border,
    product_info,
    product_list,
    router,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ali1688_spider.config import ProtocolName
    from ali1688_spider.gateway.calls import ApiCall, Value
    from ali1688_spider.gateway.parsing.search_page import SearchPage

Parameters = dict[str, object]


@dataclass(frozen=True, slots=True)
class ProductApi:
    """An API that answers one product.

    Attributes:
        name: Its name on the gateway.
        parameters: Makes the parameters on the wire from a product id.
        parse: Makes the fields of the product record from an answer.
    """

    name: str
    parameters: Callable[[Value], Parameters]
    parse: Callable[[Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class SearchApi:
    """An API that answers a page of products.

    Attributes:
        name: Its name on the gateway.
        parameters: Makes the parameters on the wire from a search's parameters.
        parse: Makes a page, its rows as fields of the product record, from an answer.
        max_page_size: The most rows that a page may have.
        max_rows: How many rows deep one query reaches; 0 for no limit.
        filters: The parameters of a search that the API knows.
    """

    name: str
    parameters: Callable[[Mapping[str, Value]], Parameters]
    parse: Callable[[Any], SearchPage]
    max_page_size: int
    max_rows: int
    filters: frozenset[str]


_Api = TypeVar("_Api", ProductApi, SearchApi)


@dataclass(frozen=True, slots=True)
class Apis:
    """The two APIs that a crawl uses."""

    product: ProductApi
    search: SearchApi

    def name(self, call: ApiCall) -> str:
        """Return the name of the API that serves *call*."""
        return self.product.name if call.operation == "product" else self.search.name

    def parameters(self, call: ApiCall) -> Parameters:
        """Return the parameters of *call* on the wire."""
        if call.operation == "product":
            return self.product.parameters(call.params["product_id"])
        return self.search.parameters(call.params)


def choose_apis(protocol: ProtocolName, product_api: str = "", search_api: str = "") -> Apis:
    """Return the APIs of *protocol*: those named, else the usual ones.

    Raises:
        ConfigurationError: The protocol has no API of that name.
    """
    products = _PARAM2_PRODUCT_APIS if protocol == "param2" else _ROUTER_PRODUCT_APIS
    searches = _PARAM2_SEARCH_APIS if protocol == "param2" else _ROUTER_SEARCH_APIS
    return Apis(
        _choose(products, product_api, "ALI1688_PRODUCT_API"),
        _choose(searches, search_api, "ALI1688_SEARCH_API"),
    )


def _choose(apis: tuple[_Api, ...], name: str, setting: str) -> _Api:
    if not name:
        return apis[0]
    for api in apis:
        if api.name == name:
            return api
    names = ", ".join(api.name for api in apis)
    raise ConfigurationError(f"{setting} is {name!r}: set it to one of {names}, or leave it empty")


def _router_search(params: Mapping[str, Value]) -> Parameters:
    names = {"keyword": "keyword", "page": "page_no", "page_size": "page_size"}
    return {wire: params[name] for name, wire in names.items() if name in params}


def _keyword_query(params: Mapping[str, Value]) -> Parameters:
    names = {
        "keyword": "keyword",
        "page": "beginPage",
        "page_size": "pageSize",
        "price_start": "priceStart",
        "price_end": "priceEnd",
        "category_id": "categoryId",
        "sort": "sort",
    }
    query = {wire: params[name] for name, wire in names.items() if name in params}
    return {"offerQueryParam": query | {"country": "en"}}


def _own_products(params: Mapping[str, Value]) -> Parameters:
    return {"pageNo": params["page"], "pageSize": params["page_size"]}


_ROUTER_PRODUCT_APIS = (
    ProductApi("alibaba.product.get", lambda id_: {"product_id": id_}, router.parse_product),
)
_ROUTER_SEARCH_APIS = (
    SearchApi(
        "alibaba.product.search",
        _router_search,
        router.parse_search,
        max_page_size=20,
        max_rows=0,
        filters=frozenset({"keyword"}),
    ),
)

_PARAM2_PRODUCT_APIS = (
    ProductApi(
        "com.alibaba.product:alibaba.product.get-1",
        lambda id_: {"productID": id_, "webSite": "1688"},
        product_info.parse,
    ),
    ProductApi(
        "com.alibaba.product:alibaba.product.simple.get-1",
        lambda id_: {"productID": id_, "webSite": "1688"},
        product_info.parse,
    ),
    ProductApi(
        "com.alibaba.product:alibaba.cross.productInfo-1",
        lambda id_: {"productId": id_},
        product_info.parse,
    ),
    ProductApi(
        "com.alibaba.fenxiao.crossborder:product.search.queryProductDetail-1",
        lambda id_: {"offerDetailParam": {"offerId": id_, "country": "en"}},
        cross_border.parse,
    ),
)
_PARAM2_SEARCH_APIS = (
    SearchApi(
        "com.alibaba.fenxiao.crossborder:product.search.keywordQuery-1",
        _keyword_query,
        cross_border.parse_search,
        max_page_size=50,
        max_rows=2000,
        filters=frozenset({"keyword", "category_id", "price_start", "price_end", "sort"}),
    ),
    SearchApi(
        "com.alibaba.product:alibaba.product.list.get-1",
        _own_products,
        product_list.parse_search,
        max_page_size=20,
        max_rows=0,
        filters=frozenset(),
    ),
)
