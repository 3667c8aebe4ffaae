from __future__ import annotations

import codecs
import json
import socket
import ssl
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ali1688_spider.gateway.errors import CallError, ErrorAction, UnreadableResponseError
from ali1688_spider.gateway.protocols import WireResponse
from ali1688_spider.gateway.response import load_json, read_response, transport_error

PRODUCT = {"result": {"product": {"productName": "手机壳", "price": "12.50", "quantity": 3}}}


def read(
    protocol: str,
    body: bytes,
    status: int = 200,
    headers: dict[str, str] | None = None,
    *,
    text_expected: bool = False,
) -> Any:
    response = WireResponse(status, headers or {}, body)
    return read_response(protocol, response, text_expected=text_expected)


def answered(
    protocol: str, payload: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Any:
    return read(protocol, json.dumps(payload).encode(), status, headers)


def error_of(
    protocol: str, payload: Any, status: int = 200, headers: dict[str, str] | None = None
) -> CallError:
    with pytest.raises(CallError) as caught:
        answered(protocol, payload, status, headers)
    return caught.value


def unreadable(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> CallError:
    with pytest.raises(CallError) as caught:
        read("router", body, status, headers)
    assert caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize(
    "payload",
    [
        PRODUCT,
        {"productInfo": {"productID": 1}, "errMsg": "成功"},
        {"productInfo": {"productID": 1}, "errorCode": None, "errorMessage": ""},
        {"result": {"success": True, "code": "200", "message": "操作成功", "result": {"a": 1}}},
        {"result": {"success": "true", "errorMessage": "success", "data": []}},
        {"success": True, "errorMessage": "未找到相关结果", "result": []},
        {"error_code": "0", "error_message": "success", "result": {"totalCount": 0}},
        {},
    ],
)
def test_data_is_returned_as_it_is(payload: dict[str, Any]) -> None:
    assert answered("param2", payload) == payload


@pytest.mark.parametrize("status", [200, 302, 400, 404, 500, 503])
def test_the_status_does_not_turn_data_into_an_error(status: int) -> None:
    assert answered("router", PRODUCT, status) == PRODUCT
    assert answered("top", {"product_get_response": PRODUCT}, status) == PRODUCT
    assert answered("param2", {"productInfo": {"productID": 1}}, status)["productInfo"]


@pytest.mark.parametrize("status", [400, 404, 500, 502])
def test_an_object_that_is_neither_data_nor_error_goes_by_the_status(status: int) -> None:
    assert error_of("router", {"path": "/router/json"}, status).error_class == "unreadable_answer"


def test_a_web_frameworks_own_error_is_the_services_trouble() -> None:
    payload = {"status": 500, "error": "Internal Server Error", "path": "/openapi"}
    assert error_of("param2", payload, 500).error_class == "service"


def test_a_deeply_nested_error_is_no_burden() -> None:
    nested = b"[" * 400 + b"]" * 400
    assert unreadable(b'{"error":' + nested + b"}", 500).error_class == "unreadable_answer"
    body = b'{"error_response":' + nested + b"}"
    assert unreadable(body).error_class == "unknown_refusal"


def test_numbers_stay_exact() -> None:
    body = b'{"result":{"price":0.1,"large":1e400,"none":NaN,"id":9007199254740993}}'
    result = read("router", body)["result"]
    assert result["price"] == Decimal("0.1")
    assert result["large"] == Decimal("1e400")
    assert result["none"].is_nan()
    assert result["id"] == 9007199254740993


def test_only_a_single_wrapper_is_unwrapped() -> None:
    payload = {"a_response": {"x": 1}, "b_response": {"y": 1}}
    assert answered("top", payload) == payload
    assert answered("top", {"a_response": {"x": 1}, "request_id": "r"}) == {"x": 1}


@pytest.mark.parametrize(
    "body",
    [
        codecs.BOM_UTF8 + json.dumps(PRODUCT, ensure_ascii=False).encode(),
        json.dumps(PRODUCT, ensure_ascii=False).encode("utf-16"),
    ],
)
def test_other_unicode_encodings_are_read(body: bytes) -> None:
    assert read("router", body) == PRODUCT


def test_a_chinese_encoding_is_read_when_it_is_declared() -> None:
    body = json.dumps(PRODUCT, ensure_ascii=False).encode("gbk")
    assert read("router", body, 200, {"content-type": "text/json;charset=GBK"}) == PRODUCT
    assert unreadable(body).error_class == "unreadable_answer"


def test_half_a_surrogate_pair_is_left_to_validation() -> None:
    body = '{"result":{"name":"\ud800"}}'.encode("utf-8", "surrogatepass")
    assert read("router", body)["result"]["name"] == "\ud800"


def test_a_bare_text_is_data_only_where_it_is_expected() -> None:
    body = b'"20261010164552223+0800"'
    assert read("param2", body, text_expected=True) == "20261010164552223+0800"
    assert unreadable(body).error_class == "unreadable_answer"
    for wrong in (b'""', b"17", b"null"):
        with pytest.raises(UnreadableResponseError):
            read("param2", wrong, text_expected=True)
    with pytest.raises(UnreadableResponseError):
        read("param2", body, 500, {}, text_expected=True)


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 404, 500, 502, 503])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "an empty response"),
        (b" \r\n", "an empty response"),
        (b"<html><body>Bad Gateway</body></html>", "a page of HTML or XML"),
        (codecs.BOM_UTF8 + b"\n<!DOCTYPE html>", "a page of HTML or XML"),
        (b'{"result":{"product":{"produ', "28 bytes that are no JSON object"),
        (b'"Service Unavailable"', "21 bytes that are no JSON object"),
        (b"Service Unavailable", "19 bytes that are no JSON object"),
        (b"[]", "2 bytes that are no JSON object"),
        (b"null", "4 bytes that are no JSON object"),
        (b"true", "4 bytes that are no JSON object"),
        (b"\x1f\x8b\x08\x00\xff\xfe", "6 bytes that are no JSON object"),
        (b'{"a":"\xff"}', "9 bytes that are no JSON object"),
        (b"[" * 100_000, "100000 bytes that are no JSON object"),
    ],
)
def test_bodies_that_say_nothing_are_tried_again(body: bytes, message: str, status: int) -> None:
    error = unreadable(body, status)
    assert error.action is ErrorAction.RETRY
    assert error.error_class == "unreadable_answer"
    assert (error.message, error.status) == (message, status)


