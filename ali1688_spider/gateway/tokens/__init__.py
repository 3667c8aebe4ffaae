"""Authorisation by a 1688 user: OAuth 2.0, as the open platform speaks it.

Source: https://open.1688.com/doc/apiAuth.htm.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pydantic import TypeAdapter

from ali1688_spider.gateway.errors import AuthorizationError

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN_API = "system.oauth2:getToken-1"  # noqa: S105  # the name of an API
"""The API that grants tokens, named as all APIs of param2 are."""

_AUTHORIZE = "https://auth.1688.com/oauth/authorize"
_INSTANT = re.compile(r"(\d{14})(?:\d{3})?([+-]\d{4})")  # 20181213201638000+0800


def authorization_url(app_key: str, redirect_uri: str, state: str) -> str:
    """Return the page where a user authorises the app.

    The user is then sent to ``{redirect_uri}?code=…&state=…``; the code lives minutes. *state* is
    an unguessable text of the caller's, to recognise its own user by.
    """
    query = {"client_id": app_key, "site": "1688", "redirect_uri": redirect_uri, "state": state}
    return f"{_AUTHORIZE}?{urlencode(query)}"


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """An access token with what belongs to it; its repr shows none of the secrets.

    Attributes:
        access_token: What calls carry; empty if the app has none.
        refresh_token: What a new access token is asked for with; empty if there is none.
        origin: Fingerprint of the configured tokens that it descends from. When a person
            configures other tokens, those count, and not what was kept of the former ones.
        obtained_at: When the platform granted it (UTC); None for configured tokens.
        expires_at: When the access token ends (UTC); None if it never does or nobody knows.
        refresh_expires_at: When the refresh token ends (UTC); None likewise.
    """

    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    origin: str = ""
    obtained_at: datetime | None = None
    expires_at: datetime | None = None
    refresh_expires_at: datetime | None = None

    @classmethod
    def configured(cls, access_token: str, refresh_token: str) -> TokenGrant:
        """Return the grant of the settings; each token may be empty."""
        fingerprint = hashlib.sha256(f"{access_token}\n{refresh_token}".encode()).hexdigest()
        return cls(access_token, refresh_token, origin=fingerprint)

    def renewed(self, data: Mapping[str, Any], *, now: datetime) -> TokenGrant:
        """Return the grant that follows; the refresh token stays if *data* has none.

        Args:
            data: What the token API returned: ``access_token``, ``expires_in`` (seconds, as text),
                ``refresh_token``, ``refresh_token_timeout`` (``yyyyMMddHHmmssSSS+0800``). A
                lifetime in any other form is taken for unknown.
            now: The gateway's time, aware.

        Raises:
            AuthorizationError: There is no access token in *data*.
        """
        access_token, refresh_token = _text(data, "access_token"), _text(data, "refresh_token")
        if not access_token:
            raise AuthorizationError("the token API returned no access_token")
        refresh_expires_at = _instant(_text(data, "refresh_token_timeout"))
        if not refresh_token:
            refresh_expires_at = refresh_expires_at or self.refresh_expires_at
        return TokenGrant(
            access_token=access_token,
            refresh_token=refresh_token or self.refresh_token,
            origin=self.origin,
            obtained_at=now.astimezone(UTC),
            expires_at=_after(now, _text(data, "expires_in")),
            refresh_expires_at=refresh_expires_at,
        )

    def is_newer_than(self, other: TokenGrant) -> bool:
        """Whether it was granted later; configured tokens are older than any."""
        if self.obtained_at is None:
            return False
        return other.obtained_at is None or self.obtained_at > other.obtained_at

    def to_json(self) -> bytes:
        """Return the grant, secrets included, as JSON text."""
        return _JSON.dump_json(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> TokenGrant:
        """Return the grant of :meth:`to_json`.

        Raises:
            ValueError: The text is anything else.
        """
        return _JSON.validate_json(text)


_JSON = TypeAdapter(TokenGrant)


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return "" if value is None else str(value).strip()


def _after(now: datetime, seconds: str) -> datetime | None:
    try:
        lifetime = float(seconds)
        return now.astimezone(UTC) + timedelta(seconds=lifetime) if lifetime > 0 else None
    except (ValueError, OverflowError):
        return None


def _instant(text: str) -> datetime | None:
    match = _INSTANT.fullmatch(text)
    try:
        instant = match and datetime.strptime("".join(match.groups()), "%Y%m%d%H%M%S%z")
        return instant.astimezone(UTC) if instant else None
    except (ValueError, OverflowError):
        return None
