"""Reading a response: it is data, or one typed error. The body decides, not the HTTP status."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway import errors
from ali1688_spider.gateway.clock import http_date
from ali1688_spider.gateway.refusals import Refusal, classify

if TYPE_CHECKING:
    from ali1688_spider.gateway.protocols import WireResponse

LONGEST_WAIT = 86_400.0
"""Seconds. Whatever the platform asks for, a day later it may be asked again."""

_MAX_TEXT = 4096  # characters of a code or message that are looked at
_BAN = re.compile(r"ban will last for (\d{1,9}) more second", re.IGNORECASE)
_CHINESE_CHARSET = re.compile(r"charset=\"?(gb2312|gbk|gb18030)\b", re.IGNORECASE)

_SUCCESS = ("success", "isSuccess", "succes")  # the last is alibaba.category.get's
_GATEWAY_CODES = ("error_code", "errorCode", "error")
_CODES = (*_GATEWAY_CODES, "resultCode", "retCode", "msgCode")
_MESSAGES = (
    "error_message",
    "errorMessage",
    "error_description",
    "errMsg",
    "errorMsg",
    "retMsg",
    "msgInfo",
    "exception",
)
# An error only beside "success": false or a negative code; elsewhere they may mean success.
_PLAIN_CODES, _PLAIN_MESSAGES = ("code",), ("message", "msg")
_SAID = frozenset((*_CODES, *_MESSAGES, *_PLAIN_CODES))
_ERROR_CODE = re.compile(r"-\d+|gw\..+", re.IGNORECASE)
_REFUSAL = ("code", "sub_code", "msg", "sub_msg")
_NO_ERROR = frozenset({"", "0", "200", "success", "ok", "null", "none"})
_DATA = ("result", "productInfo")

_TRANSPORT_ERRORS: dict[str, type[errors.TransportError]] = {
    # Scrapy
    "IgnoreRequest": errors.UnreadableResponseError,  # decompressed, over DOWNLOAD_MAXSIZE
    "CannotResolveHostError": errors.DnsError,
    "DownloadCancelledError": errors.UnreadableResponseError,  # over DOWNLOAD_MAXSIZE
    "DownloadConnectionRefusedError": errors.ConnectionRefusedByHostError,
    "DownloadFailedError": errors.ConnectionFailedError,
    "DownloadTimeoutError": errors.CallTimeoutError,
    "ResponseDataLossError": errors.UnreadableResponseError,
    # aiohttp
    "ClientConnectorDNSError": errors.DnsError,
    "ClientConnectorError": errors.ConnectionRefusedByHostError,
    "ClientHttpProxyError": errors.ConnectionRefusedByHostError,
    "ClientPayloadError": errors.UnreadableResponseError,
    "ClientSSLError": errors.TlsError,
    "ServerTimeoutError": errors.CallTimeoutError,
    "ClientError": errors.ConnectionFailedError,
    # Python
    "ConnectionError": errors.ConnectionFailedError,
    "ConnectionRefusedError": errors.ConnectionRefusedByHostError,
    "SSLError": errors.TlsError,
    "TimeoutError": errors.CallTimeoutError,
    "gaierror": errors.DnsError,
}

_MAX_DIGITS = 40  # beyond 64 bits, so still seen as impossible; int() takes quadratic time


def transport_error(exception: BaseException) -> errors.TransportError | None:
    """Return the typed error for a failed download, or None if the exception is something else.

    The exception's text is not taken over: it may contain the URL. Scrapy reports a failed TLS
    handshake as a refused connection, and a proxy's refusal as a failed download: their cause, what
    aiohttp has raised, says more.
    """
    error = _row(exception)
    if error is None:
        return None
    error = _row(exception.__cause__) or error
    return error(f"{error.error_class}: {type(exception).__name__}")


def _row(exception: BaseException | None) -> type[errors.TransportError] | None:
    names = (cls.__name__ for cls in type(exception).__mro__)
    return next((_TRANSPORT_ERRORS[name] for name in names if name in _TRANSPORT_ERRORS), None)


def read_response(
    protocol: str,
    response: WireResponse,
    *,
    text_expected: bool = False,
    product_expected: bool = False,
    needs_relation: bool = False,
) -> Any:
    """Return the decoded JSON, fractions as ``Decimal``; of ``{"…_response": {…}}`` what is inside.

    Args:
        protocol: ``router``, ``param2`` or ``top``: whose rows of the table decide.
        response: Its headers ``content-type``, ``retry-after`` and ``date`` matter.
        text_expected: Also take a bare JSON string for data, as ``currentTime`` returns.
        product_expected: Success without a result is NoProductError, not data.
        needs_relation: The API says that a product does not exist where only a relation is missing.

    Raises:
        CallError: One of its subclasses, for everything that is not data.
    """
    try:
        data = load_json(response.body, response.headers.get("content-type", ""))
    except ValueError:
        raise _unreadable(response) from None
    if isinstance(data, str) and text_expected and data and response.status < 400:
        return data
    if not isinstance(data, dict):
        raise _unreadable(response)
    refusal = _platform_refusal(data)
    if refusal is None:
        data = _unwrapped(data)
        refusal = _business_refusal(data)
    if refusal is not None:
        raise _refused(protocol, response, refusal, needs_relation=needs_relation)
    if product_expected and _is_empty_success(data):
        raise errors.NoProductError("success, but no product", status=response.status)
    if response.status >= 400 and not any(name in data for name in _DATA):
        raise _unreadable(response)
    return data


def load_json(body: bytes, content_type: str = "") -> Any:
    """Return the value of JSON text in UTF-8, -16, -32 or a Chinese encoding that is declared.

    Exact to the last digit: numbers with a point or an exponent are ``Decimal``, never ``float``.
    ``NaN`` and ``Infinity``, which are no JSON but do occur, become the ``Decimal`` of that name,
    and an integer of more than 40 digits a ``Decimal`` too: validation refuses them where they
    matter, as it does half a surrogate pair. ValueError if *body* is no JSON.
    """
    encoding = "gb18030" if _CHINESE_CHARSET.search(content_type) else json.detect_encoding(body)
    try:
        return _DECODER.decode(body.decode(encoding, "surrogatepass").removeprefix("\ufeff"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _MAX_DIGITS else Decimal(text)


def _decimal(text: str) -> Decimal | str:
    try:
        value = Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal can hold
        return text
    if "e" in text.lower() and abs(value.adjusted()) <= _MAX_DIGITS:
        return Decimal(f"{value:f}")  # prices are written without exponent
    return value


_DECODER = json.JSONDecoder(parse_float=_decimal, parse_int=_integer, parse_constant=Decimal)


def _unwrapped(data: dict[str, Any]) -> dict[str, Any]:
    inner = [value for name, value in data.items() if name.endswith("_response")]
    return inner[0] if len(inner) == 1 and isinstance(inner[0], dict) else data


def _platform_refusal(data: dict[str, Any]) -> Refusal | None:
    response = data.get("error_response")
    if response is None:
        return None
    if not isinstance(response, dict):
        return Refusal(message=_first(data, ("error_response",)))
    code, sub_code, *said = (_first(response, (name,)) for name in _REFUSAL)
    return Refusal(code, sub_code, ": ".join(filter(None, said)))


def _business_refusal(data: Any) -> Refusal | None:
    """Look for a refusal at the top and in each ``result`` within, as deep as they are nested."""
    level, is_top = data, True
    while isinstance(level, dict):
        if (refusal := _refusal_of(level)) is not None:
            return refusal if is_top else refusal._replace(origin="result")
        level, is_top = level.get("result"), False
    return None


def _refusal_of(level: dict[str, Any]) -> Refusal | None:
    """Return the refusal that stands in this very object."""
    succeeded = _succeeded(level)
    if succeeded or (succeeded is None and _SAID.isdisjoint(level)):
        return None
    plain_code = _first(level, _PLAIN_CODES)
    if succeeded is False or (succeeded is None and _ERROR_CODE.fullmatch(plain_code)):
        code = _first(level, _CODES) or plain_code
        return Refusal(code, message=_first(level, _MESSAGES + _PLAIN_MESSAGES), origin="service")
    code, message = _first(level, _CODES), _first(level, _MESSAGES)
    has_data = any(isinstance(value, dict | list) and value for value in level.values())
    if not (code or message) or (has_data and "error_code" not in level):
        return None
    is_gateway = bool(_first(level, _GATEWAY_CODES))
    return Refusal(code, message=message, origin="gateway" if is_gateway else "service")


def _succeeded(level: dict[str, Any]) -> bool | None:
    """Return what the object says of its success, as a Boolean or text; None for nothing."""
    said = (str(level[name]).strip().lower() for name in _SUCCESS if name in level)
    meanings = {"true": True, "1": True, "false": False, "0": False}
    return next((meanings[word] for word in said if word in meanings), None)


def _is_empty_success(data: dict[str, Any]) -> bool:
    """Whether success is reported on the way to a result that is null or empty."""
    level, succeeded = data, False
    while True:
        succeeded = succeeded or _succeeded(level) is True
        inner = level.get("result")
        if not isinstance(inner, dict) or not inner:
            results = [level[name] for name in _DATA if name in level]
            return succeeded and bool(results) and not any(results)
        level = inner


def _first(level: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the first of these fields that says something, as text; objects say nothing."""
    for name in names:
        value = level.get(name)
        if isinstance(value, str | int):
            text = str(value)[:_MAX_TEXT].strip()
            if text.lower() not in _NO_ERROR:
                return text
    return ""


