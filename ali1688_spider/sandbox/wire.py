"""The three protocols: how a call is read and checked, and how its response is written.

The order of checks is the platform's: API exists, signature, token, permission (and then the rate
and the quota), parameters.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from aiohttp import web

from ali1688_spider.sandbox import admission, faults
from ali1688_spider.sandbox.apis.api_table import (
    CURRENT_TIME,
    GET_TOKEN,
    OPEN_APIS,
    PARAM2_APIS,
    ROUTER_APIS,
)
from ali1688_spider.sandbox.platform_errors import REFUSALS, RefusedError, require
from ali1688_spider.sandbox.shapes import CHINA, Json, encode, platform_text

if TYPE_CHECKING:
    from ali1688_spider.sandbox.server import Sandbox

PARAM2_PREFIX = "/openapi/"
# The APIs of `param2` by how their paths begin.
_NAMES = {"param2": {*PARAM2_APIS, CURRENT_TIME, GET_TOKEN}, "http": {GET_TOKEN}}
_JSON = {"Content-Type": "application/json;charset=UTF-8"}
_FORM = "application/x-www-form-urlencoded"
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_TOLERANCE_SECONDS = 600


class Router:
    """A call to ``/router/json``: GET or POST, ``sign`` is an MD5 with the secret at its end.

    The other protocols override what they do otherwise. Every step raises RefusedError when the
    call is refused.
    """

    apis, signature_name, token_name = ROUTER_APIS, "sign", "session"

    def __init__(self, sandbox: Sandbox, request: web.BaseRequest) -> None:
        self.sandbox, self.options, self.request = sandbox, sandbox.options, request
        self._counters = sandbox.counters  # those of the time when it came, if they are reset
        self.params: dict[str, str] = {}  # of the query and of the form body together
        self.api = self.app_key = ""

    async def serve(self) -> web.StreamResponse:
        """Answer the call."""
        self._counters.called()
        try:
            await self._read_parameters()
            self._identify()
            return await self._handle()
        except RefusedError as refused:
            self._counters.errors[refused.name] += 1
            return self._refuse(refused)

    async def _read_parameters(self) -> None:
        text = self.request.rel_url.raw_query_string
        if self.request.method == "POST" and self.request.content_type == _FORM:
            text += "&" + (await self.request.read()).decode("latin-1")
        require(text.isascii(), "invalid-encoding", "the form is not URL-encoded")
        try:
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
        except ValueError as error:
            raise RefusedError("invalid-encoding") from error
        for name, value in pairs:
            require(name not in self.params, "invalid-parameter", "given twice", parameter=name)
            self.params[name] = value

    async def _handle(self) -> web.StreamResponse:
        sandbox = self.sandbox
        self._counters.by_api[self.api] += 1
        self._authenticate()
        if self.api not in OPEN_APIS:
            sandbox.tokens.check(self.params.get(self.token_name, ""))
        sandbox.admission.admit(self.api)
        query = self.apis[self.api](self.params)
        product_id, inventory = query.product_id, sandbox.inventory
        self._counters.by_product.update(query.batch if product_id is None else (product_id,))

        def make() -> web.Response:
            body = inventory.set_body(product_id)
            if body is None:
                body = self._wrap(sandbox.body(query))
            return json_response(body)

        return await self._respond(repr(query) if product_id is None else product_id, make)

    async def _respond(
        self, subject: int | str | None, make: Callable[[], web.Response]
    ) -> web.StreamResponse:
        """Return the response that *make* makes, or what a fault makes of it."""
        fault = self.sandbox.faults.take(self.api, subject)
        if fault:
            name, number = fault
            self._counters.faults[name] += 1
            if name in faults.BUSINESS:
                return json_response(self._wrap(encode(faults.BUSINESS[name])))
            if name in REFUSALS:
                return self._refuse(RefusedError(name, seconds=number))
            if name != "slow":
                try:
                    response = make()
                except RefusedError as refused:
                    response = self._refuse(refused)
                return await faults.spoil(fault, self.request, response)
            await asyncio.sleep(number or 0)
        response = make()
        self._counters.answered += response.status == 200
        return response

    def _identify(self) -> None:
        """Find out which API is called by which app."""
        self.api, self.app_key = self.params.get("method", ""), self.params.get("app_key", "")
        require(self.api, "missing-method")
        require(self.api in self.apis, "unknown-api", f"there is no API {self.api}")

    def _authenticate(self) -> None:
        """Check app key and signature, then the form of the call."""
        require(self.app_key, "missing-app-key")
        require(self.app_key == self.options.app_key, "invalid-app-key")
        signature = self.params.get(self.signature_name, "")
        require(signature, "missing-signature")
        right = hmac.compare_digest(signature.encode(), self._signature().encode())
        require(right, "invalid-signature")
        self._check_form()

    def _signature(self) -> str:
        """Return the signature that the call should have."""
        return admission.router_signature(self.params, self.options.app_secret)

    def _check_form(self) -> None:
        """Check the time that the call bears, and its format."""
        stamped = self.params.get("timestamp", "")
        require(stamped, "missing-timestamp")
        written = _TIMESTAMP.fullmatch(stamped)
        require(written, "invalid-timestamp", "the timestamp is no yyyy-MM-dd HH:mm:ss")
        try:
            self._check_time(datetime.fromisoformat(stamped).replace(tzinfo=CHINA).timestamp())
        except ValueError as error:
            raise RefusedError("invalid-timestamp", "there is no such time") from error
        require(self.params.get("format") == "json", "invalid-format")

    def _check_time(self, stamped: float) -> None:
        require(abs(self.options.now() - stamped) <= _TOLERANCE_SECONDS, "invalid-timestamp")

    def _wrap(self, body: bytes) -> bytes:
        """Return the body of a response with these data."""
        return body

    def _refuse(self, refused: RefusedError) -> web.Response:
        body = refused.router_body(f"{next(self.sandbox.request_ids):012x}")
        return json_response(body, self.options.error_status or 200)


class Top(Router):
    """``/router/rest``: POST only, ``sign`` by ``sign_method``, data under the method's name."""

    def _identify(self) -> None:
        require(self.request.method == "POST", "http-method")
        super()._identify()

    def _signature(self) -> str:
        require(self.params.get("v"), "missing-version")
        require(self.params["v"] == "2.0", "invalid-version")
        require(self.params.get("sign_method"), "missing-parameter", parameter="sign_method")
        return admission.top_signature(self.params, self.options.app_secret)

    def _wrap(self, body: bytes) -> bytes:
        return b'{"%b_response":%b}' % (self.api.replace(".", "_").encode(), body)


