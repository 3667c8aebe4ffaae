from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from ali1688_spider.gateway.errors import CallError, Reaction, read_answer


def error_of(protocol: str, payload: Any, status: int = 200) -> CallError:
    with pytest.raises(CallError) as caught:
        read_answer(protocol, status, {}, json.dumps(payload).encode())
    return caught.value


@pytest.mark.parametrize("protocol", ["router", "top"])
@pytest.mark.parametrize(
    ("codes", "sub_code", "reaction", "error_class"),
    [
        ([7, 8], "", Reaction.WAIT, "flow_control"),
        ([7], "accesscontrol.limited-by-app-access-count", Reaction.WAIT, "flow_control"),
        ([15], "accesscontrol.limited-by-api-access-count", Reaction.WAIT, "flow_control"),
        ([15, 40], "isv.access-limited-by-frequency", Reaction.WAIT, "flow_control"),
        ([7, 8], "accesscontrol.limited-by-app-daily-count", Reaction.API_PAUSED, "daily_quota"),
        ([7, 15], "isv.access-limited-by-daily-count", Reaction.API_PAUSED, "daily_quota"),
        ([4, 5, 6, 10], "", Reaction.RETRY, "service"),
        ([15], "", Reaction.RETRY, "service"),
        ([15, 50], "isp.top-remote-connection-timeout", Reaction.RETRY, "service"),
        ([41], "isp.null-pointer-exception", Reaction.RETRY, "service"),
        ([15, 40], "isv.invalid-parameter:num_iid", Reaction.CALL_WRONG, "call_wrong"),
        ([15, 50], "isv.pid-not-correct", Reaction.CALL_WRONG, "call_wrong"),
        ([15, 50], "isv.item-not-exist", Reaction.GONE, "product_gone"),
        ([15], "isv.item-not-exist:invalid-numIid-or-iid", Reaction.GONE, "product_gone"),
        ([15], "isv.item-is-delete:invalid-numIid-or-iid", Reaction.GONE, "product_gone"),
        ([15], "isv.product-not-exist", Reaction.GONE, "product_gone"),
        ([26, 27], "", Reaction.REFRESH_TOKEN, "token"),
        ([27], "isv.invalid-session", Reaction.REFRESH_TOKEN, "token"),
        ([50], "invalid-sessionkey", Reaction.REFRESH_TOKEN, "token"),
        ([15], "session-expired", Reaction.REFRESH_TOKEN, "token"),
        ([30, 31], "", Reaction.CLOCK, "clock"),
        ([31, 15], "isv.timestamp-limit-error", Reaction.CLOCK, "clock"),
        ([15], "isv.invalid-timestamp", Reaction.CLOCK, "clock"),
        ([11, 12, 13], "", Reaction.API_CLOSED, "permission"),
        ([11], "isv.permission-api-package-limit", Reaction.API_CLOSED, "permission"),
        ([24, 25], "", Reaction.FATAL, "signature"),
        ([25], "isv.invalid-signature", Reaction.FATAL, "signature"),
        ([28, 29], "", Reaction.FATAL, "app_key"),
        ([29], "isv.appkey-not-exists", Reaction.FATAL, "app_key"),
        ([21, 22, 23, 32, 33, 34, 40, 41, 42, 43], "", Reaction.CALL_WRONG, "call_wrong"),
        ([999], "", Reaction.RETRY, "unknown_refusal"),
    ],
)
def test_numbered_codes(
    protocol: str, codes: list[int], sub_code: str, reaction: Reaction, error_class: str
) -> None:
    for code, status in product(codes, (200, 400, 503)):
        for written in (code, str(code)):
            refusal = {"code": written, "msg": "no", "sub_code": sub_code}
            error = error_of(protocol, {"error_response": refusal}, status)
            assert (error.reaction, error.error_class) == (reaction, error_class)
            assert (error.code, error.sub_code) == (str(code), sub_code)
            assert (error.message, error.status) == ("no", status)