def test_numbers_beyond_all_bounds_are_for_the_product_s_validation_to_reject() -> None:
    body = b'{"stock":' + b"9" * 5000 + b',"price":1e99999999999999999999}'
    assert read("router", body) == {
        "stock": Decimal("9" * 5000),
        "price": "1e99999999999999999999",
    }


@pytest.mark.parametrize(
    ("status", "headers", "action", "retry_after"),
    [
        (429, {}, ErrorAction.WAIT, None),
        (403, {}, ErrorAction.WAIT, None),
        (503, {}, ErrorAction.RETRY, None),
        (503, {"retry-after": "17"}, ErrorAction.WAIT, 17.0),
        (429, {"retry-after": " 17 "}, ErrorAction.WAIT, 17.0),
        (503, {"retry-after": "0"}, ErrorAction.WAIT, 0.0),
        (500, {"retry-after": "17"}, ErrorAction.RETRY, 17.0),
        (503, {"retry-after": "9" * 400}, ErrorAction.WAIT, 86_400.0),
        (503, {"retry-after": "-5"}, ErrorAction.RETRY, None),
        (503, {"retry-after": "soon"}, ErrorAction.RETRY, None),
        (
            503,
            {
                "retry-after": "Sat, 10 Oct 2026 08:46:52 GMT",
                "date": "Sat, 10 Oct 2026 08:45:52 GMT",
            },
            ErrorAction.WAIT,
            60.0,
        ),
        (503, {"retry-after": "Sat, 10 Oct 2015 08:46:52 GMT"}, ErrorAction.WAIT, 0.0),
    ],
)
def test_the_wait_that_http_asks_for(
    status: int, headers: dict[str, str], action: ErrorAction, retry_after: float | None
) -> None:
    error = unreadable(b"<html/>", status, headers)
    assert (error.action, error.retry_after) == (action, retry_after)


@pytest.mark.parametrize(
    ("sub_msg", "headers", "seconds"),
    [
        ("This ban will last for 7 more seconds", {}, 7.0),
        ("This ban will last for 1 more second.", {}, 1.0),
        ("This ban will last for 7 more seconds", {"retry-after": "9"}, 9.0),
        ("This ban will last for 999999999 more seconds", {}, 86_400.0),
        ("This ban will last for ever", {}, None),
        ("", {"retry-after": "9"}, 9.0),
        ("", {}, None),
    ],
)
def test_the_wait_that_a_ban_asks_for(
    sub_msg: str, headers: dict[str, str], seconds: float | None
) -> None:
    payload = {"error_response": {"code": 7, "msg": "App Call Limited", "sub_msg": sub_msg}}
    assert error_of("router", payload, headers=headers).retry_after == seconds


