from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from ali1688_spider.sandbox.faults import Fault, Faults, parse_faults
from ali1688_spider.sandbox.options import Options
from ali1688_spider.sandbox.platform_errors import REFUSALS
from tests.sandbox.caller import FIRST, PRODUCT, TIME, TOKEN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.sandbox.caller import Answer, Caller

FAMILIES = pytest.mark.parametrize("family", ["router", "top", "param2"])


async def struck(gateway: Caller, family: str, fault: str) -> Answer:
    await gateway.control("faults", {"product_id": FIRST, "faults": [fault]})
    return await gateway.product(family)


@pytest.mark.parametrize("name", sorted(REFUSALS))
async def test_every_error_of_the_platform(gateway: Caller, name: str) -> None:
    refusal = REFUSALS[name]
    for family in ("router", "top"):
        answer = await struck(gateway, family, name)
        assert answer.status == 200
        error = answer.json["error_response"]
        assert set(error) == {"code", "msg", "sub_code", "sub_msg", "request_id"}
        assert (error["code"], error["sub_code"]) == (refusal.code, refusal.sub_code)
    answer = await struck(gateway, "param2", name)
    assert answer.status == refusal.status
    shapes = {
        "snake": {
            "error_code": refusal.gateway_code,
            "error_message": refusal.message,
            "exception": refusal.message,
        },
        "camel": {"errorCode": refusal.gateway_code, "errorMessage": refusal.message},
        "gone": {"errMsg": refusal.message},
    }
    if refusal.shape in shapes:
        assert answer.json == shapes[refusal.shape]
    assert refusal.message in json.dumps(answer.json, ensure_ascii=False)


def failed(**fields: Any) -> dict[str, Any]:
    return {"result": {"success": False} | fields}


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        (
            "app-key-expired",
            400,
            {
                "code": "AppKeyExpired",
                "codeType": "ISV",
                "success": False,
                "message": "the app key is expired",
            },
        ),
        (
            "app-key-not-allowed",
            400,
            {
                "error_message": "AppKey is not allowed(acl)",
                "exception": "AppKey is not allowed(acl)",
            },
        ),
        (
            "unauthenticated",
            401,
            {
                "error_message": "Request need user authenticated",
                "exception": "Request need user authenticated",
            },
        ),
        (
            "app-call-frequency-200",
            200,
            {
                "error_message": "Beyond the app call frequency limit",
                "exception": "Beyond the app call frequency limit",
            },
        ),
        (
            "bare-signature",
            400,
            {
                "error_code": "SignatureInvalid",
                "error_message": "wrong signature",
                "exception": "wrong signature",
            },
        ),
        ("ret-code", 200, failed(retCode="500", retMsg="系统异常")),
        ("msg-code", 200, {"success": False, "msgCode": "SYSTEM_ERROR", "msgInfo": "系统异常"}),
        ("is-success", 200, {"isSuccess": False, "errorCode": "500", "errorMessage": "系统异常"}),
        ("result-code", 200, {"resultCode": "500", "resultMessage": "系统异常"}),
        ("minus-one", 200, {"code": -1, "message": "系统异常"}),
        ("not-published", 200, failed(code="500", message="offer status is not published")),
        ("not-own-order", 200, failed(code="401", message="不是自己的订单")),
        ("general-400", 200, failed(code="400", message="参数错误")),
    ],
)
async def test_refusals_come_in_many_shapes(
    gateway: Caller, name: str, status: int, body: dict[str, Any]
) -> None:
    answer = await struck(gateway, "param2", name)
    assert (answer.status, answer.json) == (status, body)


async def test_a_success_may_bear_a_message(gateway: Caller) -> None:
    good = await gateway.product("param2")
    answer = await struck(gateway, "param2", "success-with-message")
    assert answer.json == good.json | {"success": True, "errorMessage": "操作成功"}


