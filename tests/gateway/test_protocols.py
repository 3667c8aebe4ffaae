from __future__ import annotations

import json
from decimal import Decimal
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.clock import GatewayClock
from ali1688_spider.gateway.protocols import (
    CallSigner,
    WireCall,
    param2_path,
    sign_param2,
    sign_router,
    sign_top,
    wire_text,
)

PRODUCT_API = "com.alibaba.product:alibaba.product.get-1"


CLOCK = GatewayClock(lambda: 1_700_000_000.0)


def form(call: WireCall) -> dict[str, str]:
    return dict(parse_qsl(call.body.decode(), keep_blank_values=True, strict_parsing=True))


def test_router_posts_everything_in_the_body() -> None:
    signer = CallSigner("router", "https://gw.api.1688.com/router/json", "1000000", "test123")
    call = signer.sign(
        "alibaba.product.get", {"product_id": 610000000001}, access_token="", clock=CLOCK
    )
    sent = form(call)
    assert (call.http_method, call.url) == ("POST", "https://gw.api.1688.com/router/json")
    signature = sent.pop("sign")
    assert sent == {
        "method": "alibaba.product.get",
        "app_key": "1000000",
        "timestamp": "2023-11-15 06:13:20",
        "format": "json",
        "product_id": "610000000001",
    }
    assert signature == sign_router(sent, "test123")


def test_router_can_get() -> None:
    signer = CallSigner(
        "router", "https://gw.api.1688.com/router/json", "1000000", "test123", "GET"
    )
    call = signer.sign(
        "alibaba.product.search", {"keyword": "手机 壳&"}, access_token="t", clock=CLOCK
    )
    query = {name: values[0] for name, values in parse_qs(urlsplit(call.url).query).items()}
    assert call.http_method == "GET"
    assert call.body == b""
    assert query["keyword"] == "手机 壳&"
    assert query["session"] == "t"
    signature = query.pop("sign")
    assert signature == sign_router(query, "test123")


def test_param2_has_the_app_key_in_the_path_only() -> None:
    signer = CallSigner("param2", "https://gw.open.1688.com/openapi", "1000000", "test123")
    call = signer.sign(
        PRODUCT_API,
        {"productID": 584051070147, "webSite": "1688"},
        access_token="00000000-1111-2222-3333-444444444444",
        clock=CLOCK,
    )
    assert call.url == (
        "https://gw.open.1688.com/openapi/param2/1/com.alibaba.product/alibaba.product.get/1000000"
    )
    # A vector of the signature page's rule.
    assert form(call)["_aop_signature"] == "C8FA97F89772C2E3A69812A5A32F2E5393A4EA6D"
    assert "app_key" not in form(call)
    assert signer.address(PRODUCT_API) == call.url


def test_param2_signs_the_raw_value_of_a_nested_parameter() -> None:
    signer = CallSigner("param2", "https://gw.open.1688.com/openapi", "1000000", "test123")
    query = {"keyword": "手机壳", "beginPage": 1, "pageSize": 20, "country": "en"}
    call = signer.sign(
        "com.alibaba.fenxiao.crossborder:product.search.keywordQuery-1",
        {"offerQueryParam": query},
        access_token="00000000-1111-2222-3333-444444444444",
        clock=CLOCK,
    )
    assert json.loads(form(call)["offerQueryParam"]) == query
    assert form(call)["_aop_signature"] == "59F5F085B1D25B3F269D31BAEC6EB2271BB29C3C"


def test_param2_can_get() -> None:
    signer = CallSigner("param2", "https://gw.open.1688.com/openapi", "1000000", "test123", "GET")
    call = signer.sign(PRODUCT_API, {"productID": 1}, access_token="", clock=CLOCK)
    parts = urlsplit(call.url)
    query = dict(parse_qsl(parts.query))
    signature = query.pop("_aop_signature")
    assert signature == sign_param2(parts.path.removeprefix("/openapi/"), query, "test123")


@pytest.mark.parametrize("sign_method", ["md5", "hmac", "hmac-sha256"])
def test_top(sign_method: str) -> None:
    signer = CallSigner(
        "top", "https://gw.api.taobao.com/router/rest", "1", "s", "GET", sign_method
    )  # type: ignore[arg-type]
    call = signer.sign("alibaba.product.get", {"id": 1}, access_token="t", clock=CLOCK)
    assert call.http_method == "POST"
    sent = form(call)
    signature = sent.pop("sign")
    assert signature == sign_top(sent, "s", sign_method)  # type: ignore[arg-type]
    assert sent["session"] == "t"
    assert sent["v"] == "2.0"
    assert sent["sign_method"] == sign_method


