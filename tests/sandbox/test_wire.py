from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.sandbox.admission import router_signature
from ali1688_spider.sandbox.apis.api_table import OPEN_APIS, PARAM2_APIS
from tests.sandbox.caller import (
    CROSS,
    OFFER,
    OFFERS,
    OWN,
    PRODUCT,
    SECRET,
    SIMPLE,
    TIME,
    router_params,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.sandbox.caller import Caller

GET = "alibaba.product.get"
BOTH = pytest.mark.parametrize("family", ["router", "top"])
ID = "610000000001"
CALL = {"productID": ID, "webSite": "1688"}


@pytest.mark.parametrize("http", ["GET", "POST"])
async def test_router_answers_a_product(gateway: Caller, http: str) -> None:
    answer = await gateway.router(GET, http=http, product_id=ID)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    product = answer.json["result"]["product"]
    truth = await gateway.control(f"products/{ID}", method="GET")
    assert set(product) == {"productName", "price", "quantity"}
    assert product["productName"] == truth["name"]
    assert product["price"] == float(truth["price"])
    assert product["quantity"] == truth["stock"]


@pytest.mark.parametrize("method", ["md5", "hmac", "hmac-sha256"])
async def test_top_answers_under_the_name_of_the_method(gateway: Caller, method: str) -> None:
    answer = await gateway.top(GET, product_id=ID, sign_method=method)
    plain = await gateway.router(GET, product_id=ID)
    assert answer.json == {"alibaba_product_get_response": plain.json}


async def test_the_whole_shape_of_an_error(gateway: Caller) -> None:
    answer = await gateway.router(GET, product_id=ID, sign="0" * 32)
    assert answer.status == 200
    assert answer.json == {
        "error_response": {
            "code": 25,
            "msg": "Invalid Signature",
            "sub_code": "isv.invalid-signature",
            "sub_msg": "wrong signature",
            "request_id": "000000000001",
        }
    }


@BOTH
@pytest.mark.parametrize(
    ("name", "params", "code"),
    [
        (None, {}, 21),
        ("alibaba.nothing", {}, 22),
        (GET, {"app_key": None}, 28),
        (GET, {"app_key": "1"}, 29),
        (GET, {"sign": None}, 24),
        (GET, {"sign": "x"}, 25),
        (GET, {"timestamp": None}, 30),
        (GET, {"timestamp": "1"}, 31),
        (GET, {"timestamp": "2026-13-01 00:00:00"}, 31),
        (GET, {"skew": -601}, 31),
        (GET, {"skew": 660}, 31),
        (GET, {"format": "xml"}, 23),
        (GET, {"format": None}, 23),
        (GET, {}, 40),
        (GET, {"product_id": ""}, 40),
        ("alibaba.product.search", {}, 40),
        ("alibaba.product.search", {"keyword": "a", "page_no": "0"}, 41),
        ("alibaba.product.search", {"keyword": "a", "page_size": "101"}, 41),
        (GET, {"product_id": "1"}, 15),
    ],
)
async def test_errors(
    gateway: Caller, family: str, name: str | None, params: dict[str, Any], code: int
) -> None:
    answer = await getattr(gateway, family)(name, **params)
    assert (answer.status, answer.code) == (200, code)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"http": "GET"}, 9),
        ({"v": None}, 32),
        ({"v": "1.0"}, 33),
        ({"sign_method": None}, 40),
        ({"sign_method": "sha1"}, 41),
    ],
)
async def test_errors_of_top_alone(gateway: Caller, params: dict[str, Any], code: int) -> None:
    assert (await gateway.top(GET, product_id=ID, **params)).code == code


@BOTH
async def test_a_product_that_does_not_exist(gateway: Caller, family: str) -> None:
    answer = await gateway.product(family, 1001)
    error = answer.json["error_response"]
    assert error["code"] == 15
    assert error["msg"] == "Remote Service Error"
    assert error["sub_code"] == "isv.item-not-exist"


async def test_a_missing_parameter_is_named(gateway: Caller) -> None:
    error = (await gateway.router(GET)).json["error_response"]
    assert error["sub_code"] == "isv.missing-parameter:product_id"


@BOTH
async def test_a_session_is_checked_when_one_is_required(
    start: Callable[..., Awaitable[Caller]], family: str
) -> None:
    call = getattr(await start(access_token="token"), family)
    assert (await call(GET, product_id=ID)).code == 26
    assert (await call(GET, product_id=ID, session="other")).code == 27
    assert b'"result"' in (await call(GET, product_id=ID, session="token")).body


@BOTH
async def test_the_order_of_checks(start: Callable[..., Awaitable[Caller]], family: str) -> None:
    call = getattr(await start(access_token="token", deny=[GET]), family)
    assert (await call("nothing", sign="x")).code == 22
    assert (await call(GET, sign="x")).code == 25
    assert (await call(GET)).code == 26
    assert (await call(GET, session="token")).code == 11
    assert (await call("alibaba.product.search", session="token")).code == 40


