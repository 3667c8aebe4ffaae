from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from ali1688_spider.exceptions import ConfigurationError, MalformedMessageError
from ali1688_spider.gateway.api import SUBJECTS, SearchKind
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.catalogue import choose_apis, product_apis

CB = "com.alibaba.fenxiao.crossborder"
PRODUCT = "com.alibaba.product"
DETAIL_PARAM = {"offerId": 1, "country": "en"}
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
        (f"{CB}:product.search.queryProductDetail-1", {"offerDetailParam": DETAIL_PARAM}),
        (f"{PRODUCT}:alibaba.product.get-1", {"productID": 1, "webSite": "1688"}),
        (f"{PRODUCT}:alibaba.product.simple.get-1", {"productID": 1, "webSite": "1688"}),
        (f"{PRODUCT}:alibaba.cross.productInfo-1", {"productId": 1}),
        ("com.alibaba.fenxiao:alibaba.fenxiao.productInfo.get-1", {"offerId": 1}),
        ("com.alibaba.fenxiao:alibaba.pifatuan.product.detail.list-1", {"offerIds": [1]}),
        (f"{PRODUCT}:alibaba.product.getByIdList-1", {"productIdList": [1]}),
        (f"{PRODUCT}:alibaba.cross.productList-1", {"productIdList": [1]}),
    ],
)
def test_a_product_on_param2(name: str, parameters: dict[str, Any]) -> None:
    apis = choose_apis("param2", product_api=name)
    assert apis.name(ApiCall.product(1)) == name
    assert apis.parameters(ApiCall.product(1)) == parameters


def test_the_usual_apis_are_those_of_a_buyer() -> None:
    apis = choose_apis("param2")
    assert apis.product.name == f"{CB}:product.search.queryProductDetail-1"
    assert apis.search.name == f"{CB}:product.search.keywordQuery-1"


def test_how_many_products_a_call_takes_and_what_it_needs() -> None:
    found = {
        api.name.rpartition(".")[2]: (api.max_ids, api.needs_relation, api.curated_only)
        for api in product_apis("param2")
        if api.max_ids > 1 or api.needs_relation or api.curated_only
    }
    assert found == {
        "productInfo-1": (1, True, False),
        "list-1": (50, False, True),
        "getByIdList-1": (20, False, False),
        "productList-1": (20, True, False),
    }


def test_only_the_list_without_prices_is_not_the_whole_record() -> None:
    incomplete = [api.name for api in product_apis("param2") if not api.is_complete]
    assert incomplete == [f"{PRODUCT}:alibaba.cross.productList-1"]


@pytest.mark.parametrize(
    ("params", "name", "parameters"),
    [
        (
            {"image_id": "77", "keyword": "杯", "page": 1, "page_size": 20},
            f"{CB}:product.search.imageQuery-1",
            {
                "offerQueryParam": {
                    "imageId": "77",
                    "keyword": "杯",
                    "beginPage": 1,
                    "pageSize": 20,
                    "country": "ja",
                }
            },
        ),
        (
            {"shop": "BBB1", "sort": "-sales", "filter": "new7", "page": 2, "page_size": 50},
            f"{CB}:product.search.querySellerOfferList-1",
            {
                "offerQueryParam": {
                    "sellerOpenId": "BBB1",
                    "sort": '{"monthSold":"desc"}',
                    "filter": "new7",
                    "beginPage": 2,
                    "pageSize": 50,
                    "country": "ja",
                }
            },
        ),
        (
            {"related_to": 1, "page": 1, "page_size": 10},
            f"{CB}:product.related.recommend-1",
            {"relatedQueryParams": {"offerId": 1, "pageNo": 1, "pageSize": 10, "language": "ja"}},
        ),
        (
            {"top": "1111", "page": 1, "page_size": 20},
            f"{CB}:product.topList.query-1",
            {
                "rankQueryParams": {
                    "rankId": "1111",
                    "rankType": "complex",
                    "limit": 20,
                    "language": "ja",
                }
            },
        ),
        (
            {"top": "1111", "rank": "hot", "page": 1, "page_size": 5},
            f"{CB}:product.topList.query-1",
            {
                "rankQueryParams": {
                    "rankId": "1111",
                    "rankType": "hot",
                    "limit": 5,
                    "language": "ja",
                }
            },
        ),
        (
            {"pool": 5, "task_id": "t1", "page": 1, "page_size": 1000},
            f"{CB}:pool.product.pull-1",
            {
                "offerPoolQueryParam": {
                    "offerPoolId": 5,
                    "taskId": "t1",
                    "pageNo": 1,
                    "pageSize": 1000,
                    "language": "ja",
                }
            },
        ),
        (
            {"image_url": "https://a.com/1.jpg", "page": 1, "page_size": 20},
            "com.alibaba.linkplus:alibaba.cross.similar.offer.search-1",
            {"picUrl": "https://a.com/1.jpg", "page": 1, "pageSize": 20},
        ),
        (
            {"keyword": "杯", "sort": "price", "page": 1, "page_size": 50},
            f"{CB}:product.search.keywordQuery-1",
            {
                "offerQueryParam": {
                    "keyword": "杯",
                    "sort": '{"price":"asc"}',
                    "beginPage": 1,
                    "pageSize": 50,
                    "country": "ja",
                }
            },
        ),
    ],
)
def test_what_a_search_looks_for_decides_its_api(
    params: dict[str, Any], name: str, parameters: dict[str, Any]
) -> None:
    apis, call = choose_apis("param2", country="ja"), ApiCall.search(**params)
    assert ApiCall.decode(call.encode()) == call
    assert apis.name(call) == apis.serving(params).name == name
    assert apis.parameters(call) == parameters