def _refused(
    protocol: str, response: WireResponse, refusal: Refusal, *, needs_relation: bool
) -> errors.CallError:
    ban = _BAN.search(refusal.message)
    asked = max(_retry_after(response) or 0.0, float(ban[1]) if ban else 0.0)
    return classify(protocol, refusal, needs_relation=needs_relation)(
        refusal.message,
        code=refusal.code,
        sub_code=refusal.sub_code,
        status=response.status,
        retry_after=min(asked, LONGEST_WAIT) or None,
    )


def _unreadable(response: WireResponse) -> errors.CallError:
    """Return the error for a response whose body says nothing, so that only HTTP is left."""
    status, body = response.status, response.body
    if not body.strip():
        what = "an empty response"
    elif body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        what = "a page of HTML or XML"
    else:
        what = f"{len(body)} bytes that are no JSON object"
    retry_after = _retry_after(response)
    error: type[errors.CallError] = errors.UnreadableResponseError
    if status == 429 or (status == 503 and retry_after is not None):
        error = errors.FlowControlError
    elif status == 403:  # without a platform error
        error = errors.BlockedError
    return error(what, status=status, retry_after=retry_after)


def _retry_after(response: WireResponse) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, given as seconds or as a date."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return min(float(value), LONGEST_WAIT)
    until, now = http_date(value), http_date(response.headers.get("date")) or datetime.now(UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT) if until else None
