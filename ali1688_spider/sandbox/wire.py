"""The three protocols: how a call is read and checked, and how its response is written.

The order of checks is the platform's: API exists, signature, token, permission (and then the rate
and the quota), parameters.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from aiohttp import web

from ali1688_spider.sandbox import admission, api_catalogue, faults
from ali1688_spider.sandbox.faults import REFUSALS, RefusedError
from ali1688_spider.sandbox.products import FIRST_ID
from ali1688_spider.sandbox.shapes import CHINA, encode, platform_text

if TYPE_CHECKING:
    from ali1688_spider.sandbox.faults import Fault
    from ali1688_spider.sandbox.server import Sandbox
    from ali1688_spider.sandbox.shapes import Json

PARAM2_PREFIX = "/openapi/"
_PARAM2_APIS = {
    "param2": {*api_catalogue.PARAM2_APIS, api_catalogue.CURRENT_TIME, api_catalogue.GET_TOKEN},
    "http": {api_catalogue.GET_TOKEN},
}
_JSON = {"Content-Type": "application/json;charset=UTF-8"}
_FORM = "application/x-www-form-urlencoded"
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_TOLERANCE_SECONDS = 600


class Call(ABC):
    """A call by one of the protocols; every step raises RefusedError when the call is refused."""

    apis: dict[str, api_catalogue.Api]
    signature_name: str
    token_name: str

    def __init__(self, sandbox: Sandbox, request: web.BaseRequest) -> None:
        self.sandbox, self.options, self.request = sandbox, sandbox.options, request
        self.params: dict[str, str] = {}  # of the query and of the form body together
        self.api = self.app_key = ""

    async def serve(self) -> web.StreamResponse:
        """Answer the call."""
        self.sandbox.counters.called()
        try:
            await self._read_parameters()
            self._identify()
            return await self._handle()
        except RefusedError as refused:
            self.sandbox.counters.errors[refused.name] += 1
            return self._refuse(refused)

    async def _read_parameters(self) -> None:
        texts = [self.request.rel_url.raw_query_string]
        if self.request.method == "POST" and self.request.content_type == _FORM:
            texts.append((await self.request.read()).decode("latin-1"))
        for text in filter(None, texts):
            if not text.isascii():
                raise RefusedError("invalid-encoding", "the form is not URL-encoded")
            try:
                pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
            except ValueError as error:
                raise RefusedError("invalid-encoding") from error
            for name, value in pairs:
                if name in self.params:
                    raise RefusedError("invalid-parameter", "given twice", parameter=name)
                self.params[name] = value

    async def _handle(self) -> web.StreamResponse:
        sandbox, dealer = self.sandbox, self.sandbox.faults
        sandbox.counters.by_api[self.api] += 1
        self._check_signature()
        sandbox.tokens.check(self.params.get(self.token_name, ""))
        sandbox.admission.admit(self.api)
        query = self.apis[self.api](self.params)
        product_id = query.product_id
        fault = dealer.take_queued(product_id, self.api)
        if product_id is None:
            page = repr(query).encode("utf-8", "surrogatepass")
            fault = fault or dealer.take(page, zlib.crc32(page))
        else:
            sandbox.counters.by_product[product_id] += 1
            fault = fault or dealer.take(product_id, product_id - FIRST_ID)
        return await self._respond(fault, lambda: json_response(self._body(query)))

    def _body(self, query: api_catalogue.Query) -> bytes:
        inventory = self.sandbox.inventory
        body = inventory.set_body(query.product_id)
        return self._wrap(self.sandbox.body(query, inventory.step())) if body is None else body

    async def _respond(
        self, fault: Fault | None, make: Callable[[], web.Response]
    ) -> web.StreamResponse:
        """Return the response that *make* makes, or what a fault makes of it."""
        if fault:
            name, number = fault
            self.sandbox.counters.faults[name] += 1
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
        self.sandbox.counters.answered += response.status == 200
        return response

    @abstractmethod
    def _identify(self) -> None:
        """Find out which API is called by which app."""

    @abstractmethod
    def _signature(self) -> str:
        """Return the signature that the call should have."""

    @abstractmethod
    def _refuse(self, refused: RefusedError) -> web.Response:
        """Return an error as the protocol writes it."""

    def _wrap(self, body: bytes) -> bytes:
        return body

    def _check_signature(self) -> None:
        """Check app key and signature; a protocol adds its check of the time."""
        if not self.app_key:
            raise RefusedError("missing-app-key")
        if self.app_key != self.options.app_key:
            raise RefusedError("invalid-app-key")
        signature = self.params.get(self.signature_name)
        if not signature:
            raise RefusedError("missing-signature")
        if not hmac.compare_digest(signature.encode(), self._signature().encode()):
            raise RefusedError("invalid-signature")

    def _check_time(self, stamped: float) -> None:
        if abs(self.options.now() - stamped) > _TOLERANCE_SECONDS:
            raise RefusedError("invalid-timestamp")


class Router(Call):
    """``/router/json``: GET or POST, ``sign`` is an MD5 with the secret at its end."""

    apis, signature_name, token_name = api_catalogue.ROUTER_APIS, "sign", "session"

    def _identify(self) -> None:
        self.api, self.app_key = self.params.get("method", ""), self.params.get("app_key", "")
        if not self.api:
            raise RefusedError("missing-method")
        if self.api not in self.apis:
            raise RefusedError("unknown-api", f"there is no API {self.api}")

    def _signature(self) -> str:
        return admission.router_signature(self.params, self.options.app_secret)

    def _check_signature(self) -> None:
        super()._check_signature()
        stamped = self.params.get("timestamp")
        if not stamped:
            raise RefusedError("missing-timestamp")
        if not _TIMESTAMP.fullmatch(stamped):
            raise RefusedError("invalid-timestamp", "the timestamp is no yyyy-MM-dd HH:mm:ss")
        try:
            self._check_time(datetime.fromisoformat(stamped).replace(tzinfo=CHINA).timestamp())
        except ValueError as error:
            raise RefusedError("invalid-timestamp", "there is no such time") from error
        if self.params.get("format") != "json":
            raise RefusedError("invalid-format")

    def _refuse(self, refused: RefusedError) -> web.Response:
        body = refused.router_body(f"{next(self.sandbox.request_ids):012x}")
        return json_response(body, self.options.error_status or 200)


class Top(Router):
    """``/router/rest``: POST only, ``sign`` by ``sign_method``, data under the method's name."""

    def _identify(self) -> None:
        if self.request.method != "POST":
            raise RefusedError("http-method")
        super()._identify()

    def _signature(self) -> str:
        if not self.params.get("v"):
            raise RefusedError("missing-version")
        if self.params["v"] != "2.0":
            raise RefusedError("invalid-version")
        if not self.params.get("sign_method"):
            raise RefusedError("missing-parameter", parameter="sign_method")
        return admission.top_signature(self.params, self.options.app_secret)

    def _wrap(self, body: bytes) -> bytes:
        return b'{"%b_response":%b}' % (self.api.replace(".", "_").encode(), body)


