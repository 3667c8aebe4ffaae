"""The three protocols: how a call is read and checked, and how its response is written.

The order of checks is the platform's: API exists, signature, token, permission (and then the rate
and the quota), parameters.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import re
import zlib
from abc import ABC, abstractmethod
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from aiohttp import web

from ali1688_spider.sandbox import admission, catalogue, faults
from ali1688_spider.sandbox.catalogue import ProductQuery
from ali1688_spider.sandbox.products import FIRST_ID
from ali1688_spider.sandbox.refusals import REFUSALS, RefusedError
from ali1688_spider.sandbox.shapes import CHINA, encode, platform_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ali1688_spider.sandbox.catalogue import Api, Query
    from ali1688_spider.sandbox.faults import Fault
    from ali1688_spider.sandbox.server import Sandbox
    from ali1688_spider.sandbox.shapes import Json

PARAM2_PREFIX = "/openapi/"
_JSON = {"Content-Type": "application/json;charset=UTF-8"}
_FORM = "application/x-www-form-urlencoded"
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_TOLERANCE_SECONDS = 600
_SLOW_SECONDS = 5.0


class Call(NamedTuple):
    """A request, and the parameters of its query and its form body together."""

    request: web.BaseRequest
    params: dict[str, str]


class Protocol(ABC):
    """A way to call the gateway; every step raises RefusedError when the call is refused."""

    _apis: Mapping[str, Api]

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._request_ids = itertools.count(1)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a call."""
        self._sandbox.counters.called()
        try:
            return await self._handle(Call(request, await _read_parameters(request)))
        except RefusedError as refused:
            self._sandbox.counters.errors[refused.name] += 1
            return self._refuse(refused)

    async def _handle(self, call: Call) -> web.StreamResponse:
        sandbox, name = self._sandbox, self._identify(call)
        sandbox.counters.by_api[name] += 1
        self._authenticate(call)
        sandbox.admission.admit(name)
        query = self._apis[name](call.params)
        if isinstance(query, ProductQuery):
            sandbox.counters.by_product[query.product_id] += 1
        fault = self._take_fault(name, query)
        return await self._respond(call, name, fault, partial(self._response, name, query))

    async def _respond(
        self, call: Call, name: str, fault: Fault | None, make: Callable[[], web.Response]
    ) -> web.StreamResponse:
        """Return the response that *make* makes, or what a fault makes of it."""
        counters = self._sandbox.counters
        if fault:
            counters.faults[fault.name] += 1
            if fault.name in faults.BUSINESS:
                return json_response(self._wrap(name, encode(faults.BUSINESS[fault.name])))
            if fault.name in REFUSALS:
                ban = "" if fault.number is None else admission.ban_message(fault.number)
                return self._refuse(RefusedError(fault.name, ban))
            if fault.name != "slow":
                try:
                    response = make()
                except RefusedError as refused:
                    response = self._refuse(refused)
                return await faults.spoil(fault, call.request, response)
            await asyncio.sleep(_SLOW_SECONDS if fault.number is None else fault.number)
        response = make()
        counters.answered += response.status == 200
        return response

    def _take_fault(self, name: str, query: Query) -> Fault | None:
        dealer = self._sandbox.faults
        if isinstance(query, ProductQuery):
            queued = dealer.take_queued(query.product_id) or dealer.take_queued(name)
            return queued or dealer.take(query.product_id, query.product_id - FIRST_ID)
        page = repr(query)
        index = zlib.crc32(page.encode("utf-8", "surrogatepass"))
        return dealer.take_queued(name) or dealer.take(page, index)

    def _response(self, name: str, query: Query) -> web.Response:
        inventory, body = self._sandbox.inventory, None
        if isinstance(query, ProductQuery):
            body = inventory.set_body(query.product_id)
        return json_response(self._wrap(name, inventory.body(query)) if body is None else body)

    def _check_key(self, app_key: str, signature: str) -> None:
        if not app_key:
            raise RefusedError("missing-app-key")
        if app_key != self._sandbox.options.app_key:
            raise RefusedError("invalid-app-key")
        if not signature:
            raise RefusedError("missing-signature")

    def _check_time(self, stamped: float) -> None:
        if abs(self._sandbox.options.now() - stamped) > _TOLERANCE_SECONDS:
            raise RefusedError("invalid-timestamp")

    @abstractmethod
    def _identify(self, call: Call) -> str:
        """Return the name of the API that is called."""

    @abstractmethod
    def _authenticate(self, call: Call) -> None:
        """Check app key, signature, timestamp and token."""

    @abstractmethod
    def _refuse(self, refused: RefusedError) -> web.Response:
        """Return an error as the protocol writes it."""

    def _wrap(self, name: str, body: bytes) -> bytes:  # noqa: ARG002  # `top` does
        return body


