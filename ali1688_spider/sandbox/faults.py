"""How a call can fail: the platform's own errors, and faults that are asked for.

Errors have a name that is the same for all protocols; the status counts by it. Codes and their
meaning: the error pages of the Taobao Open Platform (``code``, ``sub_code``) and of the 1688 Open
Platform (``gw.*``). Where one of the two knows no such error, its nearest stands.

A specification of faults is a list of names, ``500,html,slow:3``: HTTP statuses, bodies, business
errors inside HTTP 200 and others below, and every name of :data:`REFUSALS`. The number after a
colon is the fault's own: seconds of ``slow``, of the ``Retry-After`` of an HTTP status, and of the
ban that a platform error speaks of; MiB of ``huge``.
"""

from __future__ import annotations

import math
import re
import socket
import struct
import zlib
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aiohttp import web

from ali1688_spider.sandbox.products import FIRST_ID

if TYPE_CHECKING:
    from ali1688_spider.sandbox.options import Options


class _Refusal(NamedTuple):
    """One error of the platform."""

    code: int  # of `router` and `top`, whose HTTP status is always 200
    sub_code: str  # theirs
    gateway_code: str  # the error_code of `param2`
    message: str  # the sub_msg, and the message of `param2`
    status: int = 400  # of `param2`
    shape: Literal["snake", "camel", "result", "gone"] = "snake"  # of the body of `param2`


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
        code, message = self.refusal.gateway_code, self._message
        shapes: dict[str, dict[str, Any]] = {
            "snake": {"error_code": code, "error_message": message, "exception": message},
            "camel": {"errorCode": code, "errorMessage": message},
            "result": {"result": {"success": False, "code": code, "message": message}},
            "gone": {"errMsg": message},
        }
        return shapes[self.refusal.shape]


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
}

BUSINESS: dict[str, dict[str, Any]] = {
    "business-false": {"result": {"success": False, "code": "500", "message": "系统异常"}},
    "business-error": {"success": False, "errorCode": "500_2", "errorMessage": "系统异常"},
    "string-false": {"success": "false"},
}
_REASONS = {
    "429": "Too Many Requests",
    "500": "Internal Server Error",
    "502": "Bad Gateway",
    "503": "Service Temporarily Unavailable",
    "504": "Gateway Time-out",
}
_BODIES = {"empty": b"", "bare-string": b'"error"', "null": b"null", "list": b"[]"}
_OTHERS = ("reset", "cut-connection", "html", "truncated", "slow", "redirect", "huge")
_NAMES = {*_REASONS, *_BODIES, *_OTHERS, *BUSINESS, *REFUSALS}
_USUAL_NUMBERS = {"slow": 5.0, "huge": 64.0, "429": 1.0, "503": 1.0}

_HTML = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
_GOLDEN = 2_654_435_769
_RANGE = 2**32


class Fault(NamedTuple):
    """A fault and its number, if it has one."""

    name: str
    number: float | None = None


def parse_faults(text: str) -> list[Fault]:
    """Return the faults of a specification; raises ValueError."""
    faults = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, colon, number = part.partition(":")
        if name not in _NAMES:
            names = ", ".join(sorted(_NAMES))
            raise ValueError(f"there is no fault {name!r}: give some of {names}")
        if colon and not re.fullmatch(r"[0-9]+(\.[0-9]+)?", number):
            raise ValueError(f"the fault {part!r} has no number after its colon")
        faults.append(Fault(name, float(number) if colon else _USUAL_NUMBERS.get(name)))
    return faults


class Faults:
    """Deals out faults: those queued for a product or an API, and those of the options.

    By the options a product or a page (its query as text) is struck or not, always the same; a
    struck one fails its first ``fault_times`` tries, beginning with another fault than the next.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._queues: dict[int | str | None, deque[Fault]] = {}
        self.load()

    def load(self) -> None:
        """Take over changed options; tries are counted from 0 again."""
        self._faults = parse_faults(self._options.faults)
        self._tries: Counter[int | str] = Counter()

    def queue(self, target: int | str, faults: str) -> None:
        """Let the next calls of a product (its id) or an API (its name) fail, with these alone."""
        self._queues[target] = deque(parse_faults(faults))

    def take(self, api: str, subject: int | str | None) -> Fault | None:
        """Return the fault of a call of an API for a product, a page or neither; None for none."""
        queue = self._queues.get(subject) or self._queues.get(api)
        if queue:
            return queue.popleft()
        if subject is None or not self._faults:
            return None
        if isinstance(subject, int):
            index = subject - FIRST_ID
        else:
            index = zlib.crc32(subject.encode("utf-8", "surrogatepass"))
        # Multiples of the golden ratio spread evenly: of any range the right share is struck.
        if index * _GOLDEN % _RANGE >= self._options.fault_rate * _RANGE:
            return None
        tries = self._tries[subject]
        if self._options.fault_times and tries >= self._options.fault_times:
            return None
        self._tries[subject] += 1
        return self._faults[(index + tries) % len(self._faults)]


async def spoil(fault: Fault, request: web.BaseRequest, good: web.Response) -> web.StreamResponse:
    """Return what arrives instead of the *good* response."""
    body = good.body if isinstance(good.body, bytes) else b""
    match fault.name:
        case "reset":
            if request.transport is not None:
                connection = request.transport.get_extra_info("socket")
                # Lingering for no time makes closing send a reset instead of an end.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                request.transport.abort()
        case "cut-connection":
            good.headers["Content-Length"] = str(len(body) + 1)
            await good.prepare(request)
            await good.write_eof()
            if request.transport is not None:
                request.transport.close()
        case "redirect":
            return web.Response(status=302, headers={"Location": "http://127.0.0.1:9/elsewhere"})
        case "html":
            return _page("Welcome")
        case "truncated":
            good.body = body[: len(body) // 2]
        case "huge":
            good.body = body + b" " * int((fault.number or 0) * 2**20)
        case name if name in _BODIES:
            good.body = _BODIES[name]
        case status:
            return _page(f"{status} {_REASONS[status]}", int(status), fault.number)
    return good


def _page(title: str, status: int = 200, retry_after: float | None = None) -> web.Response:
    page = web.Response(text=_HTML.format(title), content_type="text/html", status=status)
    if retry_after is not None:
        page.headers["Retry-After"] = f"{retry_after:.0f}"
    return page