def test_every_code_of_the_platform_is_there() -> None:
    codes = {refusal.code for refusal in REFUSALS.values()}
    assert codes >= {4, 5, 6, 7, 8, 10, 11, 12, 13, 15, *range(21, 35), *range(40, 44)}
    names = {refusal.gateway_code for refusal in REFUSALS.values()}
    assert names >= {
        "gw.SignatureInvalid",
        "gw.SignatureMissing",
        "gw.AppKeyMissing",
        "gw.AppKeyNotFound",
        "gw.APIUnsupported",
        "gw.APIACLDecline",
        "gw.ParamMissing",
        "gw.QosAppFrequencyLimit",
        "gw.QosAPIFrequencyLimit",
        "gw.NoUsageLeftError",
        "401",
        "SignatureInvalid",
        "APIUnsupported",
        "ISPInvokeError",
    }


@FAMILIES
@pytest.mark.parametrize(
    ("fault", "body"),
    [
        ("business-false", {"result": {"success": False, "code": "500", "message": "系统异常"}}),
        (
            "business-error",
            {"success": False, "errorCode": "500_2", "errorMessage": "系统异常"},
        ),
        ("string-false", {"success": "false"}),
        (
            "null-result",
            {"result": {"success": True, "code": "200", "message": "ok", "result": None}},
        ),
        ("bare-null-result", {"result": None}),
    ],
)
async def test_business_errors(
    gateway: Caller, family: str, fault: str, body: dict[str, Any]
) -> None:
    answer = await struck(gateway, family, fault)
    wrapped = {"alibaba_product_get_response": body} if family == "top" else body
    assert (answer.status, answer.json) == (200, wrapped)


@FAMILIES
@pytest.mark.parametrize(
    ("fault", "retry_after"),
    [
        ("500", None),
        ("502", None),
        ("503", "1"),
        ("503:7", "7"),
        ("504", None),
        ("429", "1"),
        ("429:30", "30"),
    ],
)
async def test_statuses(gateway: Caller, family: str, fault: str, retry_after: str | None) -> None:
    answer = await struck(gateway, family, fault)
    assert answer.status == int(fault[:3])
    assert answer.headers.get("Retry-After") == retry_after
    assert answer.headers["Content-Type"].startswith("text/html")


