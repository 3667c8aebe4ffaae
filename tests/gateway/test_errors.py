from __future__ import annotations

import copy
import json
from itertools import product
from typing import Any

import pytest

from ali1688_spider.gateway import errors
from ali1688_spider.gateway.errors import CallError, ErrorAction
from ali1688_spider.gateway.protocols import WireResponse
from ali1688_spider.gateway.response import read_response


def error_of(protocol: str, payload: Any, status: int = 200) -> CallError:
    with pytest.raises(CallError) as caught:
        read_response(protocol, WireResponse(status, {}, json.dumps(payload).encode()))
    return caught.value


@pytest.mark.parametrize("protocol", ["router", "top"])
@pytest.mark.parametrize(
    ("codes", "sub_code", "action", "error_class"),
    [
        ([7, 8], "", ErrorAction.WAIT, "flow_control"),
        ([7], "accesscontrol.limited-by-app-access-count", ErrorAction.WAIT, "flow_control"),
        ([15], "accesscontrol.limited-by-api-access-count", ErrorAction.WAIT, "flow_control"),
        ([15, 40], "isv.access-limited-by-frequency", ErrorAction.WAIT, "flow_control"),
        ([7, 8], "accesscontrol.limited-by-app-daily-count", ErrorAction.CLOSE, "daily_quota"),
        ([7, 15], "isv.access-limited-by-daily-count", ErrorAction.CLOSE, "daily_quota"),
        ([4, 5, 6, 10], "", ErrorAction.RETRY, "service"),
        ([15], "", ErrorAction.RETRY, "service"),
        ([15, 50], "isp.top-remote-connection-timeout", ErrorAction.RETRY, "service"),
        ([41], "isp.null-pointer-exception", ErrorAction.RETRY, "service"),
        ([15, 40], "isv.invalid-parameter:num_iid", ErrorAction.GIVE_UP, "call_wrong"),
        ([15, 50], "isv.pid-not-correct", ErrorAction.GIVE_UP, "call_wrong"),
        ([15, 50], "isv.item-not-exist", ErrorAction.GONE, "product_gone"),
        ([15], "isv.item-not-exist:invalid-numIid-or-iid", ErrorAction.GONE, "product_gone"),
        ([15], "isv.item-is-delete:invalid-numIid-or-iid", ErrorAction.GONE, "product_gone"),
        ([15], "isv.product-not-exist", ErrorAction.GONE, "product_gone"),
        ([26, 27], "", ErrorAction.REFRESH_TOKEN, "token"),
        ([27], "isv.invalid-session", ErrorAction.REFRESH_TOKEN, "token"),
        ([50], "invalid-sessionkey", ErrorAction.REFRESH_TOKEN, "token"),
        ([15], "session-expired", ErrorAction.REFRESH_TOKEN, "token"),
        ([30, 31], "", ErrorAction.CLOCK, "clock"),
        ([31, 15], "isv.timestamp-limit-error", ErrorAction.CLOCK, "clock"),
        ([15], "isv.invalid-timestamp", ErrorAction.CLOCK, "clock"),
        ([11, 12, 13], "", ErrorAction.CLOSE, "permission"),
        ([11], "isv.permission-api-package-limit", ErrorAction.CLOSE, "permission"),
        ([24, 25], "", ErrorAction.CLOSE, "signature"),
        ([25], "isv.invalid-signature", ErrorAction.CLOSE, "signature"),
        ([28, 29], "", ErrorAction.CLOSE, "app_key"),
        ([29], "isv.appkey-not-exists", ErrorAction.CLOSE, "app_key"),
        ([21, 22, 23, 32, 33, 34, 40, 41, 42, 43], "", ErrorAction.GIVE_UP, "call_wrong"),
        ([999], "", ErrorAction.RETRY, "unknown_refusal"),
    ],
)
def test_numbered_codes(
    protocol: str, codes: list[int], sub_code: str, action: ErrorAction, error_class: str
) -> None:
    for code, status in product(codes, (200, 400, 503)):
        for written in (code, str(code)):
            refusal = {"code": written, "msg": "no", "sub_code": sub_code}
            error = error_of(protocol, {"error_response": refusal}, status)
            assert (error.action, error.error_class) == (action, error_class)
            assert (error.code, error.sub_code) == (str(code), sub_code)
            assert (error.message, error.status) == ("no", status)


