"""Authorisation: codes, access tokens and refresh tokens.

``/oauth/authorize`` stands for the user who agrees at once. Parameters, answers and errors are
those of ``system.oauth2/getToken``, as the authorisation pages of the 1688 Open Platform say.
"""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ali1688_spider.sandbox.refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ali1688_spider.sandbox.clock import Clock
    from ali1688_spider.sandbox.counters import Counters
    from ali1688_spider.sandbox.options import Options

_CODE_SECONDS = 600
_REFRESH_TOKEN_SECONDS = 180 * 86_400


class OAuthError(Exception):
    """No token is given out.

    Args:
        error: The error's code, such as ``invalid_grant``.
        description: A sentence.
    """

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.body = {"error": error, "error_description": description}


class Tokens:
    """The tokens of the one user; a new access token invalidates the one before.

    A token is required only when the option ``access_token`` says so. A refresh answers with a new
    refresh token, which invalidates the one before, unless ``omit_refresh_token`` is on.
    """

    def __init__(self, options: Options, clock: Clock, counters: Counters) -> None:
        self._options = options
        self._clock = clock
        self._counters = counters
        self.reset()

    def reset(self) -> None:
        """Go back to the tokens of the options, the access token being fresh."""
        self._codes: dict[str, tuple[str, float]] = {}
        self._access_token = self._options.access_token
        self._refresh_token = self._options.refresh_token
        self._expires_at = self._clock.now() + self._options.token_lifetime

    def expire(self) -> None:
        """Let the access token expire now."""
        self._expires_at = -math.inf

    def check(self, presented: str) -> None:
        """Check the access token of a call.

        Raises:
            RefusedError: It is required and missing, wrong or expired.
        """
        if not self._options.access_token:
            return
        if not presented:
            raise RefusedError("missing-session")
        if presented != self._access_token or self._clock.now() >= self._expires_at:
            raise RefusedError("invalid-session")

    def authorize(self, params: Mapping[str, str]) -> str:
        """Return where the user is sent to after agreeing, with a code that lives 10 minutes.

        Raises:
            OAuthError: The app or the address to come back to is wrong.
        """
        if params.get("client_id") != self._options.app_key or params.get("site") != "1688":
            raise OAuthError("invalid_client", "client_id or site is wrong")
        address = params.get("redirect_uri", "")
        if not address:
            raise OAuthError("invalid_request", "redirect_uri is missing")
        code = str(uuid.uuid4())
        self._codes[code] = (address, self._clock.now() + _CODE_SECONDS)
        answer = {"code": code}
        if "state" in params:
            answer["state"] = params["state"]
        return f"{address}{'&' if '?' in address else '?'}{urlencode(answer)}"

    def exchange(self, app_key: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Return the answer of ``getToken``.

        Raises:
            OAuthError: The app, the code or the refresh token is wrong.
        """
        options = self._options
        known = app_key == params.get("client_id") == options.app_key
        if not known or params.get("client_secret") != options.app_secret:
            raise OAuthError("invalid_client", "client_id or client_secret is wrong")
        match params.get("grant_type"):
            case "authorization_code":
                self._use_code(params)
                with_refresh_token = params.get("need_refresh_token") == "true"
            case "refresh_token":
                self._check_refresh_token(params)
                self._counters.token_refreshes += 1
                with_refresh_token = not options.omit_refresh_token
            case _:
                raise OAuthError("unsupported_grant_type", "grant_type is wrong")
        return self._issue(with_refresh_token=with_refresh_token)

    def _use_code(self, params: Mapping[str, str]) -> None:
        address, expires_at = self._codes.pop(params.get("code", ""), ("", -math.inf))
        if self._clock.now() >= expires_at:
            raise OAuthError("invalid_grant", "the code is unknown, used or expired")
        if params.get("redirect_uri") != address:
            raise OAuthError("invalid_grant", "redirect_uri is another than that of the code")

    def _check_refresh_token(self, params: Mapping[str, str]) -> None:
        given = {params[name] for name in ("refresh_token", "refreshToken") if name in params}
        if not given:
            raise OAuthError("invalid_request", "refresh_token is missing")
        if not self._refresh_token or given != {self._refresh_token}:
            raise OAuthError("invalid_grant", "the refresh token is unknown or expired")

    def _issue(self, *, with_refresh_token: bool) -> dict[str, Any]:
        lifetime = self._options.token_lifetime
        self._access_token = str(uuid.uuid4())
        self._expires_at = self._clock.now() + lifetime
        answer = {
            "access_token": self._access_token,
            "expires_in": str(lifetime),
            "memberId": "b2b-1623492085",
            "aliId": "8888888888",
        }
        if with_refresh_token:
            self._refresh_token = str(uuid.uuid4())
            answer["refresh_token"] = self._refresh_token
            answer["refresh_token_timeout"] = self._clock.platform_text(
                later=_REFRESH_TOKEN_SECONDS
            )
        return answer
