"""Authorisation by a 1688 user: OAuth 2.0, as the open platform speaks it.

Source: https://open.1688.com/doc/apiAuth.htm.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlencode

from pydantic import TypeAdapter

from ali1688_spider.gateway import errors
from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.redaction import SecretRedactor

if TYPE_CHECKING:
    from ali1688_spider.gateway.clock import GatewayClock
    from ali1688_spider.gateway.token_stores import TokenStore

logger = logging.getLogger(__name__)

Fetch: TypeAlias = "Callable[[str], Awaitable[Mapping[str, Any]]]"
"""Asks the platform for a new access token: takes the refresh token, returns the data of the
response, raises CallError."""

TOKEN_API = "system.oauth2:getToken-1"  # noqa: S105  # the name of an API
"""The API that grants tokens, named as all APIs of param2 are."""

FETCH_SECONDS = 30.0
"""How long a refresh may take: well below the time that a store's lock is held."""

UNREADABLE_TRIES = 3
"""Refreshes with an unreadable response and no HTTP error, before that is taken for a refusal."""

_REFRESH_BACKOFF = Backoff(base=0.2, cap=5.0)
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
        access_token: What calls carry; empty if the app has none, as is *refresh_token*.
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
        names = ("access_token", "refresh_token", "expires_in", "refresh_token_timeout")
        values = ("" if data.get(name) is None else str(data[name]).strip() for name in names)
        access_token, refresh_token, lifetime, end = values
        if not access_token:
            raise errors.AuthorizationError("the token API returned no access_token")
        kept_end = None if refresh_token else self.refresh_expires_at
        return TokenGrant(
            access_token=access_token,
            refresh_token=refresh_token or self.refresh_token,
            origin=self.origin,
            obtained_at=now.astimezone(UTC),
            expires_at=_after(now, lifetime),
            refresh_expires_at=_instant(end) or kept_end,
        )

    def is_newer_than(self, other: TokenGrant) -> bool:
        """Whether it was granted later; configured tokens are older than any."""
        mine, theirs = self.obtained_at, other.obtained_at
        return mine is not None and (theirs is None or mine > theirs)

    def to_json(self) -> bytes:
        """Return the grant, secrets included, as JSON text."""
        return _JSON.dump_json(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> TokenGrant:
        """Return the grant of :meth:`to_json`; raise ValueError if the text is anything else."""
        return _JSON.validate_json(text)


_JSON = TypeAdapter(TokenGrant)


def _after(now: datetime, seconds: str) -> datetime | None:
    with suppress(ValueError, OverflowError):
        if (lifetime := float(seconds)) > 0:
            return now.astimezone(UTC) + timedelta(seconds=lifetime)
    return None


def _instant(text: str) -> datetime | None:
    if match := _INSTANT.fullmatch(text):
        with suppress(ValueError, OverflowError):
            return datetime.strptime("".join(match.groups()), "%Y%m%d%H%M%S%z").astimezone(UTC)
    return None


@dataclass(eq=False, repr=False)
class TokenKeeper:
    """Knows the access token in use; refreshes it once, however many calls notice its end.

    The platform decides when a token has expired; its announced lifetime is never relied on.
    Every coroutine raises TokenStoreError when the store cannot be reached.

    *redactor* learns every token, so that logs do not show it. *backoff* is the time between
    refreshes that fail, by *monotonic*, seconds of a clock that never jumps.

    Attributes:
        grant: The tokens in use and what is known of their lifetime.
        is_loaded: Whether :meth:`load` was successful.
    """

    grant: TokenGrant
    store: TokenStore
    clock: GatewayClock
    fetch: Fetch
    _: KW_ONLY
    redactor: SecretRedactor = field(default_factory=SecretRedactor)
    backoff: Backoff = _REFRESH_BACKOFF
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._refreshing: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._failures = 0
        self._retry_at = 0.0
        self.is_loaded = False
        self._use(self.grant)

    def current(self) -> str:
        """Return the access token in use; empty if there is none."""
        return self.grant.access_token

    async def load(self) -> None:
        """Take over what an earlier run, or another worker, has kept of the configured tokens."""
        kept = await self._kept()
        self.is_loaded = True
        if kept is not None:
            self._use(kept)

    async def refresh(self, stale_token: str) -> str:
        """Return an access token other than the one that was refused.

        However many callers, in this process and in all that share the store, one of them
        fetches; the others wait for it. If it fails, all of them get its error, and so does who
        asks again before the back-off has passed.

        Raises:
            AuthorizationError: There is no refresh token, or the platform refuses it.
            CallError: The refresh failed otherwise; it may succeed later.
        """
        if stale_token != self.current():
            return self.current()
        if self._refreshing is None or self._refreshing.done():
            if self._failure is not None and self.monotonic() < self._retry_at:
                raise self._failure
            self._refreshing = asyncio.create_task(self._refresh())
        # Who is cancelled stops waiting, and takes the refresh from nobody else.
        await asyncio.shield(self._refreshing)
        if self._failure is not None:
            raise self._failure
        return self.current()

    async def adopt(self, data: Mapping[str, Any]) -> None:
        """Use and keep the tokens of a new authorisation; see :meth:`TokenGrant.renewed`."""
        self._use(TokenGrant(origin=self.grant.origin).renewed(data, now=self.clock.now()))
        await self.store.save(self.grant)

    async def _refresh(self) -> None:
        """Refresh the token; note a failure for all who wait for it."""
        try:
            async with self.store.exclusive():
                kept = await self._kept()
                if kept is not None and kept.is_newer_than(self.grant):
                    self._use(kept)
                else:
                    await self._renew()
        except Exception as error:  # noqa: BLE001  # raised by refresh()
            self._failures += 1
            self._failure = error
            self._retry_at = self.monotonic() + self.backoff.ceiling(self._failures)
        else:
            self._failure, self._failures = None, 0

    async def _renew(self) -> None:
        if not self.grant.refresh_token:
            missing = "the access token is refused and there is no refresh token"
            raise errors.AuthorizationError(missing)
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                data = await self.fetch(self.grant.refresh_token)
        except TimeoutError:
            raise errors.CallTimeoutError("no response to the refresh of the token") from None
        except errors.CallError as error:
            if isinstance(error, errors.AuthorizationError) or self._may_pass(error):
                raise
            raise errors.AuthorizationError(f"the token API refuses: {error}") from None
        # Used before anything can fail: the former refresh token may be void now.
        self._use(self.grant.renewed(data, now=self.clock.now()))
        try:
            await self.store.save(self.grant)
        except errors.TokenStoreError:
            logger.exception("The refreshed token could not be kept: this process alone has it")
        else:
            logger.info("The access token was refreshed")

    def _may_pass(self, error: errors.CallError) -> bool:
        """Whether a refresh that failed may succeed later.

        Whatever the platform says, it is a refusal, unless it says that it is in trouble.
        """
        if isinstance(error, errors.UnreadableResponseError) and (error.status or 0) < 400:
            return self._failures + 1 < UNREADABLE_TRIES
        if isinstance(error, errors.TransportError):
            return error.status is None or error.status >= 500
        in_trouble = errors.ServiceError | errors.FlowControlError | errors.DailyQuotaError
        return isinstance(error, in_trouble)

    async def _kept(self) -> TokenGrant | None:
        kept = await self.store.load()
        return kept if kept is not None and kept.origin == self.grant.origin else None

    def _use(self, grant: TokenGrant) -> None:
        self.redactor.add(grant.access_token, grant.refresh_token)
        self.grant = grant
