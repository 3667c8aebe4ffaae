"""Answers that fail on their way: not the platform's words but what lies in between."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from ali1688_spider.sandbox.faults import Fault

_HTML = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
_REASONS = {
    "429": "Too Many Requests",
    "500": "Internal Server Error",
    "502": "Bad Gateway",
    "503": "Service Temporarily Unavailable",
    "504": "Gateway Time-out",
}
_RETRY_AFTER = {"429": 1.0, "503": 1.0}
_BODIES = {"empty": b"", "bare-string": b'"error"', "null": b"null", "list": b"[]"}
_HUGE_MIB = 64.0
_ELSEWHERE = "http://127.0.0.1:9/elsewhere"


async def spoil(fault: Fault, request: web.BaseRequest, good: web.Response) -> web.StreamResponse:
    """Return what arrives instead of the *good* answer."""
    body = good.body if isinstance(good.body, bytes) else b""
    match fault.name:
        case "reset":
            return _reset(request)
        case "cut-connection":
            return await _cut(request, good, body)
        case "truncated":
            good.body = body[: len(body) // 2]
        case "huge":
            mebibytes = _HUGE_MIB if fault.number is None else fault.number
            good.body = body + b" " * int(mebibytes * 2**20)
        case name if name in _BODIES:
            good.body = _BODIES[name]
        case name:
            return _page(name, fault.number)
    return good


def _page(name: str, seconds: float | None) -> web.Response:
    if name == "redirect":
        return web.Response(status=302, headers={"Location": _ELSEWHERE})
    if name == "html":
        return web.Response(text=_HTML.format("Welcome"), content_type="text/html")
    text = _HTML.format(f"{name} {_REASONS[name]}")
    response = web.Response(text=text, content_type="text/html", status=int(name))
    retry_after = _RETRY_AFTER.get(name) if seconds is None else seconds
    if retry_after is not None:
        response.headers["Retry-After"] = f"{retry_after:.0f}"
    return response


def _reset(request: web.BaseRequest) -> web.Response:
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        # Lingering for no time makes closing send a reset instead of an end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


async def _cut(request: web.BaseRequest, good: web.Response, body: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers=good.headers)
    response.content_length = len(body) + 1
    await response.prepare(request)
    await response.write(body)
    if request.transport is not None:
        request.transport.close()
    return response