@pytest.mark.parametrize("sign", ["lower", "签名"])
async def test_a_signature_is_compared_letter_for_letter(gateway: Caller, sign: str) -> None:
    params = router_params(GET, product_id=ID)
    right = router_signature(params, SECRET)
    sent = params | {"sign": right.lower() if sign == "lower" else sign}
    assert (await gateway.send("POST", "/router/json", data=sent)).code == 25
    sent["sign"] = right
    assert (await gateway.send("POST", "/router/json", data=sent)).code is None


async def test_values_outside_ascii_and_with_signs_of_the_query_are_signed_raw(
    gateway: Caller,
) -> None:
    answer = await gateway.router("alibaba.product.search", keyword="杯 &=+%/20", http="GET")
    assert answer.json["result"]["totalCount"] == 20


async def test_a_form_that_is_not_utf8_is_refused(gateway: Caller) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (b"keyword=%ff", b"keyword=\xff"):
        answer = await gateway.send("POST", "/router/json", data=body, headers=form)
        assert answer.code == 47


async def test_a_parameter_given_twice_is_refused(gateway: Caller) -> None:
    answer = await gateway.send("GET", "/router/json?method=a&method=b")
    assert answer.json["error_response"]["sub_code"] == "isv.invalid-parameter:method"


async def test_other_paths_and_methods_are_unknown(gateway: Caller) -> None:
    assert (await gateway.send("GET", "/other")).status == 404
    assert (await gateway.send("PUT", "/router/json")).status == 405


async def test_only_the_chosen_protocols_are_served(
    start: Callable[..., Awaitable[Caller]],
) -> None:
    caller = await start(protocol=["param2"])
    assert (await caller.product("param2")).status == 200
    assert (await caller.product("router")).status == 404
    assert (await caller.product("top")).status == 404
    caller = await start(protocol=["top"])
    assert (await caller.product("param2")).status == 404


@pytest.mark.parametrize("http", ["GET", "POST"])
async def test_param2_answers_a_product(gateway: Caller, http: str) -> None:
    answer = await gateway.param2(PRODUCT, http=http, **CALL)
    assert answer.status == 200
    assert answer.json["productInfo"]["productID"] == int(ID)


async def test_the_time_is_a_bare_string_and_needs_a_signature_alone(
    start: Callable[..., Awaitable[Caller]],
) -> None:
    gateway = await start(access_token="token", qps=1)
    for _ in range(3):
        answer = await gateway.param2(TIME)
        assert re.fullmatch(r'"\d{17}\+0800"', answer.body.decode())
    assert (await gateway.param2(TIME, sign="x")).code == "gw.SignatureInvalid"


async def test_the_whole_shape_of_an_error_of_param2(gateway: Caller) -> None:
    answer = await gateway.param2(PRODUCT, sign="x", **CALL)
    assert answer.status == 400
    assert answer.json == {
        "error_code": "gw.SignatureInvalid",
        "error_message": "wrong signature",
        "exception": "wrong signature",
    }


@pytest.mark.parametrize(
    ("api", "params", "code"),
    [
        ("com.alibaba.product:nothing-1", CALL, "gw.APIUnsupported"),
        (PRODUCT.replace("-1", "-2"), CALL, "gw.APIUnsupported"),
        (PRODUCT, {"path": "param2/1/x"}, "gw.APIUnsupported"),
        (PRODUCT, {"path": "http/1/com.alibaba.product/alibaba.product.get/1000000"}, None),
        (PRODUCT, {"path": "param2/1/com.alibaba.product/alibaba.product.get"}, "gw.AppKeyMissing"),
        (PRODUCT, {"path": "param2/1/com.alibaba.product/alibaba.product.get/1"}, None),
        (PRODUCT, CALL | {"sign": None}, "gw.SignatureMissing"),
        (PRODUCT, CALL | {"sign": "x"}, "gw.SignatureInvalid"),
        (PRODUCT, CALL | {"_aop_timestamp": "1000"}, "400"),
        (PRODUCT, CALL | {"_aop_timestamp": "soon"}, "400"),
        (PRODUCT, {}, "gw.ParamMissing"),
        (PRODUCT, {"productID": ID}, "gw.ParamMissing"),
        (PRODUCT, {"productID": ID, "webSite": "taobao"}, "gw.ParamMissing"),
        (SIMPLE, {"webSite": "1688"}, "gw.ParamMissing"),
        (CROSS, {"productID": ID}, "gw.ParamMissing"),
        (OFFER, {}, "gw.ParamMissing"),
        (OFFER, {"offerDetailParam": {"offerId": ID}}, "gw.ParamMissing"),
        (OFFER, {"offerDetailParam": "{"}, "gw.ParamMissing"),
        (OFFER, {"offerDetailParam": "[]"}, "gw.ParamMissing"),
        (OFFERS, {"offerQueryParam": {"keyword": "杯"}}, "gw.ParamMissing"),
        (OFFERS, {"offerQueryParam": {"country": "en"}}, "gw.ParamMissing"),
        (OWN, {"pageNo": "x"}, "gw.ParamMissing"),
    ],
)
async def test_errors_of_param2(
    gateway: Caller, api: str, params: dict[str, Any], code: str | None
) -> None:
    answer = await gateway.param2(api, **params)
    expected = code or ("gw.AppKeyNotFound" if "param2" in params["path"] else "gw.APIUnsupported")
    assert (answer.status, answer.code) == (400, expected)


