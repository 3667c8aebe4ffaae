from __future__ import annotations

import json
import time
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.protocols import (
    Param2Protocol,
    RouterProtocol,
    TopProtocol,
    WireCall,
    split_api_name,
    wire_text,
)
from ali1688_spider.gateway.signing import sign_param2, sign_router, sign_top

PRODUCT_API = "com.alibaba.product:alibaba.product.get-1"


@dataclass
class FixedClock:
    def timestamp(self) -> str:
        return "2026-11-23 18:00:00"

    def milliseconds(self) -> int:
        return 1700000000000


def form(call: WireCall) -> dict[str, str]:
    return dict(parse_qsl(call.body.decode(), keep_blank_values=True, strict_parsing=True))


def test_router_posts_everything_in_the_body() -> None:
    protocol = RouterProtocol("https://gw.api.1688.com/router/json", "1000000", "test123")
    call = protocol.sign(
        "alibaba.product.get", {"product_id": 610000000001}, access_token="", clock=FixedClock()
    )
    sent = form(call)
    assert (call.http_method, call.url) == ("POST", "https://gw.api.1688.com/router/json")
    signature = sent.pop("sign")
    assert sent == {
        "method": "alibaba.product.get",
        "app_key": "1000000",
        "timestamp": "2026-11-23 18:00:00",
        "format": "json",
        "product_id": "610000000001",
    }
    assert signature == sign_router(sent, "test123")


def test_router_can_get() -> None:
    protocol = RouterProtocol("https://gw.api.1688.com/router/json", "1000000", "test123", "GET")
    call = protocol.sign(
        "alibaba.product.search", {"keyword": "手机 壳&"}, access_token="t", clock=FixedClock()
    )
    query = {name: values[0] for name, values in parse_qs(urlsplit(call.url).query).items()}
    assert call.http_method == "GET"
    assert call.body == b""
    assert query["keyword"] == "手机 壳&"
    assert query["session"] == "t"
    signature = query.pop("sign")
    assert signature == sign_router(query, "test123")


def test_param2_has_the_app_key_in_the_path_only() -> None:
    protocol = Param2Protocol("https://gw.open.1688.com/openapi", "1000000", "test123")
    call = protocol.sign(
        PRODUCT_API,
        {"productID": 584051070147, "webSite": "1688"},
        access_token="00000000-1111-2222-3333-444444444444",
        clock=FixedClock(),
    )
    assert call.url == (
        "https://gw.open.1688.com/openapi/param2/1/com.alibaba.product/alibaba.product.get/1000000"
    )
    # A vector of the signature page's rule.
    assert form(call)["_aop_signature"] == "C8FA97F89772C2E3A69812A5A32F2E5393A4EA6D"
    assert "app_key" not in form(call)
    assert protocol.address(PRODUCT_API) == call.url


def test_param2_signs_the_raw_value_of_a_nested_parameter() -> None:
    protocol = Param2Protocol("https://gw.open.1688.com/openapi", "1000000", "test123")
    query = {"keyword": "手机壳", "beginPage": 1, "pageSize": 20, "country": "en"}
    call = protocol.sign(
        "com.alibaba.fenxiao.crossborder:product.search.keywordQuery-1",
        {"offerQueryParam": query},
        access_token="00000000-1111-2222-3333-444444444444",
        clock=FixedClock(),
    )
    assert json.loads(form(call)["offerQueryParam"]) == query
    assert form(call)["_aop_signature"] == "59F5F085B1D25B3F269D31BAEC6EB2271BB29C3C"


def test_param2_can_get() -> None:
    protocol = Param2Protocol("https://gw.open.1688.com/openapi", "1000000", "test123", "GET")
    call = protocol.sign(PRODUCT_API, {"productID": 1}, access_token="", clock=FixedClock())
    parts = urlsplit(call.url)
    query = dict(parse_qsl(parts.query))
    signature = query.pop("_aop_signature")
    assert signature == sign_param2(parts.path.removeprefix("/openapi/"), query, "test123")


@pytest.mark.parametrize("sign_method", ["md5", "hmac", "hmac-sha256"])
def test_top(sign_method: str) -> None:
    protocol = TopProtocol("https://gw.api.taobao.com/router/rest", "1", "s", sign_method)  # type: ignore[arg-type]
    call = protocol.sign("alibaba.product.get", {"id": 1}, access_token="t", clock=FixedClock())
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
    protocol = RouterProtocol("https://host/router/json", "1000000", "test123", "GET")
    call = protocol.sign("alibaba.product.get", {}, access_token="token", clock=FixedClock())
    assert repr(call) == "WireCall(http_method='GET')"
    assert "test123" not in repr(protocol)


@pytest.mark.parametrize("name", ["alibaba.product.get", "a:b", "a:b-x", ":b-1", "a:-1"])
def test_the_name_of_an_api_of_param2_has_three_parts(name: str) -> None:
    with pytest.raises(ConfigurationError, match="namespace:name-version"):
        split_api_name(name)


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Auckland", "UTC"])
def test_timestamps_are_china_time_wherever_the_host_is(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ali1688_spider.gateway.clock import GatewayClock

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        stamp = time.strptime(GatewayClock().timestamp(), "%Y-%m-%d %H:%M:%S")
        import calendar

        china = calendar.timegm(stamp) - 8 * 3600
        assert abs(china - time.time()) < 5
    finally:
        monkeypatch.undo()
        time.tzset()