def test_values_become_text_once() -> None:
    assert wire_text(
        {
            "text": "a b",
            "number": 5,
            "amount": Decimal("1.50"),
            "yes": True,
            "no": False,
            "null": None,
            "empty": "",
            "nested": {"b": [1, None], "a": "手"},
            "json": '{"already": "text"}',
        }
    ) == {
        "text": "a b",
        "number": "5",
        "amount": "1.50",
        "yes": "true",
        "no": "false",
        "nested": '{"b":[1,null],"a":"手"}',
        "json": '{"already": "text"}',
    }


def test_a_call_shows_nothing_secret() -> None:
    signer = CallSigner("router", "https://host/router/json", "1000000", "test123", "GET")
    call = signer.sign("alibaba.product.get", {}, access_token="token", clock=CLOCK)
    assert repr(call) == "WireCall(http_method='GET')"
    assert "test123" not in repr(signer)


@pytest.mark.parametrize("name", ["alibaba.product.get", "a:b", "a:b-x", ":b-1", "a:-1"])
def test_the_name_of_an_api_of_param2_has_three_parts(name: str) -> None:
    with pytest.raises(ConfigurationError, match="namespace:name-version"):
        param2_path(name, "1000000")


# Sources: the signature page of the 1688 Open Platform (the first); the others were computed twice,
# independently of this project.
PARAM2 = [
    (
        "param2/1/system/currentTime/1000000",
        {"a": "1", "b": "2"},
        "33E54F4F7B989E3E0E912D3FBD2F1A03CA7CCE88",
    ),
    (
        "param2/1/com.alibaba.product/alibaba.product.get/1000000",
        {
            "productID": "584051070147",
            "webSite": "1688",
            "access_token": "00000000-1111-2222-3333-444444444444",
            "_aop_timestamp": "1700000000000",
        },
        "C8FA97F89772C2E3A69812A5A32F2E5393A4EA6D",
    ),
    (
        "param2/1/com.alibaba.fenxiao.crossborder/product.search.keywordQuery/1000000",
        {
            "offerQueryParam": '{"keyword":"手机壳","beginPage":1,"pageSize":20,"country":"en"}',
            "access_token": "00000000-1111-2222-3333-444444444444",
            "_aop_timestamp": "1700000000000",
        },
        "59F5F085B1D25B3F269D31BAEC6EB2271BB29C3C",
    ),
]
# Source: the signature page of the Taobao Open Platform.
TOP_PARAMS = {
    "method": "taobao.item.seller.get",
    "app_key": "12345678",
    "session": "test",
    "timestamp": "2016-01-01 12:00:00",
    "format": "json",
    "v": "2.0",
    "sign_method": "md5",
    "fields": "num_iid,title,nick,price,num",
    "num_iid": "11223344",
}


@pytest.mark.parametrize(("url_path", "params", "signature"), PARAM2)
def test_param2(url_path: str, params: dict[str, str], signature: str) -> None:
    assert sign_param2(url_path, params, "test123") == signature


def test_param2_ignores_the_order_of_the_parameters() -> None:
    url_path, params, signature = PARAM2[1]
    assert sign_param2(url_path, dict(reversed(params.items())), "test123") == signature


def test_param2_sorts_whole_pairs() -> None:
    # "keywordTranslate" + "x" comes before "keyword" + "z", though its name comes after.
    by_pair = sign_param2("path", {"keyword": "z", "keywordTranslate": "x"}, "secret")
    joined_in_order = sign_param2("path", {"keywordTranslatexkeyword": "z"}, "secret")
    assert by_pair == joined_in_order


def test_top_md5() -> None:
    assert sign_top(TOP_PARAMS, "helloworld", "md5") == "66987CB115214E59E6EC978214934FB8"


def test_top_hmac_methods() -> None:
    # Computed with: openssl dgst -md5 -hmac helloworld, openssl dgst -sha256 -hmac helloworld
    params = {"a": "1", "b": "手"}
    assert sign_top(params, "helloworld", "hmac") == "BC8BD2936E6D330C3C718F53E03D52E6"
    assert (
        sign_top(params, "helloworld", "hmac-sha256")
        == "90C89B6FAE3B2112D9F292A6898C4C1EC9A56DAEA746B5AB913BB16371E8B8B0"
    )


def test_router_puts_the_secret_at_the_end_only() -> None:
    assert sign_router(TOP_PARAMS, "helloworld") == "1189E9450CEFF06017BDD4957467A103"