async def test_a_timestamp_is_checked_when_it_is_there(gateway: Caller) -> None:
    now = int(time.time() * 1000)
    for stamp, code in ((now, None), (now - 700_000, "400"), (now + 700_000, "400")):
        answer = await gateway.param2(PRODUCT, _aop_timestamp=str(stamp), **CALL)
        assert answer.code == code


@pytest.mark.parametrize(
    ("api", "params"),
    [
        (PRODUCT, {"productID": "5", "webSite": "1688"}),
        (SIMPLE, {"productID": "5", "webSite": "1688"}),
        (CROSS, {"productId": "5"}),
        (OFFER, {"offerDetailParam": {"offerId": 5, "country": "en"}}),
    ],
)
async def test_a_product_that_does_not_exist_in_param2(
    gateway: Caller, api: str, params: dict[str, Any]
) -> None:
    answer = await gateway.param2(api, **params)
    assert (answer.status, answer.json) == (200, {"errMsg": "商品[5]不存在"})


async def test_a_product_id_that_is_no_number_does_not_exist(gateway: Caller) -> None:
    answer = await gateway.param2(PRODUCT, productID="abc", webSite="1688")
    assert answer.json == {"errMsg": "商品[abc]不存在"}


async def test_a_token_is_checked_when_one_is_required(
    start: Callable[..., Awaitable[Caller]],
) -> None:
    gateway = await start(access_token="token")
    for token in ({}, {"access_token": "other"}):
        answer = await gateway.param2(PRODUCT, **CALL, **token)
        assert answer.status == 401
        assert answer.json["error_code"] == "401"
        assert answer.json["error_message"] == "Request need user authorized"
    answer = await gateway.param2(PRODUCT, **CALL, access_token="token")
    assert "productInfo" in answer.json


async def test_the_order_of_checks_of_param2(start: Callable[..., Awaitable[Caller]]) -> None:
    gateway = await start(access_token="token", deny=[PRODUCT])
    codes = [
        (await gateway.param2("a:b-1", sign="x")).code,
        (await gateway.param2(PRODUCT, sign="x")).code,
        (await gateway.param2(PRODUCT)).code,
        (await gateway.param2(PRODUCT, access_token="token")).code,
        (await gateway.param2(SIMPLE, access_token="token")).code,
    ]
    assert codes == [
        "gw.APIUnsupported",
        "gw.SignatureInvalid",
        "401",
        "gw.APIACLDecline",
        "gw.ParamMissing",
    ]


async def test_an_empty_parameter_is_not_signed(gateway: Caller) -> None:
    answer = await gateway.param2(PRODUCT, **CALL, extra="")
    assert "productInfo" in answer.json


async def test_a_page_that_is_too_large_is_refused(gateway: Caller) -> None:
    query = {"keyword": "杯", "country": "en", "pageSize": 51}
    for answer in (
        await gateway.param2(OFFERS, offerQueryParam=query),
        await gateway.param2(OWN, pageSize="21"),
    ):
        assert answer.status == 200
        assert answer.json["result"]["success"] is False
        assert answer.json["result"]["message"] == "the page is too large: pageSize"


WITHOUT_PARAMETERS = {
    "cn.alibaba.open:push.query.messageList-1",
    "cn.alibaba.open:push.cursor.messageList-1",
}
"""APIs that need none."""


@pytest.mark.parametrize("api", sorted(set(PARAM2_APIS) - {OWN}))
async def test_a_call_without_parameters_tells_whether_an_api_is_open(
    start: Callable[..., Awaitable[Caller]], api: str
) -> None:
    gateway = await start(access_token="token", deny=[api])
    codes = [(await gateway.param2(api, sign="x")).code]
    if api not in OPEN_APIS:
        codes.append((await gateway.param2(api)).code)
        assert codes.pop() == "401"
    codes.append((await gateway.param2(api, access_token="token")).code)
    await gateway.control("settings", {"deny": []})
    codes.append((await gateway.param2(api, access_token="token")).code)
    last = None if api in WITHOUT_PARAMETERS else "gw.ParamMissing"
    assert codes == ["gw.SignatureInvalid", "gw.APIACLDecline", last]