class Param2(Router):
    """``/openapi/param2/…``: GET or POST, the signature is an HMAC-SHA1 over path and pairs."""

    apis, signature_name, token_name = PARAM2_APIS, "_aop_signature", "access_token"

    def _identify(self) -> None:
        parts = self.request.path.removeprefix(PARAM2_PREFIX).split("/")
        require(4 <= len(parts) <= 5, "unknown-api")
        protocol, version, namespace, api, *app_key = parts
        self.api, self.app_key = f"{namespace}:{api}-{version}", "".join(app_key)
        require(self.api in _NAMES.get(protocol, ()), "unknown-api", f"there is no API {self.api}")

    async def _handle(self) -> web.StreamResponse:
        """Answer the call; the system's APIs need no token and no permission, and have no limit."""
        if self.api in self.apis:
            return await super()._handle()
        if self.api == CURRENT_TIME:
            self._authenticate()
        self._counters.by_api[self.api] += 1
        return await self._respond(None, self._system_response)

    def _signature(self) -> str:
        path = self.request.path.removeprefix(PARAM2_PREFIX)
        return admission.param2_signature(path, self.params, self.options.app_secret)

    def _check_form(self) -> None:
        stamped = self.params.get("_aop_timestamp")
        if stamped:
            number = stamped.isascii() and stamped.isdecimal() and len(stamped) < 19
            require(number, "invalid-timestamp", "the timestamp is no number of milliseconds")
            self._check_time(int(stamped) / 1000)

    def _refuse(self, refused: RefusedError) -> web.Response:
        status = self.options.error_status or refused.refusal.status
        return json_response(refused.param2_body(), status)

    def _system_response(self) -> web.Response:
        if self.api == CURRENT_TIME:
            return json_response(platform_text(self.options.now()))
        try:
            issued = self.sandbox.tokens.exchange(self.request.method, self.app_key, self.params)
        except admission.OAuthError as error:
            self._counters.errors[error.body["error"]] += 1
            return json_response(error.body, 400)
        self._counters.token_refreshes += self.params["grant_type"] == "refresh_token"
        return json_response(issued)


def json_response(body: bytes | Json | str, status: int = 200) -> web.Response:
    """Return a response whose body is a JSON text: these bytes, or that of a value."""
    text = body if isinstance(body, bytes) else encode(body)
    return web.Response(body=text, status=status, headers=_JSON)
