"""The protocols ``router`` and ``top``: one address, the API in the parameter ``method``."""

from __future__ import annotations

import itertools
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox.apis import ROUTER_APIS
from ali1688_spider.sandbox.clock import CHINA
from ali1688_spider.sandbox.protocol import Protocol
from ali1688_spider.sandbox.refusals import RefusedError
from ali1688_spider.sandbox.signatures import (
    SIGN_METHODS,
    equal,
    router_signature,
    top_signature,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from ali1688_spider.sandbox.apis import Api
    from ali1688_spider.sandbox.state import State

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)


class Router(Protocol):
    """``/router/json``: GET or POST, ``sign`` is an MD5 with the secret at its end."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._request_ids = itertools.count(1)

    def identify(self, request: web.BaseRequest, params: Mapping[str, str]) -> Api:  # noqa: ARG002
        """Return the API of the parameter ``method``."""
        method = params.get("method")
        if not method:
            raise RefusedError("missing-method")
        if method not in ROUTER_APIS:
            raise RefusedError("unknown-api", f"there is no API {method}")
        return ROUTER_APIS[method]

    def authenticate(self, request: web.BaseRequest, params: Mapping[str, str]) -> None:  # noqa: ARG002
        """Check app key, version, signature, timestamp, format and session."""
        options = self._state.options
        app_key, sign = params.get("app_key"), params.get("sign")
        if not app_key:
            raise RefusedError("missing-app-key")
        if app_key != options.app_key:
            raise RefusedError("invalid-app-key")
        if not sign:
            raise RefusedError("missing-signature")
        self.check_version(params)
        if not equal(sign, self.signature(params)):
            raise RefusedError("invalid-signature")
        self._check_timestamp(params.get("timestamp"))
        if params.get("format") != "json":
            raise RefusedError("invalid-format")
        self._state.tokens.check(params.get("session", ""))

    def check_version(self, params: Mapping[str, str]) -> None:
        """Check what must be known before the signature."""

    def signature(self, params: Mapping[str, str]) -> str:
        """Return the signature that the call should have."""
        return router_signature(params, self._state.options.app_secret)

    def error(self, refused: RefusedError) -> tuple[int, Any]:
        """Return the ``error_response``."""
        return 200, refused.router_body(f"{next(self._request_ids):012x}")

    def _check_timestamp(self, text: str | None) -> None:
        if not text:
            raise RefusedError("missing-timestamp")
        try:
            if not _TIMESTAMP.fullmatch(text):
                raise RefusedError("invalid-timestamp", "the timestamp is no yyyy-MM-dd HH:mm:ss")
            stamped = datetime.fromisoformat(text).replace(tzinfo=CHINA)
        except ValueError as error:
            raise RefusedError("invalid-timestamp", "there is no such time") from error
        if not self._state.clock.is_current(stamped.timestamp()):
            raise RefusedError("invalid-timestamp")


class Top(Router):
    """``/router/rest``: POST only, ``sign`` by ``sign_method``, answers under the method's name."""

    def identify(self, request: web.BaseRequest, params: Mapping[str, str]) -> Api:
        """Return the API of the parameter ``method``."""
        if request.method != "POST":
            raise RefusedError("http-method")
        return super().identify(request, params)

    def check_version(self, params: Mapping[str, str]) -> None:
        """Check the version and the method of the signature."""
        if not params.get("v"):
            raise RefusedError("missing-version")
        if params["v"] != "2.0":
            raise RefusedError("invalid-version")
        if not params.get("sign_method"):
            raise RefusedError("missing-parameter", parameter="sign_method")
        if params["sign_method"] not in SIGN_METHODS:
            raise RefusedError("invalid-parameter", parameter="sign_method")

    def signature(self, params: Mapping[str, str]) -> str:
        """Return the signature that the call should have."""
        return top_signature(params, self._state.options.app_secret)

    def wrap(self, api_name: str, body: bytes) -> bytes:
        """Return the body under ``<method with underscores>_response``."""
        name = api_name.replace(".", "_").encode()
        return b'{"' + name + b'_response":' + body + b"}"
