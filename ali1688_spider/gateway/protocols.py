"""How a call goes over the wire: parameters as text, the address, the signature and the body.

Everything that may go into the body does, so that no token or signature stands in an address.

A signature takes the parameters as text and is upper-case hex. Sources: the signature pages of the
1688 Open Platform (``param2``) and of the Taobao Open Platform (``top``); ``router`` is the older
rule with the secret at the end only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import quote_plus

from ali1688_spider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from ali1688_spider.gateway.clock import GatewayClock

ProtocolName: TypeAlias = Literal["router", "param2", "top"]
HttpMethod: TypeAlias = Literal["GET", "POST"]
SignMethod: TypeAlias = Literal["md5", "hmac", "hmac-sha256"]

_PLAIN = re.compile(r"[\w.~-]*", re.ASCII)

DEFAULT_GATEWAYS: dict[ProtocolName, str] = {
    "router": "https://gw.api.1688.com/router/json",
    "param2": "https://gw.open.1688.com/openapi",
    "top": "https://gw.api.taobao.com/router/rest",
}


@dataclass(frozen=True, slots=True)
class WireCall:
    """A call ready to be sent; ``body`` is a form when the method is POST, else empty."""

    http_method: HttpMethod
    url: str = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    access_token: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to the body."""
        form = "application/x-www-form-urlencoded;charset=UTF-8"
        return {"Content-Type": form} if self.body else {}


@dataclass(frozen=True, slots=True)
class WireResponse:
    """What came back: headers by lower-case names, the body decompressed, seconds on the way."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    round_trip: float = 0.0


@dataclass(frozen=True, slots=True)
class CallSigner:
    """Makes signed calls of one app by one protocol.

    * ``router``: ``/router/json``, all parameters in one form, ``sign`` = MD5.
    * ``top``: ``/router/rest`` of the Taobao Open Platform, POST, three kinds of ``sign``.
    * ``param2``: ``/openapi/param2/…`` of the 1688 Open Platform, ``_aop_signature`` = HMAC-SHA1.
    """

    protocol: ProtocolName
    gateway: str
    app_key: str
    app_secret: str = field(repr=False)
    http_method: HttpMethod = "POST"
    sign_method: SignMethod = "md5"

    def address(self, api_name: str) -> str:
        """Return the URL of an API, without anything secret."""
        path = f"/{param2_path(api_name, self.app_key)}" if self.protocol == "param2" else ""
        return self.gateway + path

    def sign(
        self, api_name: str, params: Mapping[str, object], access_token: str, clock: GatewayClock
    ) -> WireCall:
        """Return the signed call of an API; *params* are its own, nested ones as objects."""
        url, texts = self.address(api_name), wire_text(params)
        if access_token:
            texts["access_token" if self.protocol == "param2" else "session"] = access_token
        if self.protocol == "param2":
            texts["_aop_timestamp"] = str(clock.milliseconds())
            path = param2_path(api_name, self.app_key)
            texts["_aop_signature"] = sign_param2(path, texts, self.app_secret)
        else:
            texts |= {"method": api_name, "app_key": self.app_key, "format": "json"}
            texts["timestamp"] = clock.timestamp()
            if self.protocol == "top":
                texts |= {"v": "2.0", "sign_method": self.sign_method}
                texts["sign"] = sign_top(texts, self.app_secret, self.sign_method)
            else:
                texts["sign"] = sign_router(texts, self.app_secret)
        form = "&".join(f"{_quoted(name)}={_quoted(text)}" for name, text in texts.items())
        if self.http_method == "GET" and self.protocol != "top":
            return WireCall("GET", f"{url}?{form}", b"", access_token)
        return WireCall("POST", url, form.encode("ascii"), access_token)


def _quoted(text: str) -> str:
    """Return what ``urllib.parse.quote_plus`` does; most texts are plain, and it takes a while."""
    return text if _PLAIN.fullmatch(text) else quote_plus(text)


def wire_text(params: Mapping[str, object]) -> dict[str, str]:
    """Return the parameters as the texts that are signed and sent; nulls and ``""`` are left out.

    A nested value becomes JSON here, once: what is signed is to the letter what is sent.
    """
    return {name: _text(value) for name, value in params.items() if value not in (None, "")}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, Decimal)):
        return str(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def param2_path(api_name: str, app_key: str) -> str:
    """Return what stands between ``/openapi/`` and ``?`` for an API ``namespace:name-version``."""
    namespace, colon, rest = api_name.partition(":")
    name, dash, version = rest.rpartition("-")
    if colon and dash and namespace and name and version.isdigit():
        return f"param2/{version}/{namespace}/{name}/{app_key}"
    raise ConfigurationError(
        f"{api_name!r} is no API of param2: write it as namespace:name-version, "
        "such as com.alibaba.product:alibaba.product.get-1"
    )


def sign_router(params: Mapping[str, str], secret: str) -> str:
    """Return ``MD5(k1v1k2v2… + secret)``, the names in order."""
    return _md5(_joined_by_name(params) + secret)


def sign_param2(url_path: str, params: Mapping[str, str], secret: str) -> str:
    """Return ``HMAC-SHA1(urlPath + pairs, secret)``, without ``_aop_signature`` among *params*.

    The pairs ``name + value`` are sorted as wholes, in byte order: by name alone ``keyword`` and
    ``keywordTranslate`` could come out the other way round.
    """
    pairs = sorted((name + value).encode() for name, value in params.items())
    message = url_path.encode() + b"".join(pairs)
    return hmac.new(secret.encode(), message, hashlib.sha1).hexdigest().upper()


def sign_callback(form: Mapping[str, str], secret: str) -> str:
    """Return ``HMAC-SHA1(pairs, secret)``: a callback of ``param2`` is signed without a path."""
    others = {name: value for name, value in form.items() if name != "_aop_signature"}
    return sign_param2("", others, secret)


def is_from_platform(form: Mapping[str, str], secret: str) -> bool:
    """Whether a callback's ``_aop_signature`` is right, in either case; takes a constant time."""
    given = form.get("_aop_signature", "").upper().encode("utf-8", "surrogatepass")
    return hmac.compare_digest(given, sign_callback(form, secret).encode())


def sign_top(params: Mapping[str, str], secret: str, sign_method: SignMethod) -> str:
    """Return ``MD5(secret + pairs + secret)``, ``HMAC-MD5(pairs)`` or ``HMAC-SHA256(pairs)``."""
    pairs = _joined_by_name(params)
    if sign_method == "md5":
        return _md5(secret + pairs + secret)
    digest = hashlib.md5 if sign_method == "hmac" else hashlib.sha256
    return hmac.new(secret.encode(), pairs.encode(), digest).hexdigest().upper()


def _joined_by_name(params: Mapping[str, str]) -> str:
    return "".join(name + params[name] for name in sorted(params))


def _md5(text: str) -> str:
    # The platform's rule, not a choice: MD5 authenticates nothing by itself.
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()
