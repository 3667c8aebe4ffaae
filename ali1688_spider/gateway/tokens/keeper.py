"""The access token in use: refreshed once, however many calls notice that it has expired."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from ali1688_spider.gateway import errors
from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.gateway.tokens import TokenGrant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ali1688_spider.gateway.clock import GatewayClock
    from ali1688_spider.gateway.tokens.stores import TokenStore
    from ali1688_spider.redaction import SecretRedactor

logger = logging.getLogger(__name__)

Fetch: TypeAlias = "Callable[[str], Awaitable[Mapping[str, Any]]]"
"""Asks the platform for a new access token: takes the refresh token, returns the data of the
response, raises CallError."""

FETCH_SECONDS = 30.0
"""How long a refresh may take: well below the time that a store's lock is held."""

UNREADABLE_TRIES = 3
"""Refreshes with an unreadable response and no HTTP error, before that is taken for a refusal."""

_REFRESH_BACKOFF = Backoff(base=0.2, cap=5.0)


class TokenKeeper:
    """Knows the access token in use, and replaces it when the platform refuses it.

    The platform decides when a token has expired; its announced lifetime is never relied on.

    *redactor* learns every token, so that logs do not show it. *backoff* is the time between
    refreshes that fail, by *monotonic*, seconds of a clock that never jumps.

    Attributes:
        grant: The tokens in use and what is known of their lifetime.
        is_loaded: Whether :meth:`load` was successful.
    """

    def __init__(
        self,
        configured: TokenGrant,
        store: TokenStore,
        clock: GatewayClock,
        fetch: Fetch,
        *,
        redactor: SecretRedactor | None = None,
        backoff: Backoff = _REFRESH_BACKOFF,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._origin = configured.origin
        self._store = store
        self._clock = clock
        self._fetch = fetch
        self._redactor = redactor
        self._backoff = backoff
        self._monotonic = monotonic
        self._refreshing: asyncio.Task[str] | None = None
        self._failure: Exception | None = None
        self._failures = 0
        self._retry_at = 0.0
        self.is_loaded = False
        self._use(configured)

    def current(self) -> str:
        """Return the access token in use; empty if there is none."""
        return self.grant.access_token

    async def load(self) -> None:
        """Take over what an earlier run, or another worker, has kept of the configured tokens.

        Raises:
            TokenStoreError: The store cannot be reached.
        """
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
            if self._failure is not None and self._monotonic() < self._retry_at:
                raise self._failure
            self._refreshing = asyncio.create_task(self._refresh())
            self._refreshing.add_done_callback(_retrieve)
        # Who is cancelled stops waiting, and takes the refresh from nobody else.
        return await asyncio.shield(self._refreshing)

    async def adopt(self, data: Mapping[str, Any]) -> None:
        """Use and keep the tokens of a new authorisation; see :meth:`TokenGrant.renewed`.

        Raises:
            TokenStoreError: The tokens cannot be kept.
        """
        self._use(TokenGrant(origin=self._origin).renewed(data, now=self._clock.now()))
        await self._store.save(self.grant)

    async def _refresh(self) -> str:
        try:
            async with self._store.exclusive():
                kept = await self._kept()
                if kept is not None and kept.is_newer_than(self.grant):
                    self._use(kept)
                else:
                    await self._renew()
        except Exception as error:
            self._failures += 1
            self._failure = error
            self._retry_at = self._monotonic() + self._backoff.ceiling(self._failures)
            raise
        self._failure, self._failures = None, 0
        return self.current()

    async def _renew(self) -> None:
        if not self.grant.refresh_token:
            raise errors.AuthorizationError(
                "the access token is refused and there is no refresh token"
            )
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                data = await self._fetch(self.grant.refresh_token)
        except TimeoutError:
            raise errors.CallTimeoutError("no response to the refresh of the token") from None
        except errors.CallError as error:
            if isinstance(error, errors.AuthorizationError) or self._may_pass(error):
                raise
            raise errors.AuthorizationError(f"the token API refuses: {error}") from None
        # Used before anything can fail: the former refresh token may be void now.
        self._use(self.grant.renewed(data, now=self._clock.now()))
        try:
            await self._store.save(self.grant)
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
        return isinstance(
            error, errors.ServiceError | errors.FlowControlError | errors.DailyQuotaError
        )

    async def _kept(self) -> TokenGrant | None:
        kept = await self._store.load()
        return kept if kept is not None and kept.origin == self._origin else None

    def _use(self, grant: TokenGrant) -> None:
        if self._redactor is not None:
            self._redactor.add(grant.access_token, grant.refresh_token)
        self.grant = grant


def _retrieve(task: asyncio.Task[str]) -> None:
    """Mark the outcome as seen, for the case that every caller was cancelled."""
    if not task.cancelled():
        task.exception()
