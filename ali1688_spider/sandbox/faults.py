"""Faults that are asked for: which call fails, and how.

A specification is a list of names, ``500,html,slow:3``; the number after a colon is the fault's
own: seconds of ``slow``, of the ``Retry-After`` of an HTTP status, and of the ban that a platform
error speaks of; MiB of ``huge``.

The names are those of HTTP statuses, bodies, business errors inside HTTP 200 and others below, and
every name of :data:`ali1688_spider.sandbox.refusals.REFUSALS`.
"""

from __future__ import annotations

import re
import socket
import struct
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web

from ali1688_spider.sandbox.refusals import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from ali1688_spider.sandbox.options import Options

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

_HTML = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
_RETRY_AFTER = {"429": 1.0, "503": 1.0}
_ELSEWHERE = "http://127.0.0.1:9/elsewhere"
_HUGE_MIB = 64.0
_GOLDEN = 2_654_435_769
_RANGE = 2**32


class Fault(NamedTuple):
    """A fault and its number, None for the usual one."""

    name: str
    number: float | None = None


def parse_faults(names: str | Iterable[str]) -> tuple[Fault, ...]:
    """Return the faults of a specification: names between commas, or one by one.

    Raises:
        ValueError: A name is unknown or its number is none; the text is one sentence.
    """
    texts = names.split(",") if isinstance(names, str) else names
    return tuple(_parse_fault(text) for text in map(str.strip, texts) if text)


def _parse_fault(text: str) -> Fault:
    name, colon, number = text.partition(":")
    if name not in _NAMES:
        raise ValueError(f"there is no fault {name!r}: give some of {', '.join(sorted(_NAMES))}")
    if colon and not re.fullmatch(r"[0-9]+(\.[0-9]+)?", number):
        raise ValueError(f"the fault {text!r} has no number after its colon")
    return Fault(name, float(number) if colon else None)


class Faults:
    """Deals out faults: those queued for a product or an API, and those of the options.

    Of the options' faults a product is struck or not, always the same; a struck one fails its
    first ``fault_times`` tries, beginning with another fault than its neighbour.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._queues: dict[int | str | None, deque[Fault]] = {}
        self.load()

    def load(self) -> None:
        """Take over changed options; tries are counted from 0 again."""
        self._faults = parse_faults(self._options.faults)
        self._tries: Counter[Hashable] = Counter()

    def queue(self, target: int | str, faults: Iterable[Fault]) -> None:
        """Let the next calls of a product (its id) or an API (its name) fail, with these alone."""
        self._queues[target] = deque(faults)

    def take_queued(self, *targets: int | str | None) -> Fault | None:
        """Return the next fault that is queued for one of a product and an API, None without."""
        queues = filter(None, map(self._queues.get, targets))
        return next((queue.popleft() for queue in queues), None)

    def take(self, subject: Hashable, index: int) -> Fault | None:
        """Return the fault that the options have for a try of a product or a page, or None.

        The *index* decides whether it is struck, and with which fault first.
        """
        # Multiples of the golden ratio spread evenly: of any range the right share is struck.
        if not self._faults or index * _GOLDEN % _RANGE >= self._options.fault_rate * _RANGE:
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
            return _reset(request)
        case "cut-connection":
            return await _cut(request, good, body)
        case "redirect":
            return web.Response(status=302, headers={"Location": _ELSEWHERE})
        case "html":
            return web.Response(text=_HTML.format("Welcome"), content_type="text/html")
        case "truncated":
            good.body = body[: len(body) // 2]
        case "huge":
            mebibytes = _HUGE_MIB if fault.number is None else fault.number
            good.body = body + b" " * int(mebibytes * 2**20)
        case name if name in _BODIES:
            good.body = _BODIES[name]
        case name:
            return _error_page(name, fault.number)
    return good


def _error_page(status: str, seconds: float | None) -> web.Response:
    text = _HTML.format(f"{status} {_REASONS[status]}")
    response = web.Response(text=text, content_type="text/html", status=int(status))
    retry_after = _RETRY_AFTER.get(status) if seconds is None else seconds
    if retry_after is not None:
        response.headers["Retry-After"] = f"{retry_after:.0f}"
    return response


def _reset(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        # Lingering for no time makes closing send a reset instead of an end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


async def _cut(request: web.BaseRequest, good: web.Response, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers=good.headers)
    response.content_length = len(body) + 1
    await response.prepare(request)
    await response.write(body)
    if request.transport is not None:
        request.transport.close()
    return response
