"""Reading an answer: it is data, or one typed error. The body decides, not the HTTP status."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ali1688_spider.exceptions import UnexpectedAnswerError
from ali1688_spider.gateway.clock import http_date
from ali1688_spider.gateway.errors.table import Refusal, classify
from ali1688_spider.gateway.errors.tree import (
    BlockedError,
    FlowControlError,
    UnreadableAnswerError,
)
from ali1688_spider.gateway.parsing.json_text import load_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ali1688_spider.gateway.errors.tree import CallError

LONGEST_WAIT = 86_400.0
"""Seconds. Whatever the platform asks for, a day later it may be asked again."""

MAX_TEXT = 4096
"""Characters of a code or message that are looked at."""

_BAN = re.compile(r"ban will last for (\d{1,9}) more second", re.IGNORECASE)
_CHINESE_CHARSET = re.compile(r"charset=\"?(gb2312|gbk|gb18030)\b", re.IGNORECASE)

_CODES = ("error_code", "errorCode", "error", "resultCode")
_MESSAGES = (
    "error_message",
    "errorMessage",
    "error_description",
    "errMsg",
    "errorMsg",
    "exception",
)
_PLAIN_CODES = ("code",)  # an error only beside "success": false; elsewhere it may mean success
_PLAIN_MESSAGES = ("message", "msg")
_NO_ERROR = frozenset({"", "0", "200", "success", "ok", "null", "none"})
_DATA = ("result", "productInfo")


def read_answer(
    protocol: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    text_expected: bool = False,
) -> Any:
    """Return the data of an answer.

    Args:
        protocol: ``router``, ``param2`` or ``top``: whose rows of the table decide.
        status: HTTP status.
        headers: The answer's headers; ``Content-Type``, ``Retry-After`` and ``Date`` matter.
        body: The body as it came, decompressed.
        text_expected: Also take a bare JSON string for data, as ``currentTime`` answers.

    Returns:
        The decoded JSON, fractions as ``Decimal``; of ``{"…_response": {…}}`` the inner object.

    Raises:
        CallError: One of its subclasses, for everything that is not data.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    try:
        payload = _decode(body, headers.get("content-type", ""))
    except (UnexpectedAnswerError, UnicodeDecodeError):
        raise _unreadable(status, headers, body) from None
    if isinstance(payload, str) and text_expected and payload and status < 400:
        return payload
    if not isinstance(payload, dict):
        raise _unreadable(status, headers, body)
    refusal = _platform_refusal(payload)
    if refusal is None:
        payload = _unwrapped(payload)
        refusal = _business_refusal(payload)
    if refusal is not None:
        raise _refused(protocol, status, headers, refusal)
    if status >= 400 and not any(name in payload for name in _DATA):
        raise _unreadable(status, headers, body)
    return payload


def _decode(body: bytes, content_type: str) -> Any:
    """Decode JSON text in UTF-8, -16 or -32, or in a Chinese encoding if it says so."""
    encoding = "gb18030" if _CHINESE_CHARSET.search(content_type) else json.detect_encoding(body)
    # As json.loads: half a surrogate pair is for the product's validation to reject.
    return load_json(body.decode(encoding, "surrogatepass"))


def _unwrapped(payload: dict[str, Any]) -> dict[str, Any]:
    responses = [value for name, value in payload.items() if name.endswith("_response")]
    return responses[0] if len(responses) == 1 and isinstance(responses[0], dict) else payload


def _platform_refusal(payload: dict[str, Any]) -> Refusal | None:
    response = payload.get("error_response")
    if response is None:
        return None
    if not isinstance(response, dict):
        return Refusal(message=_first(payload, ("error_response",)))
    return Refusal(
        code=_first(response, _PLAIN_CODES),
        sub_code=_first(response, ("sub_code",)),
        message=": ".join(filter(None, (_first(response, (name,)) for name in ("msg", "sub_msg")))),
    )


def _business_refusal(level: Any) -> Refusal | None:
    """Look for a refusal here and in each ``result`` within, as deep as they are nested."""
    while isinstance(level, dict):
        success = str(level.get("success", "")).strip().lower()
        if success in {"false", "0"}:
            return Refusal(
                code=_first(level, _CODES + _PLAIN_CODES),
                message=_first(level, _MESSAGES + _PLAIN_MESSAGES),
            )
        code, message = _first(level, _CODES), _first(level, _MESSAGES)
        has_data = any(isinstance(value, dict | list) and value for value in level.values())
        if (code or message) and success != "true" and ("error_code" in level or not has_data):
            return Refusal(code=code, message=message)
        level = level.get("result")
    return None


def _first(level: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the first of these fields that says something, as text; objects say nothing."""
    values = (level.get(name) for name in names)
    texts = (str(value)[:MAX_TEXT].strip() for value in values if isinstance(value, str | int))
    return next((text for text in texts if text.lower() not in _NO_ERROR), "")


def _refused(protocol: str, status: int, headers: Mapping[str, str], refusal: Refusal) -> CallError:
    ban = _BAN.search(refusal.message)
    asked = [_retry_after(headers), float(ban[1]) if ban else None]
    return classify(protocol, refusal)(
        refusal.message,
        code=refusal.code,
        sub_code=refusal.sub_code,
        status=status,
        retry_after=min(max(filter(None, asked), default=0.0), LONGEST_WAIT) or None,
    )


def _unreadable(status: int, headers: Mapping[str, str], body: bytes) -> CallError:
    """Return the error for an answer whose body says nothing, so that only HTTP is left."""
    if not body.strip():
        what = "an empty answer"
    elif body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        what = "a page of HTML or XML"
    else:
        what = f"{len(body)} bytes that are no JSON object"
    retry_after = _retry_after(headers)
    error: type[CallError] = UnreadableAnswerError
    if status == 429 or (status == 503 and retry_after is not None):
        error = FlowControlError
    elif status == 403:  # without a platform error
        error = BlockedError
    return error(what, status=status, retry_after=retry_after)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, given as seconds or as a date."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return min(float(value), LONGEST_WAIT)
    until, now = http_date(value), http_date(headers.get("date")) or datetime.now(UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT) if until else None
