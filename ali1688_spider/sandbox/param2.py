"""The protocol ``param2`` of the 1688 Open Platform: API and app key stand in the path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox.answers import encode
from ali1688_spider.sandbox.apis import CURRENT_TIME, GET_TOKEN, PARAM2_APIS
from ali1688_spider.sandbox.oauth import OAuthError
from ali1688_spider.sandbox.protocol import Protocol, json_response
from ali1688_spider.sandbox.refusals import RefusedError
from ali1688_spider.sandbox.signatures import equal, param2_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from ali1688_spider.sandbox.apis import Api

PREFIX = "/openapi/"


@dataclass(frozen=True, slots=True)
class _Address:
    """The parts of ``param2/{version}/{namespace}/{api}/{app key}``; the key may be missing."""

    protocol: str
    api_name: str
    app_key: str

    @classmethod
    def of(cls, request: web.BaseRequest) -> _Address:
        parts = request.path.removeprefix(PREFIX).split("/")
        if not 4 <= len(parts) <= 5:
            raise RefusedError("unknown-api")
        protocol, version, namespace, api, *rest = parts
        return cls(protocol, f"{namespace}:{api}-{version}", "".join(rest))


class Param2(Protocol):
    """``/openapi/param2/…``: GET or POST, the signature is an HMAC-SHA1 over path and pairs."""

    async def handle(
        self, request: web.BaseRequest, params: Mapping[str, str]
    ) -> web.StreamResponse:
        """Answer a call; the system's APIs need no token and no permission, and have no limit."""
        address = _Address.of(request)
        if address.api_name == GET_TOKEN and address.protocol in ("param2", "http"):
            return await self._serve_system(
                GET_TOKEN, request, lambda: self._answer_token(request, params, address.app_key)
            )
        if address.api_name == CURRENT_TIME and address.protocol == "param2":
            self._check_signature(request, params)
            return await self._serve_system(CURRENT_TIME, request, self._answer_time)
        return await super().handle(request, params)

    def identify(self, request: web.BaseRequest, params: Mapping[str, str]) -> Api:  # noqa: ARG002
        """Return the API of the path."""
        address = _Address.of(request)
        if address.protocol != "param2" or address.api_name not in PARAM2_APIS:
            raise RefusedError("unknown-api", f"there is no API {address.api_name}")
        return PARAM2_APIS[address.api_name]

    def authenticate(self, request: web.BaseRequest, params: Mapping[str, str]) -> None:
        """Check app key, signature, timestamp and access token."""
        self._check_signature(request, params)
        self._state.tokens.check(params.get("access_token", ""))

    def error(self, refused: RefusedError) -> tuple[int, Any]:
        """Return the status and body that this error has."""
        return refused.refusal.status, refused.param2_body()

    async def _serve_system(
        self, api_name: str, request: web.BaseRequest, answer: Callable[[], web.Response]
    ) -> web.StreamResponse:
        self._state.counters.called_api(api_name)
        fault = self._state.faults.take_queued(api_name)
        return await self.deliver(fault, request, api_name, answer)

    def _check_signature(self, request: web.BaseRequest, params: Mapping[str, str]) -> None:
        options, app_key = self._state.options, _Address.of(request).app_key
        if not app_key:
            raise RefusedError("missing-app-key")
        if app_key != options.app_key:
            raise RefusedError("invalid-app-key")
        given = params.get("_aop_signature")
        if not given:
            raise RefusedError("missing-signature")
        path = request.path.removeprefix(PREFIX)
        if not equal(given, param2_signature(path, params, options.app_secret)):
            raise RefusedError("invalid-signature")
        self._check_timestamp(params.get("_aop_timestamp"))

    def _check_timestamp(self, text: str | None) -> None:
        if not text:
            return
        if not (text.isascii() and text.isdecimal() and len(text) < 19):
            raise RefusedError("invalid-timestamp", "the timestamp is no number of milliseconds")
        if not self._state.clock.is_current(int(text) / 1000):
            raise RefusedError("invalid-timestamp")

    def _answer_time(self) -> web.Response:
        return json_response(encode(self._state.clock.platform_text()))

    def _answer_token(
        self, request: web.BaseRequest, params: Mapping[str, str], app_key: str
    ) -> web.Response:
        try:
            _require_post(request)
            answer = self._state.tokens.exchange(app_key, params)
        except OAuthError as error:
            self._state.counters.refused(error.body["error"])
            return json_response(encode(error.body), 400)
        return json_response(encode(answer))


def _require_post(request: web.BaseRequest) -> None:
    if request.method != "POST":
        raise OAuthError("invalid_request", "call with POST")