class Param2(Call):
    """``/openapi/param2/…``: GET or POST, the signature is an HMAC-SHA1 over path and pairs."""

    apis, signature_name, token_name = api_catalogue.PARAM2_APIS, "_aop_signature", "access_token"

    def _identify(self) -> None:
        parts = self.request.path.removeprefix(PARAM2_PREFIX).split("/")
        if not 4 <= len(parts) <= 5:
            raise RefusedError("unknown-api")
        protocol, version, namespace, api, *app_key = parts
        self.api, self.app_key = f"{namespace}:{api}-{version}", "".join(app_key)
        if self.api not in _PARAM2_APIS.get(protocol, ()):
            raise RefusedError("unknown-api", f"there is no API {self.api}")

    async def _handle(self) -> web.StreamResponse:
        """Answer the call; the system's APIs need no token and no permission, and have no limit."""
        if self.api in self.apis:
            return await super()._handle()
        if self.api == api_catalogue.CURRENT_TIME:
            self._check_signature()
        self.sandbox.counters.by_api[self.api] += 1
        fault = self.sandbox.faults.take_queued(self.api)
        return await self._respond(fault, self._system_response)

    def _signature(self) -> str:
        path = self.request.path.removeprefix(PARAM2_PREFIX)
        return admission.param2_signature(path, self.params, self.options.app_secret)

    def _check_signature(self) -> None:
        super()._check_signature()
        stamped = self.params.get("_aop_timestamp")
        if not stamped:
            return
        if not (stamped.isascii() and stamped.isdecimal() and len(stamped) < 19):
            raise RefusedError("invalid-timestamp", "the timestamp is no number of milliseconds")
        self._check_time(int(stamped) / 1000)

    def _refuse(self, refused: RefusedError) -> web.Response:
        status = self.options.error_status or refused.refusal.status
        return json_response(refused.param2_body(), status)

    def _system_response(self) -> web.Response:
        if self.api == api_catalogue.CURRENT_TIME:
            return json_response(platform_text(self.options.now()))
        counters, method = self.sandbox.counters, self.request.method
        try:
            issued = self.sandbox.tokens.exchange(method, self.app_key, self.params)
        except admission.OAuthError as error:
            counters.errors[error.body["error"]] += 1
            return json_response(error.body, 400)
        counters.token_refreshes += self.params["grant_type"] == "refresh_token"
        return json_response(issued)


def json_response(body: bytes | Json | str, status: int = 200) -> web.Response:
    """Return a response whose body is a JSON text: these bytes, or that of a value."""
    text = body if isinstance(body, bytes) else encode(body)
    return web.Response(body=text, status=status, headers=_JSON)