@FAMILIES
async def test_bodies_that_are_no_answer(gateway: Caller, family: str) -> None:
    good = await gateway.product(family)
    assert (await struck(gateway, family, "html")).body.startswith(b"<html>")
    assert (await struck(gateway, family, "empty")).body == b""
    assert (await struck(gateway, family, "bare-string")).body == b'"error"'
    assert (await struck(gateway, family, "null")).body == b"null"
    assert (await struck(gateway, family, "list")).body == b"[]"
    truncated = await struck(gateway, family, "truncated")
    assert truncated.body == good.body[: len(good.body) // 2]
    huge = await struck(gateway, family, "huge:1")
    assert huge.body.rstrip() == good.body
    assert len(huge.body) == len(good.body) + 2**20
    slow = await struck(gateway, family, "slow:0")
    assert slow.body == good.body


@FAMILIES
async def test_a_redirect_leads_to_another_place(gateway: Caller, family: str) -> None:
    answer = await struck(gateway, family, "redirect")
    assert (answer.status, answer.headers["Location"]) == (302, "http://127.0.0.1:9/elsewhere")


@FAMILIES
@pytest.mark.parametrize(
    ("fault", "error"),
    [("reset", aiohttp.ClientConnectionError), ("cut-connection", aiohttp.ClientPayloadError)],
)
async def test_broken_connections(
    gateway: Caller, family: str, fault: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await struck(gateway, family, fault)
    assert b"result" in (await gateway.product("router")).body


async def test_a_slow_answer_comes_late(gateway: Caller) -> None:
    await gateway.control("faults", {"product_id": FIRST, "faults": ["slow:60"]})
    timeout = aiohttp.ClientTimeout(total=0.2)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        impatient = type(gateway)(gateway.sandbox, session)
        with pytest.raises(TimeoutError):
            await impatient.product("param2")


async def test_a_product_that_is_gone_is_struck_like_others(gateway: Caller) -> None:
    await gateway.control(f"products/{FIRST}", {"removed": True})
    assert (await struck(gateway, "param2", "500")).status == 500
    assert (await struck(gateway, "param2", "empty")).body == b""
    slow = await struck(gateway, "param2", "slow:0")
    assert slow.json == {"errMsg": f"商品[{FIRST}]不存在"}
    report = await gateway.status()
    assert (report["answered"], report["errors"]) == (0, {"not-found": 1})


async def test_a_ban_names_its_seconds(gateway: Caller) -> None:
    answer = await struck(gateway, "router", "ban:17")
    assert answer.json["error_response"]["sub_msg"] == "This ban will last for 17 more seconds"
    answer = await struck(gateway, "param2", "ban:17")
    assert answer.json["error_message"] == "This ban will last for 17 more seconds"


@FAMILIES
async def test_a_product_struck_succeeds_after_its_tries(
    start: Callable[..., Awaitable[Caller]], family: str
) -> None:
    gateway = await start(faults="500,html", fault_times=2)
    statuses = [(await gateway.product(family)).status for _ in range(4)]
    assert statuses == [500, 200, 200, 200]
    report = await gateway.status()
    assert report["faults"] == {"500": 1, "html": 1}
    assert report["by_product"] == {str(FIRST): 4}
    assert report["answered"] == 2
    assert (await gateway.product(family, 2)).body.startswith(b"<html>")


async def test_pages_are_struck_too(start: Callable[..., Awaitable[Caller]]) -> None:
    gateway = await start(faults="500")
    search = "alibaba.product.search"
    statuses = [(await gateway.router(search, keyword="杯子5")).status for _ in range(2)]
    assert statuses == [500, 200]


async def test_the_right_share_is_struck_evenly_with_all_faults() -> None:
    faults = Faults(Options(faults="500,html,empty,isp", fault_rate=0.6))
    dealt = [faults.take(PRODUCT, FIRST + number) for number in range(150)]
    assert dealt.count(None) == 60
    share = Counter(fault.name for fault in dealt if fault)
    assert set(share) == {"500", "html", "empty", "isp"}
    assert min(share.values()) >= 20


async def test_zero_times_is_for_ever(start: Callable[..., Awaitable[Caller]]) -> None:
    gateway = await start(faults="500", fault_times=0)
    assert {(await gateway.product("router")).status for _ in range(5)} == {500}


async def test_faults_of_an_api(gateway: Caller) -> None:
    for api in (PRODUCT, TIME, TOKEN):
        await gateway.control("faults", {"api": api, "faults": ["500"]})
    assert (await gateway.product("param2", 5)).status == 500
    assert (await gateway.product("param2", 5)).status == 200
    assert (await gateway.param2(TIME)).status == 500
    assert (await gateway.param2(TIME)).status == 200
    assert (await gateway.param2(TOKEN)).status == 500
    assert (await gateway.param2(TOKEN)).status == 400


async def test_faults_can_be_changed_while_running(gateway: Caller) -> None:
    await gateway.control("faults", {"faults": [500, "502"], "rate": 1.0, "times": 0})
    assert (await gateway.product("router")).status == 500
    assert (await gateway.product("router", 2)).status == 502
    await gateway.control("faults", {"faults": []})
    assert (await gateway.product("router")).status == 200


@FAMILIES
async def test_all_errors_may_have_another_status(gateway: Caller, family: str) -> None:
    for status in (200, 403):
        await gateway.control("settings", {"error_status": status})
        answer = await struck(gateway, family, "permission")
        assert answer.status == status
        assert json.loads(answer.body)


def test_a_specification() -> None:
    expected = [Fault("500"), Fault("slow", 3.0), Fault("503", 1.0), Fault("rate-limit")]
    assert parse_faults("500, slow:3,,503,rate-limit") == expected
    assert parse_faults("") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "there is no fault 'nothing': give some of 429, 500"),
        ("slow:x", "the fault 'slow:x' has no number after its colon"),
        ("slow:", "the fault 'slow:' has no number after its colon"),
        ("slow:-1", "the fault 'slow:-1' has no number after its colon"),
    ],
)
def test_a_wrong_specification(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_faults(text)