def test_recommendations_ask_in_somebody_s_name() -> None:
    api = choose_apis("param2").search_by("recommended")
    assert api.parameters({"page": 1, "page_size": 20}) == {
        "recommendOfferParam": {
            "beginPage": 1,
            "pageSize": 20,
            "country": "en",
            "outMemberId": "ali1688spider",
        }
    }


def test_own_goods_are_walked_by_their_ids_and_from_a_time_on() -> None:
    api = choose_apis("param2").search_by("own")
    params: dict[str, Any] = {"page": 1, "page_size": 20, "modified_since": "2024-04-20T00:00:00Z"}
    assert api.parameters(params) == {
        "pageNo": 1,
        "pageSize": 20,
        "orderByCondition": "ID",
        "orderByType": "ASC",
        "startModifyTime": "20240420080000000+0800",
    }


def test_each_kind_of_search_has_an_api_on_param2_and_the_keyword_elsewhere() -> None:
    kinds = get_args(SearchKind)
    assert [choose_apis("param2").search_by(kind).kind for kind in kinds] == list(kinds)
    router = choose_apis("router")
    assert router.search_by("keyword").name == "alibaba.product.search"
    with pytest.raises(ConfigurationError, match="no API for a search by shop: set ALI1688_PROTO"):
        router.search_by("shop")


def test_orders_and_filters_that_a_search_knows() -> None:
    apis = choose_apis("param2")
    assert set(apis.search.sorts) == {"price", "-price", "-sales", "-repurchase"}
    assert {"shipInToday", "new7", "jxhy"} <= apis.search.filter_words
    assert apis.search_by("top").sorts == {}


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
            "sort": '{"price":"asc"}',
            "country": "en",
        }
    }
    own = choose_apis("param2", search_api="com.alibaba.product:alibaba.product.list.get-1")
    assert own.parameters(call) == {
        "pageNo": 2,
        "pageSize": 20,
        "orderByCondition": "ID",
        "orderByType": "ASC",
    }


def test_an_api_that_the_protocol_does_not_have() -> None:
    with pytest.raises(ConfigurationError, match=r"^ALI1688_SEARCH_API is 'x': set it to one of "):
        choose_apis("param2", search_api="x")


def test_a_queued_search_since_no_time_is_refused() -> None:
    params = {"page": 1, "page_size": 20, "modified_since": "yesterday"}
    message = json.dumps({"api": "search", "params": params})
    with pytest.raises(MalformedMessageError, match="modified_since is not a time"):
        ApiCall.decode(message)


@pytest.mark.parametrize("subject", SUBJECTS.values())
def test_a_queue_takes_what_a_search_may_look_for(subject: str) -> None:
    for value in (1, "1"):
        try:
            call = ApiCall.decode(
                ApiCall.search(**{subject: value, "page": 1, "page_size": 20}).encode()
            )
        except MalformedMessageError:
            continue
        assert call.params[subject] == value
        return
    pytest.fail(f"no queue takes {subject}")
