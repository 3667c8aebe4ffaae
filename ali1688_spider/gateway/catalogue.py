"""The APIs that this project calls: their names, their parameters and how to read their data.

An API is one entry here; the first one of a protocol is its usual one. Names and parameters: the
API pages of the 1688 Open Platform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway import parsing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ali1688_spider.gateway.calls import ApiCall, Value
    from ali1688_spider.gateway.fields import Fields
    from ali1688_spider.gateway.protocols import ProtocolName

Parameters = dict[str, object]


@dataclass(frozen=True, slots=True)
class ProductApi:
    """An API that returns one product; *parameters* makes those on the wire from a call's."""

    name: str
    parameters: Callable[[Mapping[str, Value]], Parameters]
    parse: Callable[[Any], Fields]


@dataclass(frozen=True, slots=True)
class SearchApi:
    """An API that returns a page of products.

    Attributes:
        max_page_size: The most rows that a page may have.
        max_rows: How many rows deep one query reaches; 0 for no limit.
        filters: The parameters of a search that the API knows.
    """

    name: str
    parameters: Callable[[Mapping[str, Value]], Parameters]
    parse: Callable[[Any], parsing.SearchPage]
    max_page_size: int
    max_rows: int = 0
    filters: frozenset[str] = frozenset()


_Api = TypeVar("_Api", ProductApi, SearchApi)


@dataclass(frozen=True, slots=True)
class Apis:
    """The two APIs that a crawl uses."""

    product: ProductApi
    search: SearchApi

    def name(self, call: ApiCall) -> str:
        """Return the name of the API that serves *call*."""
        return self._of(call).name

    def parameters(self, call: ApiCall) -> Parameters:
        """Return the parameters of *call* on the wire."""
        return self._of(call).parameters(call.params)

    def _of(self, call: ApiCall) -> ProductApi | SearchApi:
        return self.product if call.operation == "product" else self.search


def choose_apis(protocol: ProtocolName, product_api: str = "", search_api: str = "") -> Apis:
    """Return the APIs of *protocol*: those named (ConfigurationError if unknown), or the usual."""
    is_param2 = protocol == "param2"
    products = _PARAM2_PRODUCT_APIS if is_param2 else _ROUTER_PRODUCT_APIS
    searches = _PARAM2_SEARCH_APIS if is_param2 else _ROUTER_SEARCH_APIS
    return Apis(
        _choose(products, product_api, "ALI1688_PRODUCT_API"),
        _choose(searches, search_api, "ALI1688_SEARCH_API"),
    )


def _choose(apis: tuple[_Api, ...], name: str, setting: str) -> _Api:
    for api in apis:
        if name in ("", api.name):
            return api
    names = ", ".join(api.name for api in apis)
    raise ConfigurationError(f"{setting} is {name!r}: set it to one of {names}, or leave it empty")


def _renamed(params: Mapping[str, Value], **names: str) -> Parameters:
    """Return those of *params* that have a name on the wire, by that name."""
    return {wire: params[name] for name, wire in names.items() if name in params}


_ENGLISH: Parameters = {"country": "en"}


def _keyword_query(params: Mapping[str, Value]) -> Parameters:
    query = _renamed(
        params,
        keyword="keyword",
        page="beginPage",
        page_size="pageSize",
        price_start="priceStart",
        price_end="priceEnd",
        category_id="categoryId",
        sort="sort",
    )
    return {"offerQueryParam": query | _ENGLISH}


_ROUTER_PRODUCT_APIS = (
    ProductApi("alibaba.product.get", lambda params: {**params}, parsing.parse_router_product),
)
_ROUTER_SEARCH_APIS = (
    SearchApi(
        "alibaba.product.search",
        lambda params: _renamed(params, keyword="keyword", page="page_no", page_size="page_size"),
        parsing.parse_router_search,
        max_page_size=20,
        filters=frozenset({"keyword"}),
    ),
)
_PARAM2_PRODUCT_APIS = (
    ProductApi(
        "com.alibaba.product:alibaba.product.get-1",
        lambda params: _renamed(params, product_id="productID") | {"webSite": "1688"},
        parsing.parse_product_info,
    ),
    ProductApi(
        "com.alibaba.product:alibaba.product.simple.get-1",
        lambda params: _renamed(params, product_id="productID") | {"webSite": "1688"},
        parsing.parse_product_info,
    ),
    ProductApi(
        "com.alibaba.product:alibaba.cross.productInfo-1",
        lambda params: _renamed(params, product_id="productId"),
        parsing.parse_product_info,
    ),
    ProductApi(
        "com.alibaba.fenxiao.crossborder:product.search.queryProductDetail-1",
        lambda params: {"offerDetailParam": _renamed(params, product_id="offerId") | _ENGLISH},
        parsing.parse_product_detail,
    ),
)
_PARAM2_SEARCH_APIS = (
    SearchApi(
        "com.alibaba.fenxiao.crossborder:product.search.keywordQuery-1",
        _keyword_query,
        parsing.parse_keyword_query,
        max_page_size=50,
        max_rows=2000,
        filters=frozenset({"keyword", "category_id", "price_start", "price_end", "sort"}),
    ),
    SearchApi(
        "com.alibaba.product:alibaba.product.list.get-1",
        lambda params: _renamed(params, page="pageNo", page_size="pageSize"),
        parsing.parse_own_products,
        max_page_size=20,
    ),
)
