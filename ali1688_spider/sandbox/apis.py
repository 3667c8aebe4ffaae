"""The APIs of the gateway: their names, how they read their parameters, how they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox import queries
from ali1688_spider.sandbox.shapes import offers, product_info, router

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ali1688_spider.sandbox.products import Product
    from ali1688_spider.sandbox.queries import PageQuery, ProductQuery

OFFER_WINDOW = 2000
"""How many rows deep a query of ``product.search.keywordQuery`` reaches."""


@dataclass(frozen=True, slots=True)
class ProductApi:
    """An API that answers one product."""

    name: str
    read: Callable[[Mapping[str, str]], ProductQuery]
    shape: Callable[[Product], Any]


@dataclass(frozen=True, slots=True)
class PageApi:
    """An API that answers one page of products.

    Attributes:
        name: Its name.
        read: Makes the query from the parameters.
        row: Makes a row of a product.
        page: Makes the answer of the rows, their total, the page and its size.
        window: How many rows deep a query reaches; None for all.
    """

    name: str
    read: Callable[[Mapping[str, str]], PageQuery]
    row: Callable[[Product], Any]
    page: Callable[[list[Any], int, int, int], Any]
    window: int | None = None


Api = ProductApi | PageApi


def bare_name(name: str) -> str:
    """Return the name of an API without its namespace and version."""
    return name.rpartition(":")[2].removesuffix("-1")


def _offer_page(rows: list[Any], total: int, page: int, page_size: int) -> Any:
    pages = -(-min(total, OFFER_WINDOW) // page_size)
    return offers.page(rows, total, page, page_size, pages=pages)


def _list_page(rows: list[Any], total: int, _page: int, _page_size: int) -> Any:
    return product_info.list_page(rows, total)


def _by_name(*apis: Api) -> dict[str, Api]:
    return {api.name: api for api in apis}


ROUTER_APIS = _by_name(
    ProductApi("alibaba.product.get", queries.read_router_product, router.product),
    PageApi("alibaba.product.search", queries.read_router_search, router.row, router.page),
)
"""The APIs of ``router`` and ``top`` by their names (the parameter ``method``)."""

_PRODUCT, _CROSS_BORDER = "com.alibaba.product", "com.alibaba.fenxiao.crossborder"

PARAM2_APIS = _by_name(
    ProductApi(f"{_PRODUCT}:alibaba.product.get-1", queries.read_product, product_info.full),
    ProductApi(
        f"{_PRODUCT}:alibaba.product.simple.get-1", queries.read_product, product_info.simple
    ),
    ProductApi(
        f"{_PRODUCT}:alibaba.cross.productInfo-1", queries.read_cross_product, product_info.full
    ),
    ProductApi(
        f"{_CROSS_BORDER}:product.search.queryProductDetail-1",
        queries.read_offer_detail,
        offers.detail,
    ),
    PageApi(
        f"{_CROSS_BORDER}:product.search.keywordQuery-1",
        queries.read_offer_search,
        offers.row,
        _offer_page,
        OFFER_WINDOW,
    ),
    PageApi(
        f"{_PRODUCT}:alibaba.product.list.get-1",
        queries.read_list,
        product_info.list_row,
        _list_page,
    ),
)
"""The APIs of ``param2`` by their names (namespace, API and version)."""

CURRENT_TIME = "system:currentTime-1"
"""Answers the gateway's time; needs a signature, but no permission."""

GET_TOKEN = "system.oauth2:getToken-1"  # noqa: S105  # the name of an API
"""Gives out access tokens; needs the app's secret, but no signature."""

API_NAMES = frozenset(ROUTER_APIS) | frozenset(PARAM2_APIS) | {CURRENT_TIME, GET_TOKEN}
"""The names of all APIs."""