@settings(deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode), st.integers(100, 599))
def test_every_body_is_data_or_one_error(body: bytes, status: int) -> None:
    try:
        assert isinstance(read("param2", body, status), dict)
    except CallError as error:
        assert error.status == status  # noqa: PT017  # nothing but this error may come


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["result", "success", "error_response", "error_code", "errMsg", "code", "msg"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(JSON, st.sampled_from(["router", "param2", "top"]))
def test_every_shape_is_data_or_one_error(payload: Any, protocol: str) -> None:
    try:
        assert isinstance(answered(protocol, payload), dict)
    except CallError as error:
        assert isinstance(error.action, ErrorAction)  # noqa: PT017  # likewise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.50", "12.50"),
        ("0.1", "0.1"),
        ("12.340000000000000000000000000000000001", "12.340000000000000000000000000000000001"),
        ("1.25e1", "12.5"),
        ("2E3", "2000"),
        ("-0.05", "-0.05"),
    ],
)
def test_a_number_with_a_point_is_a_decimal_of_the_same_digits(text: str, expected: str) -> None:
    value = load_json(text.encode())
    assert isinstance(value, Decimal)
    assert str(value) == expected


def test_a_whole_number_is_an_int() -> None:
    value = load_json(b"610000000001")
    assert value == 610000000001
    assert isinstance(value, int)


def test_a_gigantic_integer_is_a_decimal_that_no_rule_accepts() -> None:
    assert load_json(b"9" * 100_000) == Decimal("9" * 100_000)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_are_no_json_become_decimals_that_no_rule_accepts(text: str) -> None:
    (value,) = load_json(f"[{text}]".encode())
    assert isinstance(value, Decimal)
    assert not value.is_finite()


def test_an_exponent_that_no_decimal_holds_stays_text() -> None:
    assert load_json(b"[1e99999999999999999999]") == ["1e99999999999999999999"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"名":"值"}'.encode(), {"名": "值"}),
        ('\ufeff{"a":1}'.encode(), {"a": 1}),
        (b'"20261010164552223+0800"', "20261010164552223+0800"),
        (b'"\\ud800"', "\ud800"),
        (b'"\xed\xa0\x80"', "\ud800"),
    ],
)
def test_bytes_with_or_without_a_byte_order_mark(text: bytes, expected: Any) -> None:
    assert load_json(text) == expected


@pytest.mark.parametrize(
    "text", [b"", b"<html></html>", b'{"result":{"prod', b"\xff\xfe\x00", b"[" * 100_000, b"{} {}"]
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the kind is all that callers look at
        load_json(text)


def scrapy_like(name: str, text: str) -> Exception:
    kind: type[Exception] = type(name, (Exception,), {})
    return kind(text)


SECRET_URL = "https://gw.api.1688.com/router/json?sign=ABCDEF"


@pytest.mark.parametrize(
    ("exception", "error_class"),
    [
        (scrapy_like("DownloadTimeoutError", f"Getting {SECRET_URL} took too long"), "timeout"),
        (scrapy_like("DownloadConnectionRefusedError", SECRET_URL), "connection_refused"),
        (scrapy_like("DownloadFailedError", SECRET_URL), "connection"),
        (scrapy_like("ResponseDataLossError", SECRET_URL), "unreadable_answer"),
        (scrapy_like("DownloadCancelledError", SECRET_URL), "unreadable_answer"),
        (scrapy_like("CannotResolveHostError", SECRET_URL), "unknown_host"),
        (TimeoutError(), "timeout"),
        (ConnectionResetError(SECRET_URL), "connection"),
        (ssl.SSLCertVerificationError("self-signed certificate"), "tls"),
        (socket.gaierror(-2, "Name or service not known"), "unknown_host"),
    ],
)
def test_failed_downloads(exception: Exception, error_class: str) -> None:
    error = transport_error(exception)
    assert error is not None
    assert (error.action, error.error_class) == (ErrorAction.RETRY, error_class)
    assert error.message == f"{error_class}: {type(exception).__name__}"
    assert error.status is None
    assert error.__cause__ is None
    assert "sign" not in str(error)


@pytest.mark.parametrize(
    ("wrapper", "cause", "error_class"),
    [
        ("DownloadConnectionRefusedError", "ClientConnectorSSLError", "tls"),
        ("DownloadConnectionRefusedError", "ClientConnectorCertificateError", "tls"),
        ("DownloadConnectionRefusedError", "ClientConnectorError", "connection_refused"),
        ("DownloadFailedError", "ClientHttpProxyError", "connection_refused"),
        ("DownloadFailedError", "ClientConnectionError", "connection"),
        ("DownloadFailedError", "ClientResponseError", "connection"),
    ],
)
def test_what_scrapy_makes_of_aiohttps_errors(wrapper: str, cause: str, error_class: str) -> None:
    kind = getattr(aiohttp, cause)
    exception = scrapy_like(wrapper, SECRET_URL)
    exception.__cause__ = kind.__new__(kind)
    error = transport_error(exception)
    assert error is not None
    assert error.error_class == error_class
    assert error.message == f"{error_class}: {wrapper}"


def test_other_exceptions_are_not_taken_for_failed_downloads() -> None:
    assert transport_error(KeyError("x")) is None
    exception = RuntimeError("x")
    exception.__cause__ = ConnectionError()
    assert transport_error(exception) is None
    assert transport_error(scrapy_like("DropItem", "x")) is None