def test_words_decide_where_codes_do_not() -> None:
    refusal = {"code": 15, "msg": "Remote service error", "sub_msg": "该商品已下架"}
    error = error_of("top", {"error_response": refusal})
    assert error.action is ErrorAction.GONE
    assert error.message == "Remote service error: 该商品已下架"


def test_an_error_response_may_be_a_bare_text() -> None:
    assert error_of("router", {"error_response": "Too many requests"}).action is ErrorAction.WAIT
    assert error_of("router", {"error_response": ""}).action is ErrorAction.RETRY


@pytest.mark.parametrize(
    ("seconds", "action"),
    [(1, ErrorAction.WAIT), (9_999, ErrorAction.WAIT), (10_000, ErrorAction.CLOSE)],
)
def test_a_ban_of_hours_is_the_end_of_the_day_s_calls(seconds: int, action: ErrorAction) -> None:
    refusal = {
        "code": 7,
        "sub_code": "accesscontrol.limited-by-app-access-count",
        "sub_msg": f"This ban will last for {seconds} more seconds",
    }
    assert error_of("router", {"error_response": refusal}).action is action


@pytest.mark.parametrize("names", [("error_code", "error_message"), ("errorCode", "errorMessage")])
@pytest.mark.parametrize("status", [200, 400, 401, 500])
@pytest.mark.parametrize(
    ("code", "action", "error_class"),
    [
        ("gw.SignatureInvalid", ErrorAction.CLOSE, "signature"),
        ("gw.SignatureMissing", ErrorAction.CLOSE, "signature"),
        ("gw.AppKeyMissing", ErrorAction.CLOSE, "app_key"),
        ("gw.AppKeyNotFound", ErrorAction.CLOSE, "app_key"),
        ("gw.APIUnsupported", ErrorAction.CLOSE, "api_unknown"),
        ("gw.APIACLDecline", ErrorAction.CLOSE, "permission"),
        ("gw.NoUsageLeftError", ErrorAction.CLOSE, "package_used_up"),
        ("gw.ParamMissing", ErrorAction.GIVE_UP, "call_wrong"),
        ("gw.QosAppFrequencyLimit", ErrorAction.WAIT, "flow_control"),
        ("gw.QosAPIFrequencyLimit", ErrorAction.WAIT, "flow_control"),
        ("gw.QosUserFrequencyLimit", ErrorAction.WAIT, "flow_control"),
        ("gw.QosAppDailyLimit", ErrorAction.CLOSE, "daily_quota"),
        ("401", ErrorAction.REFRESH_TOKEN, "token"),
        (401, ErrorAction.REFRESH_TOKEN, "token"),
        ("gw.TimestampInvalid", ErrorAction.CLOCK, "clock"),
        ("gw.ServiceTimeout", ErrorAction.RETRY, "service"),
        ("gw.SomethingNew", ErrorAction.RETRY, "unknown_refusal"),
        (500, ErrorAction.RETRY, "service"),
    ],
)
def test_named_codes(
    names: tuple[str, str], status: int, code: str | int, action: ErrorAction, error_class: str
) -> None:
    payload = {names[0]: code, names[1]: "said so", "exception": "said so"}
    error = error_of("param2", payload, status)
    assert (error.action, error.error_class) == (action, error_class)
    assert (error.code, error.message, error.status) == (str(code), "said so", status)


