from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.caller import CROSS, OFFER, OFFERS, OWN, PRODUCT, SIMPLE, TIME

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.sandbox.caller import Caller

ID = "610000000001"
CALL = {"productID": ID, "webSite": "1688"}


@pytest.mark.parametrize("http", ["GET", "POST"])
async def test_answers_a_product(gateway: Caller, http: str) -> None:
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


async def test_the_whole_shape_of_an_error(gateway: Caller) -> None:
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
async def test_errors(gateway: Caller, api: str, params: dict[str, Any], code: str | None) -> None:
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
async def test_a_product_that_does_not_exist(
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


async def test_the_order_of_checks(start: Callable[..., Awaitable[Caller]]) -> None:
    gateway = await start(access_token="token", deny=(PRODUCT,))
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
