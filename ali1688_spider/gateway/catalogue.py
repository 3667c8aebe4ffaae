"""The APIs that this project calls: their names, their parameters and how to read their data.

An API is one entry here; the first one of a protocol is its usual one. Names and parameters: the
API pages of the 1688 Open Platform.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway import parsing

if TYPE_CHECKING:
    from ali1688_spider.gateway.calls import ApiCall, Value
    from ali1688_spider.gateway.fields import Fields
    from ali1688_spider.gateway.protocols import ProtocolName

_Data = TypeVar("_Data")
_AnyApi = TypeVar("_AnyApi", bound="Api[Any]")


@dataclass(frozen=True, slots=True)
class Api(Generic[_Data]):
    """An API.

    Attributes:
        parse: Reads the data: as the fields of a product, or as a page of a search.
        names: The parameters of a call that it knows, with their names on the wire.
        fixed: Further parameters on the wire.
        within: The parameter on the wire that holds all others as an object; empty for none.
    """

    name: str
    parse: Callable[[Any], _Data]
    names: Mapping[str, str]
    fixed: Mapping[str, object] = field(default_factory=dict)
    within: str = ""

    def parameters(self, params: Mapping[str, Value]) -> dict[str, object]:
        """Return the parameters of a call on the wire."""
        wired: dict[str, object] = dict(self.fixed)
        wired |= {self.names[name]: value for name, value in params.items() if name in self.names}
        return {self.within: wired} if self.within else wired


@dataclass(frozen=True, slots=True)
class SearchApi(Api[parsing.SearchPage]):
    """An API that returns a page of products.

    Attributes:
        max_page_size: The most rows that a page may have.
        max_rows: How many rows deep one query reaches; 0 for no limit.
    """

    max_page_size: int = 20
    max_rows: int = 0

    @property
    def filters(self) -> frozenset[str]:
        """The parameters of a search that the API knows."""
        return frozenset(self.names) - {"page", "page_size"}


@dataclass(frozen=True, slots=True)
class Apis:
    """The two APIs that a crawl uses."""

    product: Api[Fields]
    search: SearchApi

    def name(self, call: ApiCall) -> str:
        """Return the name of the API that serves *call*."""
        return self._of(call).name

    def parameters(self, call: ApiCall) -> dict[str, object]:
        """Return the parameters of *call* on the wire."""
        return self._of(call).parameters(call.params)

    def _of(self, call: ApiCall) -> Api[Any]:
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


def _choose(apis: tuple[_AnyApi, ...], name: str, setting: str) -> _AnyApi:
    for api in apis:
        if name in ("", api.name):
            return api
    names = ", ".join(api.name for api in apis)
    raise ConfigurationError(f"{setting} is {name!r}: set it to one of {names}, or leave it empty")


_ROUTER_PRODUCT_APIS = (
    Api("alibaba.product.get", parsing.parse_router_product, names={"product_id": "product_id"}),
)
_ROUTER_SEARCH_APIS = (
    SearchApi(
        "alibaba.product.search",
        parsing.parse_router_search,
        names={"keyword": "keyword", "page": "page_no", "page_size": "page_size"},
    ),
)
_PARAM2_PRODUCT_APIS = (
    Api(
        "com.alibaba.product:alibaba.product.get-1",
        parsing.parse_product_info,
        names={"product_id": "productID"},
        fixed={"webSite": "1688"},
    ),
    Api(
        "com.alibaba.product:alibaba.product.simple.get-1",
        parsing.parse_product_info,
        names={"product_id": "productID"},
        fixed={"webSite": "1688"},
    ),
    Api(
        "com.alibaba.product:alibaba.cross.productInfo-1",
        parsing.parse_product_info,
        names={"product_id": "productId"},
    ),
    Api(
        "com.alibaba.fenxiao.crossborder:product.search.queryProductDetail-1",
        parsing.parse_product_detail,
        names={"product_id": "offerId"},
        fixed={"country": "en"},
        within="offerDetailParam",
    ),
)
_PARAM2_SEARCH_APIS = (
    SearchApi(
        "com.alibaba.fenxiao.crossborder:product.search.keywordQuery-1",
        parsing.parse_keyword_query,
        names={
            "keyword": "keyword",
            "page": "beginPage",
            "page_size": "pageSize",
            "price_start": "priceStart",
            "price_end": "priceEnd",
            "category_id": "categoryId",
            "sort": "sort",
        },
        fixed={"country": "en"},
        within="offerQueryParam",
        max_page_size=50,
        max_rows=2000,
    ),
    SearchApi(
        "com.alibaba.product:alibaba.product.list.get-1",
        parsing.parse_own_products,
        names={"page": "pageNo", "page_size": "pageSize"},
    ),
)