def test_words_decide_where_codes_do_not() -> None:
    refusal = {"code": 15, "msg": "Remote service error", "sub_msg": "该商品已下架"}
    error = error_of("top", {"error_response": refusal})
    assert error.reaction is Reaction.GONE
    assert error.message == "Remote service error: 该商品已下架"


def test_an_error_response_may_be_a_bare_text() -> None:
    assert error_of("router", {"error_response": "Too many requests"}).reaction is Reaction.WAIT
    assert error_of("router", {"error_response": ""}).reaction is Reaction.RETRY


@pytest.mark.parametrize(
    ("seconds", "reaction"),
    [(1, Reaction.WAIT), (9_999, Reaction.WAIT), (10_000, Reaction.API_PAUSED)],
)
def test_a_ban_of_hours_is_the_end_of_the_day_s_calls(seconds: int, reaction: Reaction) -> None:
    refusal = {
        "code": 7,
        "sub_code": "accesscontrol.limited-by-app-access-count",
        "sub_msg": f"This ban will last for {seconds} more seconds",
    }
    assert error_of("router", {"error_response": refusal}).reaction is reaction


@pytest.mark.parametrize("names", [("error_code", "error_message"), ("errorCode", "errorMessage")])
@pytest.mark.parametrize("status", [200, 400, 401, 500])
@pytest.mark.parametrize(
    ("code", "reaction", "error_class"),
    [
        ("gw.SignatureInvalid", Reaction.FATAL, "signature"),
        ("gw.SignatureMissing", Reaction.FATAL, "signature"),
        ("gw.AppKeyMissing", Reaction.FATAL, "app_key"),
        ("gw.AppKeyNotFound", Reaction.FATAL, "app_key"),
        ("gw.APIUnsupported", Reaction.API_CLOSED, "api_unknown"),
        ("gw.APIACLDecline", Reaction.API_CLOSED, "permission"),
        ("gw.NoUsageLeftError", Reaction.API_CLOSED, "package_used_up"),
        ("gw.ParamMissing", Reaction.CALL_WRONG, "call_wrong"),
        ("gw.QosAppFrequencyLimit", Reaction.WAIT, "flow_control"),
        ("gw.QosAPIFrequencyLimit", Reaction.WAIT, "flow_control"),
        ("gw.QosUserFrequencyLimit", Reaction.WAIT, "flow_control"),
        ("gw.QosAppDailyLimit", Reaction.API_PAUSED, "daily_quota"),
        ("401", Reaction.REFRESH_TOKEN, "token"),
        (401, Reaction.REFRESH_TOKEN, "token"),
        ("gw.TimestampInvalid", Reaction.CLOCK, "clock"),
        ("gw.ServiceTimeout", Reaction.RETRY, "service"),
        ("gw.SomethingNew", Reaction.RETRY, "unknown_refusal"),
        (500, Reaction.RETRY, "service"),
    ],
)
def test_named_codes(
    names: tuple[str, str], status: int, code: str | int, reaction: Reaction, error_class: str
) -> None:
    payload = {names[0]: code, names[1]: "said so", "exception": "said so"}
    error = error_of("param2", payload, status)
    assert (error.reaction, error.error_class) == (reaction, error_class)
    assert (error.code, error.message, error.status) == (str(code), "said so", status)


@pytest.mark.parametrize("message", ["Request is expired.", "invalid _aop_timestamp"])
def test_param2_refuses_a_timestamp_with_a_code_of_no_meaning(message: str) -> None:
    error = error_of("param2", {"error_code": "400", "error_message": message}, 400)
    assert (error.reaction, error.error_class) == (Reaction.CLOCK, "clock")


def test_the_same_number_means_something_else_in_another_protocol() -> None:
    payload = {"error_code": "7", "error_message": "no"}
    assert error_of("router", payload).reaction is Reaction.WAIT
    assert error_of("param2", payload).error_class == "unknown_refusal"