@pytest.mark.parametrize("message", ["Request is expired.", "invalid _aop_timestamp"])
def test_param2_refuses_a_timestamp_with_a_code_of_no_meaning(message: str) -> None:
    error = error_of("param2", {"error_code": "400", "error_message": message}, 400)
    assert (error.action, error.error_class) == (ErrorAction.CLOCK, "clock")


def test_the_same_number_means_something_else_in_another_protocol() -> None:
    payload = {"error_code": "7", "error_message": "no"}
    assert error_of("router", payload).action is ErrorAction.WAIT
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
    assert error_of("param2", payload).action is ErrorAction.REFRESH_TOKEN


@pytest.mark.parametrize(
    ("code", "action", "error_class"),
    [
        ("invalid_grant", ErrorAction.CLOSE, "authorization"),
        ("invalid_client", ErrorAction.CLOSE, "authorization"),
        ("access_denied", ErrorAction.CLOSE, "authorization"),
        ("temporarily_unavailable", ErrorAction.RETRY, "service"),
    ],
)
def test_refused_authorisations(code: str, action: ErrorAction, error_class: str) -> None:
    payload = {"error": code, "error_description": "refresh token expired"}
    error = error_of("param2", payload, 400)
    assert (error.action, error.error_class) == (action, error_class)
    assert error.message == "refresh token expired"


@pytest.mark.parametrize("protocol", ["router", "param2", "top"])
@pytest.mark.parametrize(
    ("payload", "action"),
    [
        ({"errMsg": "商品[610000000001]不存在"}, ErrorAction.GONE),
        ({"errMsg": "商品[…]不存在"}, ErrorAction.GONE),
        ({"errMsg": "商品[610000000001]不存在", "productInfo": {}}, ErrorAction.GONE),
        ({"productInfo": None, "errMsg": "商品不存在或已下架"}, ErrorAction.GONE),
        ({"success": "false", "errorMessage": "该商品信息已经被删除"}, ErrorAction.GONE),
        (
            {"result": {"success": False, "code": "OFFER_NOT_EXIST", "message": ""}},
            ErrorAction.GONE,
        ),
        ({"success": False, "errorMessage": "offer 610000000001 does not exist"}, ErrorAction.GONE),
        ({"success": False, "errorCode": "ProductNotFound"}, ErrorAction.GONE),
        (
            {"success": False, "errorMessage": "Product [id=610000000001] not found"},
            ErrorAction.GONE,
        ),
        ({"success": False, "errorMessage": "item is offline"}, ErrorAction.GONE),
        ({"success": False, "errorMessage": "商品类目不存在"}, ErrorAction.RETRY),
        ({"success": False, "errorMessage": "调用过于频繁,请稍后再试"}, ErrorAction.WAIT),
        ({"success": False, "errorCode": "FLOW_CONTROL", "errorMessage": ""}, ErrorAction.WAIT),
        (
            {"success": False, "errorCode": "SYSTEM_ERROR", "errorMessage": "系统异常"},
            ErrorAction.RETRY,
        ),
        ({"result": {"success": False, "code": "500", "message": "oops"}}, ErrorAction.RETRY),
        (
            {"result": {"success": False, "code": "400_1", "message": "参数错误"}},
            ErrorAction.GIVE_UP,
        ),
        ({"success": False, "errorCode": "PARAM_ERROR", "errorMessage": "x"}, ErrorAction.GIVE_UP),
        ({"success": False, "errorMessage": "没有权限查看该商品"}, ErrorAction.GIVE_UP),
        ({"success": "false"}, ErrorAction.RETRY),
        ({"success": False}, ErrorAction.RETRY),
        ({"result": {"success": True, "result": {"success": "false"}}}, ErrorAction.RETRY),
        ({"errorCode": "X1", "errorMessage": "no", "result": {}}, ErrorAction.RETRY),
    ],
)
def test_business_errors(protocol: str, payload: dict[str, Any], action: ErrorAction) -> None:
    assert error_of(protocol, payload).action is action


