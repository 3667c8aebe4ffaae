"""The APIs that bring products, one entry each, and which of them a crawl uses.

The first one of a protocol is its usual one: for ``param2`` those that a buyer's app has. Names and
parameters: the API pages of the 1688 Open Platform.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway import parsing, parsing_search
from ali1688_spider.gateway.api import SUBJECTS, Api, Country, ProductApi, SearchApi, SearchKind
from ali1688_spider.gateway.calls import ServiceCall
from ali1688_spider.gateway.errors import OPEN_PRODUCT_API
from ali1688_spider.gateway.parsing_product import (
    read_product_detail,
    read_product_info,
    read_router_product,
)

if TYPE_CHECKING:
    from ali1688_spider.gateway.calls import ApiCall, Value
    from ali1688_spider.gateway.protocols import ProtocolName

_AnyApi = TypeVar("_AnyApi", bound=Api)


@dataclass(frozen=True, slots=True)
class Apis:
    """The APIs that a crawl uses.

    Attributes:
        product: Brings given products.
        search: Serves a search that says nothing else.
        searches: All that the protocol has.
        country: Language of the translations.
    """

    product: ProductApi
    search: SearchApi
    searches: tuple[SearchApi, ...]
    country: Country = "en"

    def name(self, call: ApiCall) -> str:
        """Return the name of the API that serves *call*."""
        return call.api if isinstance(call, ServiceCall) else self._of(call).name

    def parameters(self, call: ApiCall) -> dict[str, object]:
        """Return the parameters of *call* on the wire."""
        if isinstance(call, ServiceCall):
            return dict(call.params)
        if call.operation == "product":
            ids = list(call.product_ids)
            return self.product.parameters({"product_id": ids}, self.country)
        return self.serving(call.params).parameters(call.params, self.country)

    def search_by(self, kind: SearchKind) -> SearchApi:
        """Return the API of a kind of search: the chosen one if it is of that kind.

        Raises:
            ConfigurationError: The protocol has none.
        """
        for api in (self.search, *self.searches):
            if api.kind == kind:
                return api
        raise ConfigurationError(
            f"the protocol has no API for a search by {kind}: set ALI1688_PROTOCOL=param2"
        )

    def serving(self, params: Mapping[str, Value]) -> SearchApi:
        """Return the API for a search with these parameters; raises as :meth:`search_by`."""
        for kind, subject in SUBJECTS.items():
            if kind != "keyword" and subject in params:
                return self.search_by(kind)
        return self.search

    def _of(self, call: ApiCall) -> Api:
        return self.product if call.operation == "product" else self.serving(call.params)


def choose_apis(
    protocol: ProtocolName, product_api: str = "", search_api: str = "", country: Country = "en"
) -> Apis:
    """Return the APIs of *protocol*: those named (ConfigurationError if unknown), or the usual."""
    products, searches = product_apis(protocol), search_apis(protocol)
    return Apis(
        _choose(products, product_api, "ALI1688_PRODUCT_API"),
        _choose(searches, search_api, "ALI1688_SEARCH_API"),
        searches,
        country,
    )


def product_apis(protocol: ProtocolName) -> tuple[ProductApi, ...]:
    """Return the protocol's APIs for products, the usual one first."""
    return _PARAM2_PRODUCT_APIS if protocol == "param2" else _ROUTER_PRODUCT_APIS


def search_apis(protocol: ProtocolName) -> tuple[SearchApi, ...]:
    """Return the protocol's APIs for searches, the usual one first."""
    return _PARAM2_SEARCH_APIS if protocol == "param2" else _ROUTER_SEARCH_APIS


def find_api(name: str) -> Api | None:
    """Return the entry of an API; None if it is not in the catalogue."""
    return _BY_NAME.get(name)


def _choose(apis: tuple[_AnyApi, ...], name: str, setting: str) -> _AnyApi:
    for api in apis:
        if name in ("", api.name):
            return api
    names = ", ".join(api.name for api in apis)
    raise ConfigurationError(f"{setting} is {name!r}: set it to one of {names}, or leave it empty")


_ROUTER_PRODUCT_APIS = (
    ProductApi(
        name="alibaba.product.get",
        shows="the products that the gateway has",
        names={"product_id": "product_id"},
        find=parsing.router_products,
        read=read_router_product,
    ),
)
_ROUTER_SEARCH_APIS = (
    SearchApi(
        name="alibaba.product.search",
        shows="products by keyword",
        kind="keyword",
        names={"keyword": "keyword", "page": "page_no", "page_size": "page_size"},
        parse=parsing_search.parse_router_search,
    ),
)

