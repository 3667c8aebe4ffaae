"""What an authorisation grants: an access token, and the means to renew it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway.errors import AuthorizationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_INSTANT = re.compile(r"(\d{14})(?:\d{3})?([+-]\d{4})")  # 20181213201638000+0800


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
        """Return the grant that the settings describe; each token may be empty."""
        fingerprint = hashlib.sha256(f"{access_token}\n{refresh_token}".encode()).hexdigest()
        return cls(access_token, refresh_token, origin=fingerprint)

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any], *, now: datetime, origin: str) -> TokenGrant:
        """Return the grant that an answer of the token API describes.

        Args:
            answer: The data of the answer: ``access_token``, ``expires_in`` (seconds, as text),
                ``refresh_token``, ``refresh_token_timeout`` (``yyyyMMddHHmmssSSS+0800``). A
                lifetime in any other form is taken for unknown.
            now: The gateway's time, aware.
            origin: Fingerprint of the configured tokens.

        Raises:
            AuthorizationError: There is no access token in it.
        """
        access_token = _text(answer, "access_token")
        if not access_token:
            raise AuthorizationError("the token API answers without an access_token")
        return cls(
            access_token=access_token,
            refresh_token=_text(answer, "refresh_token"),
            origin=origin,
            obtained_at=now.astimezone(UTC),
            expires_at=_after(now, _text(answer, "expires_in")),
            refresh_expires_at=_instant(_text(answer, "refresh_token_timeout")),
        )

    def renewed(self, answer: Mapping[str, Any], *, now: datetime) -> TokenGrant:
        """Return the grant after a refresh; the refresh token stays if the answer has none.

        Raises:
            AuthorizationError: There is no access token in the answer.
        """
        new = self.from_answer(answer, now=now, origin=self.origin)
        if new.refresh_token:
            return new
        expires_at = new.refresh_expires_at or self.refresh_expires_at
        return replace(new, refresh_token=self.refresh_token, refresh_expires_at=expires_at)

    def is_newer_than(self, other: TokenGrant) -> bool:
        """Return whether it was granted later; configured tokens are older than any."""
        if self.obtained_at is None:
            return False
        return other.obtained_at is None or self.obtained_at > other.obtained_at

    def to_json(self) -> str:
        """Return the grant, secrets included, as JSON text."""
        return json.dumps(asdict(self), default=datetime.isoformat)

    @classmethod
    def from_json(cls, text: str | bytes) -> TokenGrant:
        """Return the grant that :meth:`to_json` made the text of.

        Raises:
            ValueError: The text is anything else.
        """
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError("not an object")  # noqa: TRY004  # one error for all malformed texts
        return cls(
            access_token=_text(fields, "access_token"),
            refresh_token=_text(fields, "refresh_token"),
            origin=_text(fields, "origin"),
            obtained_at=_moment(fields, "obtained_at"),
            expires_at=_moment(fields, "expires_at"),
            refresh_expires_at=_moment(fields, "refresh_expires_at"),
        )


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return "" if value is None else str(value).strip()


def _moment(fields: Mapping[str, Any], name: str) -> datetime | None:
    text = _text(fields, name)
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _after(now: datetime, seconds: str) -> datetime | None:
    try:
        lifetime = float(seconds)
        return now.astimezone(UTC) + timedelta(seconds=lifetime) if lifetime > 0 else None
    except (ValueError, OverflowError):
        return None


def _instant(text: str) -> datetime | None:
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    try:
        return datetime.strptime("".join(match.groups()), "%Y%m%d%H%M%S%z").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