@pytest.mark.parametrize(
    "payload",
    [
        {"error_code": "401", "exception": "Request need user authorized"},
        {"error": "Request need user authorized"},
        {"result": {"success": "false", "errorMessage": "User authorization is required"}},
    ],
)
def test_the_ways_to_refuse_a_token(payload: dict[str, Any]) -> None:
    assert error_of("param2", payload).reaction is Reaction.REFRESH_TOKEN


@pytest.mark.parametrize(
    ("code", "reaction", "error_class"),
    [
        ("invalid_grant", Reaction.FATAL, "authorization"),
        ("invalid_client", Reaction.FATAL, "authorization"),
        ("access_denied", Reaction.FATAL, "authorization"),
        ("temporarily_unavailable", Reaction.RETRY, "service"),
    ],
)
def test_refused_authorisations(code: str, reaction: Reaction, error_class: str) -> None:
    payload = {"error": code, "error_description": "refresh token expired"}
    error = error_of("param2", payload, 400)
    assert (error.reaction, error.error_class) == (reaction, error_class)
    assert error.message == "refresh token expired"


@pytest.mark.parametrize("protocol", ["router", "param2", "top"])
@pytest.mark.parametrize(
    ("payload", "reaction"),
    [
        ({"errMsg": "商品[610000000001]不存在"}, Reaction.GONE),
        ({"errMsg": "商品[…]不存在"}, Reaction.GONE),
        ({"errMsg": "商品[610000000001]不存在", "productInfo": {}}, Reaction.GONE),
        ({"productInfo": None, "errMsg": "商品不存在或已下架"}, Reaction.GONE),
        ({"success": "false", "errorMessage": "该商品信息已经被删除"}, Reaction.GONE),
        ({"result": {"success": False, "code": "OFFER_NOT_EXIST", "message": ""}}, Reaction.GONE),
        ({"success": False, "errorMessage": "offer 610000000001 does not exist"}, Reaction.GONE),
        ({"success": False, "errorCode": "ProductNotFound"}, Reaction.GONE),
        ({"success": False, "errorMessage": "Product [id=610000000001] not found"}, Reaction.GONE),
        ({"success": False, "errorMessage": "item is offline"}, Reaction.GONE),
        ({"success": False, "errorMessage": "商品类目不存在"}, Reaction.RETRY),
        ({"success": False, "errorMessage": "调用过于频繁,请稍后再试"}, Reaction.WAIT),
        ({"success": False, "errorCode": "FLOW_CONTROL", "errorMessage": ""}, Reaction.WAIT),
        (
            {"success": False, "errorCode": "SYSTEM_ERROR", "errorMessage": "系统异常"},
            Reaction.RETRY,
        ),
        ({"result": {"success": False, "code": "500", "message": "oops"}}, Reaction.RETRY),
        (
            {"result": {"success": False, "code": "400_1", "message": "参数错误"}},
            Reaction.CALL_WRONG,
        ),
        ({"success": False, "errorCode": "PARAM_ERROR", "errorMessage": "x"}, Reaction.CALL_WRONG),
        ({"success": False, "errorMessage": "没有权限查看该商品"}, Reaction.CALL_WRONG),
        ({"success": "false"}, Reaction.RETRY),
        ({"success": False}, Reaction.RETRY),
        ({"result": {"success": True, "result": {"success": "false"}}}, Reaction.RETRY),
        ({"errorCode": "X1", "errorMessage": "no", "result": {}}, Reaction.RETRY),
    ],
)
def test_business_errors(protocol: str, payload: dict[str, Any], reaction: Reaction) -> None:
    assert error_of(protocol, payload).reaction is reaction


def test_what_a_business_error_says_is_kept() -> None:
    payload = {"result": {"success": False, "code": "400_1", "message": "参数\n 错误"}}
    error = error_of("param2", payload)
    assert (error.code, error.message) == ("400_1", "参数 错误")
    assert str(error) == "400_1: 参数 错误 (HTTP 200)"


def test_an_error_inside_a_response_wrapper_is_found() -> None:
    payload = {"alibaba_product_get_response": {"result": {"success": False}}}
    assert error_of("top", payload).error_class == "unknown_refusal"
