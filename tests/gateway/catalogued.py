"""Reads samples as the entries of the catalogue do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway.api import ProductApi, SearchApi
from ali1688_spider.gateway.catalogue import find_api
from ali1688_spider.gateway.response import load_json

if TYPE_CHECKING:
    from ali1688_spider.gateway.parsing import SearchPage

SAMPLES = Path(__file__).parent / "samples"

CROSS_BORDER = "com.alibaba.fenxiao.crossborder"
ROUTER = "alibaba.product.get"
ROUTER_SEARCH = "alibaba.product.search"
PRODUCT_GET = "com.alibaba.product:alibaba.product.get-1"
DROPSHIP = "com.alibaba.fenxiao:alibaba.fenxiao.productInfo.get-1"
CURATED = "com.alibaba.fenxiao:alibaba.pifatuan.product.detail.list-1"
DETAIL = f"{CROSS_BORDER}:product.search.queryProductDetail-1"
KEYWORD = f"{CROSS_BORDER}:product.search.keywordQuery-1"
OWN = "com.alibaba.product:alibaba.product.list.get-1"


def sample(name: str) -> Any:
    """Return a sample, its numbers exact."""
    return load_json((SAMPLES / f"{name}.json").read_bytes())


def product_api(name: str) -> ProductApi:
    """Return the entry of an API for products."""
    api = find_api(name)
    assert isinstance(api, ProductApi)
    return api


def read_product(name: str, data: Any) -> dict[str, Any]:
    """Return the fields of the product in *data*."""
    return product_api(name).parse(data)


def read_page(name: str, data: Any) -> SearchPage:
    """Return the page in *data*."""
    api = find_api(name)
    assert isinstance(api, SearchApi)
    return api.parse(data)
