"""The platform's own errors, by a name that is the same for all protocols.

The names are used where the sandbox refuses a call, where faults are asked for, and in its status.
Codes and their meaning: the error pages of the Taobao Open Platform (``code``, ``sub_code``) and
of the 1688 Open Platform (``gw.*``). Where one of the two knows no such error, its nearest is
answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Shape = Literal["snake", "camel", "result", "gone"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One error of the platform.

    Attributes:
        name: Its name here.
        code: The ``code`` of ``router`` and ``top``.
        sub_code: Their ``sub_code``.
        gateway_code: The ``error_code`` of ``param2``.
        message: The ``sub_msg``, and the message of ``param2``.
        status: The HTTP status of ``param2``; the others answer with 200.
        shape: Of the body of ``param2``: ``error_code``, ``errorCode``, a
            ``result`` without success, or ``errMsg``.
    """

    name: str
    code: int
    sub_code: str
    gateway_code: str
    message: str
    status: int = 400
    shape: Shape = "snake"


class RefusedError(Exception):
    """A call is refused.

    Args:
        name: The name of a refusal.
        message: What its message says instead.
        parameter: The parameter that is at fault; ends the ``sub_code``.
    """

    def __init__(self, name: str, message: str = "", *, parameter: str = "") -> None:
        super().__init__(name)
        self.refusal = REFUSALS[name]
        self.parameter = parameter
        self.message = message or self.refusal.message
        if parameter:
            self.message = f"{self.message}: {parameter}"

    def router_body(self, request_id: str) -> dict[str, Any]:
        """Return the error as ``router`` and ``top`` answer it."""
        refusal = self.refusal
        sub_code = refusal.sub_code + (f":{self.parameter}" if self.parameter else "")
        return {
            "error_response": {
                "code": refusal.code,
                "msg": _MESSAGES[refusal.code],
                "sub_code": sub_code,
                "sub_msg": self.message,
                "request_id": request_id,
            }
        }

    def param2_body(self) -> dict[str, Any]:
        """Return the error as ``param2`` answers it."""
        code, message = self.refusal.gateway_code, self.message
        if self.refusal.shape == "gone":
            return {"errMsg": message}
        if self.refusal.shape == "camel":
            return {"errorCode": code, "errorMessage": message}
        if self.refusal.shape == "result":
            return {"result": {"success": False, "code": code, "message": message}}
        return {"error_code": code, "error_message": message, "exception": message}


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
    21: "Missing Method",
    22: "Invalid Method",
    23: "Invalid Format",
    24: "Missing Signature",
    25: "Invalid Signature",
    26: "Missing Session",
    27: "Invalid Session",
    28: "Missing App Key",
    29: "Invalid App Key",
    30: "Missing Timestamp",
    31: "Invalid Timestamp",
    32: "Missing Version",
    33: "Invalid Version",
    34: "Unsupported Version",
    40: "Missing Required Arguments",
    41: "Invalid Arguments",
    42: "Forbidden Request",
    43: "Parameter Error",
    47: "Invalid Encoding",
}

_APP_QOS, _API_QOS = "gw.QosAppFrequencyLimit", "gw.QosAPIFrequencyLimit"
_MISSING, _DECLINED = "gw.ParamMissing", "gw.APIACLDecline"
_UNAUTHORIZED = "Request need user authorized"
_NO_PERMISSION = "the app has no permission for this API"