def test_what_a_business_error_says_is_kept() -> None:
    payload = {"result": {"success": False, "code": "400_1", "message": "参数\n 错误"}}
    error = error_of("param2", payload)
    assert (error.code, error.message) == ("400_1", "参数 错误")
    assert str(error) == "400_1: 参数 错误 (HTTP 200)"


def test_an_error_inside_a_response_wrapper_is_found() -> None:
    payload = {"alibaba_product_get_response": {"result": {"success": False}}}
    assert error_of("top", payload).error_class == "business_refusal"


def leaves(kind: type[CallError]) -> list[type[CallError]]:
    return [leaf for child in kind.__subclasses__() for leaf in leaves(child)] or [kind]


def test_each_error_says_what_to_do() -> None:
    kinds = leaves(CallError)
    assert len({kind.error_class for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert kind.error_class == kind.error_class.lower().replace("-", "_")
        assert kind.advice.endswith(".")


def test_the_errors_that_close_a_crawl_have_a_close_reason() -> None:
    reasons = {(kind.action, kind.close_reason) for kind in leaves(CallError)}
    assert reasons == {
        *((action, "") for action in ErrorAction if action is not ErrorAction.CLOSE),
        (ErrorAction.CLOSE, "permission_denied"),
        (ErrorAction.CLOSE, "quota_exhausted"),
        (ErrorAction.CLOSE, "bad_credentials"),
    }


def test_what_an_error_shows() -> None:
    error = errors.FlowControlError("slow down", code="7", sub_code="x", status=200)
    assert str(error) == "7: x: slow down (HTTP 200)"
    assert str(errors.CallTimeoutError()) == "timeout"
    assert repr(error) == "FlowControlError('slow down')"
    assert str(copy.copy(error)) == str(error)


def test_messages_are_one_short_line_without_secrets() -> None:
    token = "3f2a9c1e-7b44-4f0e-9a55-0c1d2e3f4a5b"
    said = (
        f"bad sign\u2028at https://gw.open.1688.com/openapi?access_token={token}\x00 "
        f"app_secret=s3cr3t token {token} {'A1' * 16}" + " and so on" * 100
    )
    error = errors.UnknownRefusalError(said, code=f"gw.Odd sign={token}")
    assert error.message.startswith("bad sign at *** app_secret=*** token *** *** and so on")
    assert len(error.message) == 200
    assert error.message.endswith("…")
    assert error.code == "gw.Odd sign=***"
    assert token not in str(error) + repr(error) + repr(vars(error))


@pytest.mark.parametrize(
    ("payload", "error_class"),
    [
        ({"error_code": "SignatureInvalid", "error_message": "x"}, "signature"),
        ({"error_code": "APIUnsupported", "error_message": "x"}, "api_unknown"),
        ({"error_code": "APIACLDecline", "error_message": "x"}, "permission"),
        ({"error_code": "ISPInvokeError", "error_message": "x"}, "service"),
        ({"error_code": "QosAppFrequencyLimit", "error_message": "x"}, "flow_control"),
        ({"error_code": "NoUsageLeftError", "error_message": "x"}, "package_used_up"),
        ({"error_code": "ParamMissing", "error_message": "x"}, "call_wrong"),
        (
            {"code": "AppKeyExpired", "codeType": "ISV", "success": False, "message": "expired"},
            "app_key",
        ),
        ({"error_message": "AppKey is not allowed(acl)", "error_code": "400"}, "permission"),
        ({"error_message": "AppKey is not allowed(acl)"}, "permission"),
        ({"error_code": "400", "error_message": "wrong refreshToken"}, "authorization"),
        ({"error_message": "Request need user authenticated"}, "token"),
        ({"error_message": "Beyond the app call frequency limit"}, "app_call_limit"),
        (
            {"error_code": "403", "error_message": "Beyond the app call frequency limit"},
            "app_call_limit",
        ),
        ({"code": -1, "message": "关注失败"}, "business_refusal"),
        ({"code": "-1", "message": "关注失败"}, "business_refusal"),
        ({"result": {"success": "false", "retCode": "F1", "retMsg": "no"}}, "business_refusal"),
        ({"isSuccess": False, "msgCode": "F1", "msgInfo": "系统繁忙"}, "service"),
        ({"retCode": "F1", "retMsg": "参数错误"}, "call_wrong"),
        ({"succes": "false", "errorCode": "F1", "errorMsg": "no"}, "business_refusal"),
    ],
)
def test_the_names_under_which_param2_refuses(payload: dict[str, Any], error_class: str) -> None:
    assert error_of("param2", payload).error_class == error_class


@pytest.mark.parametrize("code", ["500", 500, "401", "400", "429", "7"])
@pytest.mark.parametrize("protocol", ["router", "param2", "top"])
def test_a_number_within_a_result_is_no_code_of_the_gateway(protocol: str, code: Any) -> None:
    payload = {"result": {"success": False, "code": code, "message": "无此记录"}}
    error = error_of(protocol, payload)
    assert (error.error_class, error.code) == ("business_refusal", str(code))


@pytest.mark.parametrize(
    ("message", "error_class"),
    [
        ("不是自己的订单", "call_wrong"),
        ("offer status is not published", "call_wrong"),
        ("系统异常", "service"),
    ],
)
def test_the_words_within_a_result_decide(message: str, error_class: str) -> None:
    payload = {"result": {"success": "false", "code": "500", "message": message}}
    assert error_of("param2", payload).error_class == error_class


def test_a_gateway_code_within_a_result_is_the_gateway_s() -> None:
    payload = {"result": {"success": False, "code": "gw.QosAPIFrequencyLimit", "message": ""}}
    assert error_of("param2", payload).error_class == "flow_control"


@pytest.mark.parametrize(
    ("message", "error_class"),
    [
        ("没有该商品的查询权限", "no_relation"),
        ("SP0056:商品不存在", "no_relation"),
        ("offerId:1004582496795 不是精选货源商品", "not_curated"),
    ],
)
def test_a_product_that_the_app_may_not_ask_for_is_not_gone(message: str, error_class: str) -> None:
    error = error_of("param2", {"success": False, "errorMessage": message})
    assert (error.action, error.error_class) == (ErrorAction.GIVE_UP, error_class)
    assert error.message == message
    assert "ALI1688_PRODUCT_API=com.alibaba.fenxiao.crossborder:product.search" in error.advice


def test_where_a_relation_is_needed_a_missing_product_is_a_missing_relation() -> None:
    body = json.dumps({"errMsg": "商品不存在"}).encode()
    with pytest.raises(errors.RelationMissingError):
        read_response("param2", WireResponse(200, {}, body), needs_relation=True)
    with pytest.raises(errors.ProductGoneError):
        read_response("param2", WireResponse(200, {}, body))


@pytest.mark.parametrize(
    "payload",
    [
        {"result": {"success": True, "result": None}},
        {"result": {"success": "true", "code": "200", "result": {}}},
        {"success": True, "productInfo": None},
        {"success": "true", "result": []},
    ],
)
def test_success_without_a_product_does_not_say_that_it_is_gone(payload: Any) -> None:
    response = WireResponse(200, {}, json.dumps(payload).encode())
    with pytest.raises(errors.NoProductError) as caught:
        read_response("param2", response, product_expected=True)
    assert caught.value.action is ErrorAction.RETRY
    assert caught.value.max_attempts == 2
    assert read_response("param2", response) == payload  # of a search: nothing was found


def test_data_beside_success_and_a_message_is_data() -> None:
    payload = {"success": True, "errorMessage": "部分字段缺失", "productInfo": {"productID": 1}}
    response = WireResponse(200, {}, json.dumps(payload).encode())
    assert read_response("param2", response, product_expected=True) == payload
