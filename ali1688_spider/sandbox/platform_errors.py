"""The platform's own errors: their names here, and how each protocol writes them.

Errors have a name that is the same for all protocols; the status counts by it. Codes and their
meaning: the error pages of the Taobao Open Platform (``code``, ``sub_code``) and of the 1688 Open
Platform (``gw.*``). Where one of the two knows no such error, its nearest stands. ``param2`` writes
errors in many shapes (:data:`_SHAPES`); those with HTTP status 200 are its services' own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

Json = dict[str, Any]


class _Refusal(NamedTuple):
    """One error of the platform."""

    code: int  # of `router` and `top`, whose HTTP status is always 200
    sub_code: str  # theirs
    gateway_code: str  # the error_code of `param2`
    message: str  # the sub_msg, and the message of `param2`
    status: int = 400  # of `param2`
    shape: str = "snake"  # of the body of `param2`, a name of _SHAPES


# How `param2` writes a code and a message.
_SHAPES: dict[str, Callable[[str, str], Json]] = {
    "snake": lambda code, text: {"error_code": code, "error_message": text, "exception": text},
    "camel": lambda code, text: {"errorCode": code, "errorMessage": text},
    "text": lambda _, text: {"error_message": text, "exception": text},
    "expired": lambda code, text: {
        "code": code,
        "codeType": "ISV",
        "success": False,
        "message": text,
    },
    "result": lambda code, text: {"result": {"success": False, "code": code, "message": text}},
    "message": lambda _, text: {"result": {"success": False, "message": text}},
    "failed": lambda code, text: {"success": False, "errorCode": code, "errorMessage": text},
    "fenxiao": lambda code, text: {"success": False, "errorCode": code, "errorMsg": text},
    "listing": lambda code, text: {
        "result": {"success": False, "errorCode": code, "errorMsg": text}
    },
    "relation": lambda _, text: {"result": {"success": False, "msg": text}},
    "return": lambda code, text: {"result": {"success": False, "retCode": code, "retMsg": text}},
    "info": lambda code, text: {"success": False, "msgCode": code, "msgInfo": text},
    "is": lambda code, text: {"isSuccess": False, "errorCode": code, "errorMessage": text},
    "code": lambda code, text: {"resultCode": code, "resultMessage": text},
    "number": lambda code, text: {"code": int(code), "message": text},
    "succes": lambda code, text: {"succes": "false", "errorCode": code, "errorMsg": text},
    "gone": lambda _, text: {"errMsg": text},
}


class RefusedError(Exception):
    """A call is refused, with the error of this name in :data:`REFUSALS`.

    Its text is *message*, else the usual one. The name of a wrong *parameter* ends the text and the
    ``sub_code``; *seconds* are those of the ban that the text then speaks of.
    """

    def __init__(
        self, name: str, message: str = "", *, parameter: str = "", seconds: float | None = None
    ) -> None:
        super().__init__(name)
        self.name, self.refusal = name, REFUSALS[name]
        self._message, self._sub_code = message or self.refusal.message, self.refusal.sub_code
        if seconds is not None:
            self._message = f"This ban will last for {math.ceil(seconds)} more seconds"
        if parameter:
            self._message += f": {parameter}"
            self._sub_code += f":{parameter}"

    def router_body(self, request_id: str) -> dict[str, Any]:
        """Return the error as ``router`` and ``top`` write it."""
        code = self.refusal.code
        message = _MESSAGES.get(code, self.name.replace("-", " ").title())
        body = {"code": code, "msg": message, "sub_code": self._sub_code}
        return {"error_response": body | {"sub_msg": self._message, "request_id": request_id}}

    def param2_body(self) -> dict[str, Any]:
        """Return the error as ``param2`` writes it."""
        return _SHAPES[self.refusal.shape](self.refusal.gateway_code, self._message)


def require(holds: object, name: str, message: str = "", **details: Any) -> None:
    """Raise the :class:`RefusedError` of the other arguments unless something *holds*."""
    if not holds:
        raise RefusedError(name, message, **details)


# What the codes of `router` and `top` mean, where it is not the refusal's name.
_MESSAGES = {
    4: "User Call Limited",
    5: "Session Call Limited",
    6: "Partner Call Limited",
    7: "App Call Limited",
    8: "App Call Exceeds Limited Frequency",
    9: "Http Action Not Allowed",
    10: "Service Currently Unavailable",
    11: "Insufficient ISV Permissions",
    12: "Insufficient User Permissions",
    13: "Insufficient Partner Permissions",
    15: "Remote Service Error",
    22: "Invalid Method",
    27: "Invalid Session",
    40: "Missing Required Arguments",
    41: "Invalid Arguments",
    42: "Forbidden Request",
}

_API_COUNT = "accesscontrol.limited-by-api-access-count"
_APP_COUNT = "accesscontrol.limited-by-app-access-count"
_ISV_COUNT = "isv.access-limited-by-api-access-count"
_APP_QOS, _API_QOS = "gw.QosAppFrequencyLimit", "gw.QosAPIFrequencyLimit"
_TOO_MANY = "too many calls"
_AWAY, _FAILED = "isp.service-unavailable", "isp.remote-service-error"
_TIMEOUT, _PARAMETER = "isp.remote-service-timeout", "isv.invalid-parameter"
_NO_SIGNATURE, _BAD_SIGNATURE = "gw.SignatureMissing", "gw.SignatureInvalid"
_MISSING, _DECLINED = "gw.ParamMissing", "gw.APIACLDecline"
_UNAUTHORIZED = "Request need user authorized"
_NO_PERMISSION = "the app has no permission for this API"
_UNAUTHENTICATED = "Request need user authenticated"
_BEYOND = "Beyond the app call frequency limit"
_NO_RELATION, _STATUS = "isv.no-relation", "isv.offer-status"
_KEY, _TOKEN, _SIGNATURE = "isv.app-key-expired", "isv.invalid-session", "isv.invalid-signature"
_NOT_PUBLISHED, _FAILURE = "offer status is not published", "系统异常"

REFUSALS = {
    # Too many calls.
    "rate-limit": _Refusal(7, _API_COUNT, _APP_QOS, "too fast"),
    "ban": _Refusal(7, _API_COUNT, _APP_QOS, "This ban will last for 1 more seconds"),
    "frequency-limit": _Refusal(8, "accesscontrol.frequency", _API_QOS, "too fast", 200),
    "daily-limit": _Refusal(7, _APP_COUNT, "gw.NoUsageLeftError", "no calls are left"),
    "user-limit": _Refusal(4, "accesscontrol.user", "gw.QosUserLimit", _TOO_MANY),
    "session-limit": _Refusal(5, "accesscontrol.session", "gw.QosSessionLimit", _TOO_MANY),
    "partner-limit": _Refusal(6, "accesscontrol.partner", "gw.QosPartnerLimit", _TOO_MANY),
    "isv-limit": _Refusal(15, _ISV_COUNT, "gw.QosRequestLimit", _TOO_MANY, 200),
    # The platform's own trouble.
    "unavailable": _Refusal(10, _AWAY, _AWAY, "the service is not available", 503),
    "isp": _Refusal(15, _FAILED, _FAILED, "the remote service failed", 200, "camel"),
    "isp-timeout": _Refusal(15, _TIMEOUT, _TIMEOUT, "the remote service did not answer", 200),
    # Credentials and permissions.
    "missing-signature": _Refusal(24, "isv.missing-signature", _NO_SIGNATURE, "no signature"),
    "invalid-signature": _Refusal(25, "isv.invalid-signature", _BAD_SIGNATURE, "wrong signature"),
    "missing-app-key": _Refusal(28, "isv.missing-app-key", "gw.AppKeyMissing", "no app key"),
    "invalid-app-key": _Refusal(29, "isv.invalid-app-key", "gw.AppKeyNotFound", "unknown app key"),
    "missing-session": _Refusal(26, "isv.missing-session", "401", _UNAUTHORIZED, 401),
    "invalid-session": _Refusal(27, "isv.invalid-session", "401", _UNAUTHORIZED, 401),
    "expired-session": _Refusal(27, "session-expired", "401", _UNAUTHORIZED, 200),
    "permission": _Refusal(11, "isv.permission-api-package-limit", _DECLINED, _NO_PERMISSION),
    "user-permission": _Refusal(12, "isv.permission-user", _DECLINED, _NO_PERMISSION),
    "partner-permission": _Refusal(13, "isv.permission-partner", _DECLINED, _NO_PERMISSION),
    "missing-timestamp": _Refusal(30, "isv.missing-timestamp", "400", "no timestamp"),
    "invalid-timestamp": _Refusal(31, "isv.timestamp-limit-error", "400", "Request is expired."),
    # The call is wrong.
    "missing-method": _Refusal(21, "isv.missing-method", "gw.APIUnsupported", "no API is named"),
    "unknown-api": _Refusal(22, "isv.invalid-method", "gw.APIUnsupported", "there is no such API"),
    "http-method": _Refusal(9, "isv.http-method", "gw.APIUnsupported", "call with POST"),
    "invalid-format": _Refusal(23, "isv.invalid-format", _MISSING, "the format is not json"),
    "missing-version": _Refusal(32, "isv.missing-version", _MISSING, "no version"),
    "invalid-version": _Refusal(33, "isv.invalid-version", _MISSING, "the version is not 2.0"),
    "unsupported-version": _Refusal(34, "isv.unsupported-version", _MISSING, "an old version"),
    "missing-parameter": _Refusal(40, "isv.missing-parameter", _MISSING, "missing parameter"),
    "invalid-parameter": _Refusal(41, _PARAMETER, _MISSING, "invalid parameter"),
    "forbidden": _Refusal(42, "isv.forbidden", _MISSING, "the request is forbidden"),
    "parameter-error": _Refusal(43, "isv.parameter-error", _MISSING, "the parameters do not fit"),
    "invalid-encoding": _Refusal(47, "isv.invalid-encoding", _MISSING, "the text is not UTF-8"),
    "isv": _Refusal(15, _PARAMETER, _PARAMETER, "invalid parameter", 200),
    "page-size": _Refusal(41, _PARAMETER, "400", "the page is too large", 200, "result"),
    # The product is gone.
    "not-found": _Refusal(15, "isv.item-not-exist", "", "商品不存在", 200, "gone"),
    # The product lives, but is not this app's to ask for.
    "no-relation": _Refusal(15, _NO_RELATION, "500", "没有该商品的查询权限", 200, "failed"),
    "no-relation-sp0056": _Refusal(15, _NO_RELATION, "SP0056", "商品不存在", 200, "failed"),
    "not-curated": _Refusal(15, "isv.not-curated", "", "不是精选货源商品", 200, "message"),
    "not-published": _Refusal(15, _STATUS, "500", _NOT_PUBLISHED, 200, "result"),
    "not-own-order": _Refusal(15, "isv.no-permission", "401", "不是自己的订单", 200, "result"),
    # Gateway errors that come as a text, with another code than usual or without one.
    "app-key-expired": _Refusal(
        29, _KEY, "AppKeyExpired", "the app key is expired", 400, "expired"
    ),
    "app-key-not-allowed": _Refusal(11, "isv.acl", "", "AppKey is not allowed(acl)", 400, "text"),
    "app-key-not-allowed-401": _Refusal(11, "isv.acl", "401", "AppKey is not allowed(acl)", 401),
    "wrong-refresh-token": _Refusal(27, _TOKEN, "", "wrong refreshToken", 400, "text"),
    "wrong-refresh-token-401": _Refusal(27, _TOKEN, "401", "wrong refreshToken", 401),
    "unauthenticated": _Refusal(26, _TOKEN, "", _UNAUTHENTICATED, 401, "text"),
    "unauthenticated-401": _Refusal(26, _TOKEN, "401", _UNAUTHENTICATED, 401),
    "app-call-frequency": _Refusal(7, _APP_COUNT, "", _BEYOND, 400, "text"),
    "app-call-frequency-200": _Refusal(7, _APP_COUNT, "", _BEYOND, 200, "text"),
    "bare-signature": _Refusal(25, _SIGNATURE, "SignatureInvalid", "wrong signature"),
    "bare-api": _Refusal(22, "isv.invalid-method", "APIUnsupported", "there is no such API"),
    "bare-isp": _Refusal(15, _FAILED, "ISPInvokeError", "the remote service failed", 200),
    # The services' own ways to say no.
    "ret-code": _Refusal(15, _FAILED, "500", _FAILURE, 200, "return"),
    "msg-code": _Refusal(15, _FAILED, "SYSTEM_ERROR", _FAILURE, 200, "info"),
    "is-success": _Refusal(15, _FAILED, "500", _FAILURE, 200, "is"),
    "result-code": _Refusal(15, _FAILED, "500", _FAILURE, 200, "code"),
    "minus-one": _Refusal(15, _FAILED, "-1", _FAILURE, 200, "number"),
    "general-400": _Refusal(15, _PARAMETER, "400", "参数错误", 200, "result"),
    "error-msg": _Refusal(15, _FAILED, "500", _FAILURE, 200, "fenxiao"),
    "listing-refused": _Refusal(15, _PARAMETER, "500", "the products are too many", 200, "listing"),
    "relation-refused": _Refusal(15, _PARAMETER, "", "商品不存在", 200, "relation"),
    "follow-refused": _Refusal(15, _PARAMETER, "-1", "商品不存在", 200, "number"),
    "trend-range": _Refusal(15, _PARAMETER, "400", "the dates are too far apart", 200, "return"),
    "no-category": _Refusal(15, _PARAMETER, "400", "类目不存在", 200, "result"),
    "no-category-info": _Refusal(15, _PARAMETER, "400", "类目不存在", 200, "succes"),
    "no-pool": _Refusal(15, _PARAMETER, "500", "商品池不存在", 200, "result"),
    "no-image": _Refusal(15, _PARAMETER, "500", "the imageId is wrong", 200, "result"),
    "too-many-ids": _Refusal(15, _PARAMETER, "", "the ids are too many", 200, "message"),
}