class Router(Protocol):
    """``/router/json``: GET or POST, ``sign`` is an MD5 with the secret at its end."""

    _apis = catalogue.ROUTER_APIS

    def _identify(self, call: Call) -> str:
        method = call.params.get("method")
        if not method:
            raise RefusedError("missing-method")
        if method not in self._apis:
            raise RefusedError("unknown-api", f"there is no API {method}")
        return method

    def _authenticate(self, call: Call) -> None:
        params, stamped = call.params, call.params.get("timestamp")
        self._check_key(params.get("app_key", ""), params.get("sign", ""))
        _compare(params["sign"], self._signature(params))
        if not stamped:
            raise RefusedError("missing-timestamp")
        if not _TIMESTAMP.fullmatch(stamped):
            raise RefusedError("invalid-timestamp", "the timestamp is no yyyy-MM-dd HH:mm:ss")
        try:
            self._check_time(datetime.fromisoformat(stamped).replace(tzinfo=CHINA).timestamp())
        except ValueError as error:
            raise RefusedError("invalid-timestamp", "there is no such time") from error
        if params.get("format") != "json":
            raise RefusedError("invalid-format")
        self._sandbox.tokens.check(params.get("session", ""))

    def _signature(self, params: dict[str, str]) -> str:
        return admission.router_signature(params, self._sandbox.options.app_secret)

    def _refuse(self, refused: RefusedError) -> web.Response:
        body = refused.router_body(f"{next(self._request_ids):012x}")
        return json_response(body, self._sandbox.options.error_status or 200)


class Top(Router):
    """``/router/rest``: POST only, ``sign`` by ``sign_method``, data under the method's name."""

    def _identify(self, call: Call) -> str:
        if call.request.method != "POST":
            raise RefusedError("http-method")
        return super()._identify(call)

    def _signature(self, params: dict[str, str]) -> str:
        if not params.get("v"):
            raise RefusedError("missing-version")
        if params["v"] != "2.0":
            raise RefusedError("invalid-version")
        if not params.get("sign_method"):
            raise RefusedError("missing-parameter", parameter="sign_method")
        return admission.top_signature(params, self._sandbox.options.app_secret)

    def _wrap(self, name: str, body: bytes) -> bytes:
        return b'{"%b_response":%b}' % (name.replace(".", "_").encode(), body)


class Param2(Protocol):
    """``/openapi/param2/…``: GET or POST, the signature is an HMAC-SHA1 over path and pairs."""

    _apis = catalogue.PARAM2_APIS

    async def _handle(self, call: Call) -> web.StreamResponse:
        """Answer a call; the system's APIs need no token and no permission, and have no limit."""
        protocol, name, _ = _parts(call)
        if name == catalogue.GET_TOKEN and protocol in ("param2", "http"):
            make: Callable[[], web.Response] = partial(self._token_response, call)
        elif name == catalogue.CURRENT_TIME and protocol == "param2":
            self._check_signature(call)
            make = self._time_response
        else:
            return await super()._handle(call)
        self._sandbox.counters.by_api[name] += 1
        fault = self._sandbox.faults.take_queued(name)
        return await self._respond(call, name, fault, make)

    def _identify(self, call: Call) -> str:
        protocol, name, _ = _parts(call)
        if protocol != "param2" or name not in self._apis:
            raise RefusedError("unknown-api", f"there is no API {name}")
        return name

    def _authenticate(self, call: Call) -> None:
        self._check_signature(call)
        self._sandbox.tokens.check(call.params.get("access_token", ""))

    def _check_signature(self, call: Call) -> None:
        params, path = call.params, call.request.path.removeprefix(PARAM2_PREFIX)
        given, stamped = params.get("_aop_signature", ""), params.get("_aop_timestamp")
        self._check_key(_parts(call)[2], given)
        secret = self._sandbox.options.app_secret
        _compare(given, admission.param2_signature(path, params, secret))
        if not stamped:
            return
        if not (stamped.isascii() and stamped.isdecimal() and len(stamped) < 19):
            raise RefusedError("invalid-timestamp", "the timestamp is no number of milliseconds")
        self._check_time(int(stamped) / 1000)

    def _refuse(self, refused: RefusedError) -> web.Response:
        status = self._sandbox.options.error_status or refused.refusal.status
        return json_response(refused.param2_body(), status)

    def _time_response(self) -> web.Response:
        return json_response(platform_text(self._sandbox.options.now()))

    def _token_response(self, call: Call) -> web.Response:
        counters = self._sandbox.counters
        method, app_key = call.request.method, _parts(call)[2]
        try:
            issued = self._sandbox.tokens.exchange(method, app_key, call.params)
        except admission.OAuthError as error:
            counters.errors[error.body["error"]] += 1
            return json_response(error.body, 400)
        counters.token_refreshes += call.params["grant_type"] == "refresh_token"
        return json_response(issued)


def json_response(body: bytes | Json | str, status: int = 200) -> web.Response:
    """Return a response whose body is a JSON text: these bytes, or that of a value."""
    text = body if isinstance(body, bytes) else encode(body)
    return web.Response(body=text, status=status, headers=_JSON)


def _compare(given: str, expected: str) -> None:
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise RefusedError("invalid-signature")


def _parts(call: Call) -> tuple[str, str, str]:
    """Return the protocol, the API's name and the app key of a path; the key may be missing."""
    parts = call.request.path.removeprefix(PARAM2_PREFIX).split("/")
    if not 4 <= len(parts) <= 5:
        raise RefusedError("unknown-api")
    protocol, version, namespace, api, *app_key = parts
    return protocol, f"{namespace}:{api}-{version}", "".join(app_key)


async def _read_parameters(request: web.BaseRequest) -> dict[str, str]:
    texts = [request.rel_url.raw_query_string]
    if request.method == "POST" and request.content_type == _FORM:
        texts.append((await request.read()).decode("latin-1"))
    params: dict[str, str] = {}
    for text in filter(None, texts):
        if not text.isascii():
            raise RefusedError("invalid-encoding", "the form is not URL-encoded")
        try:
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
        except ValueError as error:
            raise RefusedError("invalid-encoding") from error
        for name, value in pairs:
            if name in params:
                raise RefusedError("invalid-parameter", "given twice", parameter=name)
            params[name] = value
    return params
