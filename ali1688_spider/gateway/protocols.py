"""How a call goes over the wire: parameters as text, the address, the signature and the body.

Each protocol turns the name of an API and its parameters into a :class:`WireCall`. Everything that
may go into the body does, so that no token or signature stands in an address.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias
from urllib.parse import urlencode

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.signing import sign_param2, sign_router, sign_top

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ali1688_spider.config import Config

HttpMethod: TypeAlias = Literal["GET", "POST"]


class Clock(Protocol):
    """The gateway's time, see :mod:`ali1688_spider.gateway.clock`."""

    def timestamp(self) -> str:
        """Return the time in China as ``yyyy-MM-dd HH:mm:ss``."""

    def milliseconds(self) -> int:
        """Return the time since 1970-01-01 UTC in milliseconds."""


@dataclass(frozen=True, slots=True)
class WireCall:
    """A signed call, ready to be sent; ``body`` is a form when the method is POST, else empty."""

    http_method: HttpMethod
    url: str = field(repr=False)
    body: bytes = field(repr=False)


class WireProtocol(Protocol):
    """One way to call the platform."""

    def address(self, api_name: str) -> str:
        """Return the URL of an API, without anything secret."""

    def sign(
        self, api_name: str, params: Mapping[str, object], *, access_token: str, clock: Clock
    ) -> WireCall:
        """Return the signed call of an API; *params* are its own, nested ones as objects."""


def wire_text(params: Mapping[str, object]) -> dict[str, str]:
    """Return the parameters as the texts that are signed and sent; nulls and ``""`` are left out.

    A nested value becomes JSON here, once: what is signed is to the letter what is sent.
    """
    texts = {name: _text(value) for name, value in params.items() if value is not None}
    return {name: text for name, text in texts.items() if text}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, Decimal)):
        return str(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class RouterProtocol:
    """``/router/json``: all parameters in one form, ``sign`` = MD5."""

    gateway: str
    app_key: str
    app_secret: str = field(repr=False)
    http_method: HttpMethod = "POST"

    def address(self, api_name: str) -> str:  # noqa: ARG002  # one address for all APIs
        """Return the gateway's URL."""
        return self.gateway

    def sign(
        self, api_name: str, params: Mapping[str, object], *, access_token: str, clock: Clock
    ) -> WireCall:
        """Return the signed call."""
        texts = wire_text(params) | {
            "method": api_name,
            "app_key": self.app_key,
            "timestamp": clock.timestamp(),
            "format": "json",
        }
        if access_token:
            texts["session"] = access_token
        texts["sign"] = sign_router(texts, self.app_secret)
        return _wire_call(self.http_method, self.gateway, texts)


@dataclass(frozen=True, slots=True)
class TopProtocol:
    """``/router/rest`` of the Taobao Open Platform: POST, three kinds of signature."""

    gateway: str
    app_key: str
    app_secret: str = field(repr=False)
    sign_method: Literal["md5", "hmac", "hmac-sha256"] = "md5"

    def address(self, api_name: str) -> str:  # noqa: ARG002  # one address for all APIs
        """Return the gateway's URL."""
        return self.gateway

    def sign(
        self, api_name: str, params: Mapping[str, object], *, access_token: str, clock: Clock
    ) -> WireCall:
        """Return the signed call."""
        texts = wire_text(params) | {
            "method": api_name,
            "app_key": self.app_key,
            "timestamp": clock.timestamp(),
            "format": "json",
            "v": "2.0",
            "sign_method": self.sign_method,
        }
        if access_token:
            texts["session"] = access_token
        texts["sign"] = sign_top(texts, self.app_secret, self.sign_method)
        return _wire_call("POST", self.gateway, texts)


@dataclass(frozen=True, slots=True)
class Param2Protocol:
    """``/openapi/param2/…`` of the 1688 Open Platform: ``_aop_signature`` = HMAC-SHA1."""

    gateway: str
    app_key: str
    app_secret: str = field(repr=False)
    http_method: HttpMethod = "POST"

    def address(self, api_name: str) -> str:
        """Return the URL of an API named as ``namespace:name-version``."""
        return f"{self.gateway}/{self._url_path(api_name)}"

    def sign(
        self, api_name: str, params: Mapping[str, object], *, access_token: str, clock: Clock
    ) -> WireCall:
        """Return the signed call."""
        texts = wire_text(params)
        texts["_aop_timestamp"] = str(clock.milliseconds())
        if access_token:
            texts["access_token"] = access_token
        url_path = self._url_path(api_name)
        texts["_aop_signature"] = sign_param2(url_path, texts, self.app_secret)
        return _wire_call(self.http_method, f"{self.gateway}/{url_path}", texts)

    def _url_path(self, api_name: str) -> str:
        namespace, name, version = split_api_name(api_name)
        return f"param2/{version}/{namespace}/{name}/{self.app_key}"


def split_api_name(api_name: str) -> tuple[str, str, str]:
    """Return namespace, name and version of ``namespace:name-version``.

    Raises:
        ConfigurationError: The name has another form.
    """
    namespace, colon, rest = api_name.partition(":")
    name, dash, version = rest.rpartition("-")
    if colon and dash and namespace and name and version.isdigit():
        return namespace, name, version
    raise ConfigurationError(
        f"{api_name!r} is no API of param2: write it as namespace:name-version, "
        "such as com.alibaba.product:alibaba.product.get-1"
    )


def wire_protocol(config: Config) -> WireProtocol:
    """Return the protocol that the configuration names, with its credentials."""
    credentials = (config.gateway, config.app_key, config.app_secret)
    match config.protocol:
        case "router":
            return RouterProtocol(*credentials, config.http_method)
        case "param2":
            return Param2Protocol(*credentials, config.http_method)
        case "top":
            return TopProtocol(*credentials, config.sign_method)


def _wire_call(http_method: HttpMethod, url: str, texts: Mapping[str, str]) -> WireCall:
    form = urlencode(texts)
    if http_method == "GET":
        return WireCall("GET", f"{url}?{form}", b"")
    return WireCall("POST", url, form.encode("ascii"))
