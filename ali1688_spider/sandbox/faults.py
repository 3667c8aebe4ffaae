"""Faults that are asked for: which calls they strike, and what then arrives.

A specification of faults is a list of names, ``500,html,slow:3``: HTTP statuses, bodies, business
errors inside HTTP 200 and others below, and every name of :data:`.platform_errors.REFUSALS`. The
number after a colon is the fault's own: seconds of ``slow``, of the ``Retry-After`` of an HTTP
status, and of the ban that a platform error speaks of; MiB of ``huge``.
"""

from __future__ import annotations

import re
import socket
import struct
import zlib
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web

from ali1688_spider.sandbox.platform_errors import REFUSALS
from ali1688_spider.sandbox.product_facts import FIRST_ID, in_share

if TYPE_CHECKING:
    from ali1688_spider.sandbox.options import Options

BUSINESS: dict[str, dict[str, Any]] = {
    "business-false": {"result": {"success": False, "code": "500", "message": "系统异常"}},
    "business-error": {"success": False, "errorCode": "500_2", "errorMessage": "系统异常"},
    "string-false": {"success": "false"},
    "null-result": {"result": {"success": True, "code": "200", "message": "ok", "result": None}},
    "bare-null-result": {"result": None},
}
_REASONS = {
    "429": "Too Many Requests",
    "500": "Internal Server Error",
    "502": "Bad Gateway",
    "503": "Service Temporarily Unavailable",
    "504": "Gateway Time-out",
}
_BODIES = {"empty": b"", "bare-string": b'"error"', "null": b"null", "list": b"[]"}
_OTHERS = (
    *("reset", "cut-connection", "html", "truncated", "slow", "redirect", "huge"),
    "success-with-message",
)
# How an object of data begins that says something like an error besides.
_SUCCESS_WITH_MESSAGE = '{"success":true,"errorMessage":"操作成功",'.encode()
_NAMES = {*_REASONS, *_BODIES, *_OTHERS, *BUSINESS, *REFUSALS}
_USUAL_NUMBERS = {"slow": 5.0, "huge": 64.0, "429": 1.0, "503": 1.0}

_HTML = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"


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
        if not in_share(index, self._options.fault_rate):
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
            _reset(request)
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
        case "success-with-message":
            good.body = _SUCCESS_WITH_MESSAGE + body[1:]
        case "huge":
            good.body = body + b" " * int((fault.number or 0) * 2**20)
        case name if name in _BODIES:
            good.body = _BODIES[name]
        case status:
            return _page(f"{status} {_REASONS[status]}", int(status), fault.number)
    return good


def _reset(request: web.BaseRequest) -> None:
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        # Lingering for no time makes closing send a reset instead of an end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()


def _page(title: str, status: int = 200, retry_after: float | None = None) -> web.Response:
    page = web.Response(text=_HTML.format(title), content_type="text/html", status=status)
    if retry_after is not None:
        page.headers["Retry-After"] = f"{retry_after:.0f}"
    return page