_CROSS_BORDER = "com.alibaba.fenxiao.crossborder"
_PRODUCT = "com.alibaba.product"
_product_info = partial(ProductApi, find=parsing.product_infos, read=read_product_info)
_product_list = partial(
    ProductApi,
    names={"product_id": "productIdList"},
    find=parsing.product_lists,
    read=read_product_info,
    max_ids=20,
)
_PARAM2_PRODUCT_APIS = (
    ProductApi(
        name=OPEN_PRODUCT_API,
        shows="every product, to apps of the cross-border solution",
        names={"product_id": "offerId"},
        within="offerDetailParam",
        language="country",
        find=parsing.product_details,
        read=read_product_detail,
    ),
    _product_info(
        name=f"{_PRODUCT}:alibaba.product.get-1",
        shows="a seller's own products",
        names={"product_id": "productID"},
        fixed={"webSite": "1688"},
    ),
    _product_info(
        name=f"{_PRODUCT}:alibaba.product.simple.get-1",
        shows="products of suppliers that you have bought from",
        names={"product_id": "productID"},
        fixed={"webSite": "1688"},
    ),
    _product_info(
        name=f"{_PRODUCT}:alibaba.cross.productInfo-1",
        shows="products that the app has a relation to",
        names={"product_id": "productId"},
        needs_relation=True,
    ),
    _product_info(
        name="com.alibaba.fenxiao:alibaba.fenxiao.productInfo.get-1",
        shows="products for drop-shipping",
        names={"product_id": "offerId"},
    ),
    ProductApi(
        name="com.alibaba.fenxiao:alibaba.pifatuan.product.detail.list-1",
        shows="products of the curated pool (精选货源)",
        names={"product_id": "offerIds"},
        find=parsing.curated_products,
        read=read_product_info,
        max_ids=50,
        curated_only=True,
    ),
    _product_list(
        name=f"{_PRODUCT}:alibaba.product.getByIdList-1",
        shows="a seller's own products",
    ),
    _product_list(
        name=f"{_PRODUCT}:alibaba.cross.productList-1",
        shows="products that the app has a relation to, without prices and SKUs",
        needs_relation=True,
        is_complete=False,
    ),
)

_NARROWED = {
    "price_start": "priceStart",
    "price_end": "priceEnd",
    "sales_start": "saleStart",
    "sales_end": "saleEnd",
    "category_id": "categoryId",
    "sort": "sort",
    "filter": "filter",
}
_SORTS = {
    "price": '{"price":"asc"}',
    "-price": '{"price":"desc"}',
    "-sales": '{"monthSold":"desc"}',
    "-repurchase": '{"rePurchaseRate":"desc"}',
}
_FILTER_WORDS = frozenset(
    {
        *("shipInToday", "shipIn24Hours", "shipIn48Hours", "certifiedFactory", "isOnePsale"),
        *("new7", "new30", "jxhy", "1688Selection", "noReason7DReturn", "ksCiphertext"),
    }
)
_found_products = partial(
    SearchApi,
    within="offerQueryParam",
    language="country",
    parse=parsing_search.parse_found_products,
    max_page_size=50,
    sorts=_SORTS,
    filter_words=_FILTER_WORDS,
)
_QUERY = {"keyword": "keyword", "page": "beginPage", "page_size": "pageSize", **_NARROWED}
_PARAM2_SEARCH_APIS = (
    _found_products(
        name=f"{_CROSS_BORDER}:product.search.keywordQuery-1",
        shows="products by keyword, category or both",
        kind="keyword",
        names=_QUERY,
        max_rows=2000,
    ),
    _found_products(
        name=f"{_CROSS_BORDER}:product.search.imageQuery-1",
        shows="products that look like a picture",
        kind="image",
        names={"image_id": "imageId", **_QUERY},
    ),
    SearchApi(
        name="com.alibaba.linkplus:alibaba.cross.similar.offer.search-1",
        shows="products that look like the picture at an address",
        kind="picture",
        names={"image_url": "picUrl", "page": "page", "page_size": "pageSize"},
        parse=parsing_search.parse_similar_products,
    ),
    _found_products(
        name=f"{_CROSS_BORDER}:product.search.querySellerOfferList-1",
        shows="the products of a seller",
        kind="shop",
        names={"shop": "sellerOpenId", **_QUERY},
    ),
    SearchApi(
        name=f"{_CROSS_BORDER}:product.search.offerRecommend-1",
        shows="products that the platform recommends",
        kind="recommended",
        names={"page": "beginPage", "page_size": "pageSize"},
        fixed={"outMemberId": "ali1688spider"},  # required: any name for who asks
        within="recommendOfferParam",
        language="country",
        parse=parsing_search.parse_recommended_products,
    ),
    SearchApi(
        name=f"{_CROSS_BORDER}:product.related.recommend-1",
        shows="products that the platform shows beside a product",
        kind="related",
        names={"related_to": "offerId", "page": "pageNo", "page_size": "pageSize"},
        within="relatedQueryParams",
        language="language",
        parse=parsing_search.parse_recommended_products,
        max_page_size=10,
    ),
    SearchApi(
        name=f"{_CROSS_BORDER}:product.topList.query-1",
        shows="the ranking of a category",
        kind="top",
        names={"top": "rankId", "rank": "rankType", "page_size": "limit"},
        fixed={"rankType": "complex"},
        within="rankQueryParams",
        language="language",
        parse=parsing_search.parse_ranking,
        max_rows=20,
    ),
    SearchApi(
        name=f"{_CROSS_BORDER}:pool.product.pull-1",
        shows="a product pool that the platform has made for the app",
        kind="pool",
        names={
            "pool": "offerPoolId",
            "task_id": "taskId",
            "category_id": "cateId",
            "page": "pageNo",
            "page_size": "pageSize",
        },
        within="offerPoolQueryParam",
        language="language",
        parse=parsing_search.parse_pool,
        max_page_size=1000,
    ),
    SearchApi(
        name=f"{_PRODUCT}:alibaba.product.list.get-1",
        shows="a seller's own products",
        kind="own",
        names={"page": "pageNo", "page_size": "pageSize", "modified_since": "startModifyTime"},
        fixed={"orderByCondition": "ID", "orderByType": "ASC"},  # the only order that walks all
        parse=parsing_search.parse_own_products,
    ),
)

_BY_NAME: dict[str, Api] = {
    api.name: api
    for apis in (
        *(_ROUTER_PRODUCT_APIS, _ROUTER_SEARCH_APIS),
        *(_PARAM2_PRODUCT_APIS, _PARAM2_SEARCH_APIS),
    )
    for api in apis
}
