"""Whether a call may pass: its signature, the user's token, permission, rate and quota.

The signatures are written from the platform's rules alone: the client's own signing is another
implementation, and a test shows that the two agree. Sorting text by code points is the same as
sorting its UTF-8 bytes. Parameters, responses and errors of the authorisation are those of
``system.oauth2/getToken`` on the pages of the 1688 Open Platform.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import time
import uuid
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ali1688_spider.sandbox.apis.api_table import bare_name
from ali1688_spider.sandbox.platform_errors import RefusedError, require
from ali1688_spider.sandbox.shapes import platform_text

if TYPE_CHECKING:
    from ali1688_spider.sandbox.options import Options

_CODE_SECONDS = 120
_REFRESH_TOKEN_SECONDS = 180 * 86_400
_DAY_SECONDS = 86_400
_CHINA_SECONDS = 8 * 3600
_HMACS = {"hmac": "md5", "hmac-sha256": "sha256"}


def router_signature(params: Mapping[str, str], secret: str) -> str:
    """Return the ``sign`` of a call: MD5 over the sorted pairs and then the secret."""
    return hashlib.md5((_sorted_pairs(params) + secret).encode()).hexdigest().upper()  # noqa: S324


def top_signature(params: Mapping[str, str], secret: str) -> str:
    """Return the ``sign`` of a call to the Taobao Open Platform by its own ``sign_method``."""
    pairs, method = _sorted_pairs(params), params["sign_method"]
    if method == "md5":
        return hashlib.md5((secret + pairs + secret).encode()).hexdigest().upper()  # noqa: S324
    require(method in _HMACS, "invalid-parameter", parameter="sign_method")
    return hmac.new(secret.encode(), pairs.encode(), _HMACS[method]).hexdigest().upper()


def param2_signature(path: str, params: Mapping[str, str], secret: str) -> str:
    """Return the ``_aop_signature`` of a call, for which empty parameters do not count.

    *path* is what stands between ``/openapi/`` and the query, with the app key at its end.
    """
    signed = (pair for pair in params.items() if pair[1] and pair[0] != "_aop_signature")
    text = path + "".join(sorted(name + value for name, value in signed))
    return hmac.new(secret.encode(), text.encode(), hashlib.sha1).hexdigest().upper()


def _sorted_pairs(params: Mapping[str, str]) -> str:
    return "".join(name + params[name] for name in sorted(params) if name != "sign")


class OAuthError(Exception):
    """No token is given out: an ``error`` such as ``invalid_grant``, and a sentence."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.body = {"error": error, "error_description": description}


class Tokens:
    """The tokens of the one user; a new access token invalidates the one before.

    A token is required only when the option ``access_token`` says so. A refresh returns a new
    refresh token, which invalidates the one before, unless ``omit_refresh_token`` is on.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._codes: dict[str, tuple[str, float]] = {}
        self._access_token = options.access_token
        self._refresh_token = options.refresh_token
        self._expires_at = options.now() + options.token_lifetime

    def expire(self) -> None:
        """Let the access token expire now."""
        self._expires_at = -math.inf

    def check(self, presented: str) -> None:
        """Check the access token of a call; raises RefusedError."""
        if self._options.access_token:
            require(presented, "missing-session")
            fresh = self._options.now() < self._expires_at
            require(fresh and presented == self._access_token, "invalid-session")

    def authorize(self, params: Mapping[str, str]) -> str:
        """Return where a user who agrees is sent to, with a code; raises OAuthError."""
        if params.get("client_id") != self._options.app_key or params.get("site") != "1688":
            raise OAuthError("invalid_client", "client_id or site is wrong")
        address = params.get("redirect_uri", "")
        if not address:
            raise OAuthError("invalid_request", "redirect_uri is missing")
        query = {"code": str(uuid.uuid4())}
        self._codes[query["code"]] = (address, self._options.now() + _CODE_SECONDS)
        if "state" in params:
            query["state"] = params["state"]
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"

    def exchange(self, method: str, app_key: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Return the response of ``getToken``, called by an HTTP method.

        Raises OAuthError, and RefusedError for a wrong refresh token.
        """
        options = self._options
        if method != "POST":
            raise OAuthError("invalid_request", "call with POST")
        known = app_key == params.get("client_id") == options.app_key
        if not known or params.get("client_secret") != options.app_secret:
            raise OAuthError("invalid_client", "client_id or client_secret is wrong")
        match params.get("grant_type"):
            case "authorization_code":
                self._use_code(params)
                with_refresh_token = params.get("need_refresh_token") == "true"
            case "refresh_token":
                self._check_refresh_token(params)
                with_refresh_token = not options.omit_refresh_token
            case _:
                raise OAuthError("unsupported_grant_type", "grant_type is wrong")
        now, lifetime = options.now(), options.token_lifetime
        self._access_token, self._expires_at = str(uuid.uuid4()), now + lifetime
        issued = {"access_token": self._access_token, "expires_in": str(lifetime)}
        issued |= {"memberId": "b2b-1623492085", "aliId": "8888888888"}
        if with_refresh_token:
            issued["refresh_token"] = self._refresh_token = str(uuid.uuid4())
            issued["refresh_token_timeout"] = platform_text(now + _REFRESH_TOKEN_SECONDS)
        return issued

    def _use_code(self, params: Mapping[str, str]) -> None:
        address, expires_at = self._codes.pop(params.get("code", ""), ("", -math.inf))
        if self._options.now() >= expires_at:
            raise OAuthError("invalid_grant", "the code is unknown, used or expired")
        if params.get("redirect_uri") != address:
            raise OAuthError("invalid_grant", "redirect_uri is another than that of the code")

    def _check_refresh_token(self, params: Mapping[str, str]) -> None:
        given = {params[name] for name in ("refresh_token", "refreshToken") if name in params}
        if not given:
            raise OAuthError("invalid_request", "refresh_token is missing")
        known = self._refresh_token and given == {self._refresh_token}
        require(known, "wrong-refresh-token")


class Admission:
    """Keeps to the options ``deny``, ``qps``, ``ban`` and ``daily_quota``.

    The rate is that of the calls admitted in the last second, at any moment; a refused call does
    not count. Days are China's, by the gateway's clock, as are bans.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._last_second: deque[float] = deque()
        self._banned_until = -math.inf
        self._day = -1.0
        self.used_today = 0

    def admit(self, api_name: str) -> None:
        """Admit a call of an API; raises RefusedError."""
        options, now = self._options, self._options.now()
        require({api_name, bare_name(api_name)}.isdisjoint(options.deny), "permission")
        require(now >= self._banned_until, "ban", seconds=self._banned_until - now)
        if options.qps:
            recent, moment = self._last_second, time.monotonic()
            while recent and recent[0] <= moment - 1:
                recent.popleft()
            if len(recent) >= options.qps:
                require(options.ban, "rate-limit")
                self._banned_until = now + options.ban
                raise RefusedError("ban", seconds=options.ban)
            recent.append(moment)
        day, passed = divmod(now + _CHINA_SECONDS, _DAY_SECONDS)
        if day != self._day:
            self._day, self.used_today = day, 0
        left = not options.daily_quota or self.used_today < options.daily_quota
        require(left, "daily-limit", seconds=_DAY_SECONDS - passed)
        self.used_today += 1