_ALL = (
    # Too many calls.
    Refusal("rate-limit", 7, "accesscontrol.limited-by-api-access-count", _APP_QOS, "too fast"),
    Refusal(
        "ban",
        7,
        "accesscontrol.limited-by-api-access-count",
        _APP_QOS,
        "This ban will last for 1 more seconds",
    ),
    Refusal("frequency-limit", 8, "accesscontrol.frequency", _API_QOS, "too fast", 200),
    Refusal(
        "daily-limit",
        7,
        "accesscontrol.limited-by-app-access-count",
        "gw.NoUsageLeftError",
        "no calls are left",
    ),
    Refusal("user-limit", 4, "accesscontrol.user", "gw.QosUserLimit", "too many calls"),
    Refusal("session-limit", 5, "accesscontrol.session", "gw.QosSessionLimit", "too many calls"),
    Refusal("partner-limit", 6, "accesscontrol.partner", "gw.QosPartnerLimit", "too many calls"),
    Refusal(
        "isv-limit",
        15,
        "isv.access-limited-by-api-access-count",
        "gw.QosRequestLimit",
        "too many calls",
        200,
    ),
    # The platform's own trouble.
    Refusal(
        "unavailable",
        10,
        "isp.service-unavailable",
        "isp.service-unavailable",
        "the service is not available",
        503,
    ),
    Refusal(
        "isp",
        15,
        "isp.remote-service-error",
        "isp.remote-service-error",
        "the remote service failed",
        200,
        "camel",
    ),
    Refusal(
        "isp-timeout",
        15,
        "isp.remote-service-timeout",
        "isp.remote-service-timeout",
        "the remote service did not answer",
        200,
    ),
    # Credentials and permissions.
    Refusal(
        "missing-signature", 24, "isv.missing-signature", "gw.SignatureMissing", "no signature"
    ),
    Refusal(
        "invalid-signature", 25, "isv.invalid-signature", "gw.SignatureInvalid", "wrong signature"
    ),
    Refusal("missing-app-key", 28, "isv.missing-app-key", "gw.AppKeyMissing", "no app key"),
    Refusal("invalid-app-key", 29, "isv.invalid-app-key", "gw.AppKeyNotFound", "unknown app key"),
    Refusal("missing-session", 26, "isv.missing-session", "401", _UNAUTHORIZED, 401),
    Refusal("invalid-session", 27, "isv.invalid-session", "401", _UNAUTHORIZED, 401),
    Refusal("expired-session", 27, "session-expired", "401", _UNAUTHORIZED, 200),
    Refusal("permission", 11, "isv.permission-api-package-limit", _DECLINED, _NO_PERMISSION),
    Refusal("user-permission", 12, "isv.permission-user", _DECLINED, _NO_PERMISSION),
    Refusal("partner-permission", 13, "isv.permission-partner", _DECLINED, _NO_PERMISSION),
    Refusal("missing-timestamp", 30, "isv.missing-timestamp", "400", "no timestamp"),
    Refusal("invalid-timestamp", 31, "isv.timestamp-limit-error", "400", "Request is expired."),
    # The call is wrong.
    Refusal("missing-method", 21, "isv.missing-method", "gw.APIUnsupported", "no API is named"),
    Refusal("unknown-api", 22, "isv.invalid-method", "gw.APIUnsupported", "there is no such API"),
    Refusal("http-method", 9, "isv.http-method", "gw.APIUnsupported", "call with POST"),
    Refusal("invalid-format", 23, "isv.invalid-format", _MISSING, "the format is not json"),
    Refusal("missing-version", 32, "isv.missing-version", _MISSING, "no version"),
    Refusal("invalid-version", 33, "isv.invalid-version", _MISSING, "the version is not 2.0"),
    Refusal("unsupported-version", 34, "isv.unsupported-version", _MISSING, "an old version"),
    Refusal("missing-parameter", 40, "isv.missing-parameter", _MISSING, "missing parameter"),
    Refusal("invalid-parameter", 41, "isv.invalid-parameter", _MISSING, "invalid parameter"),
    Refusal("forbidden", 42, "isv.forbidden", _MISSING, "the request is forbidden"),
    Refusal("parameter-error", 43, "isv.parameter-error", _MISSING, "the parameters do not fit"),
    Refusal("invalid-encoding", 47, "isv.invalid-encoding", _MISSING, "the text is not UTF-8"),
    Refusal("isv", 15, "isv.invalid-parameter", "isv.invalid-parameter", "invalid parameter", 200),
    Refusal(
        "page-size", 41, "isv.invalid-parameter", "400", "the page is too large", 200, "result"
    ),
    # The product is gone.
    Refusal("not-found", 15, "isv.item-not-exist", "", "商品不存在", 200, "gone"),
)

REFUSALS = {refusal.name: refusal for refusal in _ALL}
"""Every refusal by its name."""
