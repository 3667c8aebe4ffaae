from __future__ import annotations

from typing import Any

import pytest

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.catalogue import choose_apis

SEARCH: dict[str, Any] = {
    "keyword": "茶杯",
    "category_id": 122,
    "price_start": "1.50",
    "price_end": "20",
    "sort": "price",
    "page": 2,
    "page_size": 20,
}
CARRIED_ALONG: dict[str, Any] = {"first_id": 1, "max_pages": 3, "details": 1}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("com.alibaba.product:alibaba.product.get-1", {"productID": 1, "webSite": "1688"}),
        ("com.alibaba.product:alibaba.product.simple.get-1", {"productID": 1, "webSite": "1688"}),
        ("com.alibaba.product:alibaba.cross.productInfo-1", {"productId": 1}),
        (
            "com.alibaba.fenxiao.crossborder:product.search.queryProductDetail-1",
            {"offerDetailParam": {"offerId": 1, "country": "en"}},
        ),
    ],
)
def test_a_product_on_param2(name: str, parameters: dict[str, Any]) -> None:
    apis = choose_apis("param2", product_api=name)
    assert apis.name(ApiCall.product(1)) == name
    assert apis.parameters(ApiCall.product(1)) == parameters


@pytest.mark.parametrize("protocol", ["router", "top"])
def test_a_product_on_router_and_top(protocol: Any) -> None:
    apis = choose_apis(protocol)
    assert apis.name(ApiCall.product(1)) == "alibaba.product.get"
    assert apis.parameters(ApiCall.product(1)) == {"product_id": 1}


def test_a_search_sends_what_its_api_knows_and_nothing_of_ours() -> None:
    call = ApiCall.search(**SEARCH | CARRIED_ALONG)
    router = choose_apis("router")
    assert router.name(call) == "alibaba.product.search"
    assert router.parameters(call) == {"keyword": "茶杯", "page_no": 2, "page_size": 20}
    param2 = choose_apis("param2")
    assert param2.parameters(call) == {
        "offerQueryParam": {
            "keyword": "茶杯",
            "beginPage": 2,
            "pageSize": 20,
            "priceStart": "1.50",
            "priceEnd": "20",
            "categoryId": 122,
            "sort": "price",
            "country": "en",
        }
    }
    own = choose_apis("param2", search_api="com.alibaba.product:alibaba.product.list.get-1")
    assert own.parameters(call) == {"pageNo": 2, "pageSize": 20}


def test_an_api_that_the_protocol_does_not_have() -> None:
    with pytest.raises(ConfigurationError, match=r"^ALI1688_SEARCH_API is 'x': set it to one of "):
        choose_apis("param2", search_api="x")
