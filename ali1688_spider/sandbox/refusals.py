"""The platform's own errors, by a name that is the same for all protocols.

The names are used where the sandbox refuses a call, where faults are asked for, and in its status.
Codes and their meaning: the error pages of the Taobao Open Platform (``code``, ``sub_code``) and
of the 1688 Open Platform (``gw.*``). Where one of the two knows no such error, its nearest stands.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple


class Refusal(NamedTuple):
    """One error of the platform."""

    code: int  # of `router` and `top`, whose HTTP status is always 200
    sub_code: str  # theirs
    gateway_code: str  # the error_code of `param2`
    message: str  # the sub_msg, and the message of `param2`
    status: int = 400  # of `param2`
    shape: Literal["snake", "camel", "result", "gone"] = "snake"  # of the body of `param2`


class RefusedError(Exception):
    """A call is refused: for a wrong *parameter*, which ends the ``sub_code``, or some seconds."""

    def __init__(
        self, name: str, message: str = "", *, parameter: str = "", seconds: float | None = None
    ) -> None:
        super().__init__(name)
        self.name = name
        self.refusal = REFUSALS[name]
        self._message = message or self.refusal.message
        if seconds is not None:
            self._message = f"This ban will last for {math.ceil(seconds)} more seconds"
        self._sub_code = self.refusal.sub_code
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
        code, message = self.refusal.gateway_code, self._message
        match self.refusal.shape:
            case "snake":
                return {"error_code": code, "error_message": message, "exception": message}
            case "camel":
                return {"errorCode": code, "errorMessage": message}
            case "result":
                return {"result": {"success": False, "code": code, "message": message}}
            case "gone":
                return {"errMsg": message}


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
_TIMEOUT = "isp.remote-service-timeout"
_NO_SIGNATURE, _BAD_SIGNATURE = "gw.SignatureMissing", "gw.SignatureInvalid"
_MISSING, _DECLINED = "gw.ParamMissing", "gw.APIACLDecline"
_UNAUTHORIZED = "Request need user authorized"
_NO_PERMISSION = "the app has no permission for this API"

REFUSALS = {
    # Too many calls.
    "rate-limit": Refusal(7, _API_COUNT, _APP_QOS, "too fast"),
    "ban": Refusal(7, _API_COUNT, _APP_QOS, "This ban will last for 1 more seconds"),
    "frequency-limit": Refusal(8, "accesscontrol.frequency", _API_QOS, "too fast", 200),
    "daily-limit": Refusal(7, _APP_COUNT, "gw.NoUsageLeftError", "no calls are left"),
    "user-limit": Refusal(4, "accesscontrol.user", "gw.QosUserLimit", _TOO_MANY),
    "session-limit": Refusal(5, "accesscontrol.session", "gw.QosSessionLimit", _TOO_MANY),
    "partner-limit": Refusal(6, "accesscontrol.partner", "gw.QosPartnerLimit", _TOO_MANY),
    "isv-limit": Refusal(15, _ISV_COUNT, "gw.QosRequestLimit", _TOO_MANY, 200),
    # The platform's own trouble.
    "unavailable": Refusal(10, _AWAY, _AWAY, "the service is not available", 503),
    "isp": Refusal(15, _FAILED, _FAILED, "the remote service failed", 200, "camel"),
    "isp-timeout": Refusal(15, _TIMEOUT, _TIMEOUT, "the remote service did not answer", 200),
    # Credentials and permissions.
    "missing-signature": Refusal(24, "isv.missing-signature", _NO_SIGNATURE, "no signature"),
    "invalid-signature": Refusal(25, "isv.invalid-signature", _BAD_SIGNATURE, "wrong signature"),
    "missing-app-key": Refusal(28, "isv.missing-app-key", "gw.AppKeyMissing", "no app key"),
    "invalid-app-key": Refusal(29, "isv.invalid-app-key", "gw.AppKeyNotFound", "unknown app key"),
    "missing-session": Refusal(26, "isv.missing-session", "401", _UNAUTHORIZED, 401),
    "invalid-session": Refusal(27, "isv.invalid-session", "401", _UNAUTHORIZED, 401),
    "expired-session": Refusal(27, "session-expired", "401", _UNAUTHORIZED, 200),
    "permission": Refusal(11, "isv.permission-api-package-limit", _DECLINED, _NO_PERMISSION),
    "user-permission": Refusal(12, "isv.permission-user", _DECLINED, _NO_PERMISSION),
    "partner-permission": Refusal(13, "isv.permission-partner", _DECLINED, _NO_PERMISSION),
    "missing-timestamp": Refusal(30, "isv.missing-timestamp", "400", "no timestamp"),
    "invalid-timestamp": Refusal(31, "isv.timestamp-limit-error", "400", "Request is expired."),
    # The call is wrong.
    "missing-method": Refusal(21, "isv.missing-method", "gw.APIUnsupported", "no API is named"),
    "unknown-api": Refusal(22, "isv.invalid-method", "gw.APIUnsupported", "there is no such API"),
    "http-method": Refusal(9, "isv.http-method", "gw.APIUnsupported", "call with POST"),
    "invalid-format": Refusal(23, "isv.invalid-format", _MISSING, "the format is not json"),
    "missing-version": Refusal(32, "isv.missing-version", _MISSING, "no version"),
    "invalid-version": Refusal(33, "isv.invalid-version", _MISSING, "the version is not 2.0"),
    "unsupported-version": Refusal(34, "isv.unsupported-version", _MISSING, "an old version"),
    "missing-parameter": Refusal(40, "isv.missing-parameter", _MISSING, "missing parameter"),
    "invalid-parameter": Refusal(41, "isv.invalid-parameter", _MISSING, "invalid parameter"),
    "forbidden": Refusal(42, "isv.forbidden", _MISSING, "the request is forbidden"),
    "parameter-error": Refusal(43, "isv.parameter-error", _MISSING, "the parameters do not fit"),
    "invalid-encoding": Refusal(47, "isv.invalid-encoding", _MISSING, "the text is not UTF-8"),
    "isv": Refusal(15, "isv.invalid-parameter", "isv.invalid-parameter", "invalid parameter", 200),
    "page-size": Refusal(
        41, "isv.invalid-parameter", "400", "the page is too large", 200, "result"
    ),
    # The product is gone.
    "not-found": Refusal(15, "isv.item-not-exist", "", "商品不存在", 200, "gone"),
}
"""Every refusal by its name."""
