"""The access token in use: refreshed once, however many calls notice that it has expired."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.gateway.errors import (
    AuthorizationError,
    CallError,
    DailyQuotaError,
    FlowControlError,
    NoAnswerInTimeError,
    ServiceError,
    TransportError,
    UnreadableAnswerError,
)
from ali1688_spider.gateway.tokens.store import TokenStoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ali1688_spider.gateway.clock import GatewayClock
    from ali1688_spider.gateway.tokens.grant import TokenGrant
    from ali1688_spider.gateway.tokens.store import TokenStore
    from ali1688_spider.redaction import SecretRedactor

logger = logging.getLogger(__name__)

Fetch: TypeAlias = "Callable[[str], Awaitable[Mapping[str, Any]]]"
"""Asks the platform for a new access token: takes the refresh token, returns the answer's data,
raises CallError."""

FETCH_SECONDS = 30.0
"""How long a refresh may take: well below the time that a store's lock is held."""

UNREADABLE_TRIES = 3
"""Refreshes with an unreadable answer and no HTTP error, after which it is taken for a refusal."""

_REFRESH_BACKOFF = Backoff(base=0.2, cap=5.0)


class TokenKeeper:
    """Knows the access token in use, and replaces it when the platform refuses it.

    The platform decides when a token has expired; its announced lifetime is never relied on.
    """

    def __init__(
        self,
        configured: TokenGrant,
        store: TokenStore,
        clock: GatewayClock,
        *,
        redactor: SecretRedactor | None = None,
        backoff: Backoff = _REFRESH_BACKOFF,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with the configured tokens; :meth:`load` takes over newer ones.

        Args:
            configured: The tokens of the settings, by :meth:`TokenGrant.configured`.
            store: Where tokens are kept and shared.
            clock: The gateway's time.
            redactor: Is told every token, so that logs do not show it.
            backoff: Time between refreshes that fail.
            monotonic: Returns seconds that only grow.
        """
        self._grant = self._configured = configured
        self._store = store
        self._clock = clock
        self._redactor = redactor
        self._backoff = backoff
        self._monotonic = monotonic
        self._refreshing: asyncio.Task[str] | None = None
        self._failure: Exception | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._use(configured)

    @property
    def grant(self) -> TokenGrant:
        """The tokens in use and what is known of their lifetime."""
        return self._grant

    def current(self) -> str:
        """Return the access token in use; empty if there is none."""
        return self._grant.access_token

    async def load(self) -> None:
        """Take over what an earlier run, or another worker, has kept of the configured tokens.

        Raises:
            TokenStoreError: The store cannot be reached.
        """
        kept = await self._kept()
        if kept is not None:
            self._use(kept)

    async def refresh(self, stale_token: str, fetch: Fetch) -> str:
        """Return an access token other than the one that was refused.

        However many callers, in this process and in all that share the store, one of them
        fetches; the others wait for it. If it fails, all of them get its error, and so does who
        asks again before the back-off has passed.

        Args:
            stale_token: The token of the call that was refused.
            fetch: Asks the platform for a new access token.

        Raises:
            AuthorizationError: There is no refresh token, or the platform refuses it.
            CallError: The refresh failed otherwise; it may succeed later.
        """
        if stale_token != self.current():
            return self.current()
        if self._refreshing is None or self._refreshing.done():
            if self._failure is not None and self._monotonic() < self._retry_at:
                raise self._failure
            self._refreshing = asyncio.create_task(self._refresh(fetch))
            self._refreshing.add_done_callback(_retrieve)
        # Who is cancelled stops waiting, and takes the refresh from nobody else.
        return await asyncio.shield(self._refreshing)

    async def _refresh(self, fetch: Fetch) -> str:
        try:
            async with self._store.exclusive():
                if not await self._renewed_by_others():
                    await self._renew(fetch)
        except Exception as error:
            self._failures += 1
            self._failure = error
            self._retry_at = self._monotonic() + self._backoff.ceiling(self._failures)
            raise
        self._failure, self._failures = None, 0
        return self.current()

    async def _renewed_by_others(self) -> bool:
        kept = await self._kept()
        if kept is None or not kept.is_newer_than(self._grant):
            return False
        self._use(kept)
        return True

    async def _renew(self, fetch: Fetch) -> None:
        if not self._grant.refresh_token:
            raise AuthorizationError("the access token is refused and there is no refresh token")
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                answer = await fetch(self._grant.refresh_token)
        except TimeoutError:
            raise NoAnswerInTimeError("no answer to the refresh of the token") from None
        except CallError as error:
            if isinstance(error, AuthorizationError) or self._may_pass(error):
                raise
            raise AuthorizationError(f"the token API refuses: {error}") from None
        grant = self._grant.renewed(answer, now=self._clock.now())
        self._use(grant)  # before anything can fail: the former refresh token may be void now
        try:
            await self._store.save(grant)
        except TokenStoreError:
            logger.exception("The refreshed token could not be kept: this process alone has it")
        else:
            logger.info("The access token was refreshed")

    def _may_pass(self, error: CallError) -> bool:
        """Return whether a refresh that failed may succeed later.

        Whatever the platform says, it is a refusal, unless it says that it is in trouble.
        """
        if isinstance(error, UnreadableAnswerError) and (error.status or 0) < 400:
            return self._failures + 1 < UNREADABLE_TRIES
        if isinstance(error, TransportError):
            return error.status is None or error.status >= 500
        return isinstance(error, ServiceError | FlowControlError | DailyQuotaError)

    async def _kept(self) -> TokenGrant | None:
        kept = await self._store.load()
        return kept if kept is not None and kept.origin == self._configured.origin else None

    def _use(self, grant: TokenGrant) -> None:
        if self._redactor is not None:
            self._redactor.add(grant.access_token, grant.refresh_token)
        self._grant = grant


def _retrieve(task: asyncio.Task[str]) -> None:
    """Mark the outcome as seen, for the case that every caller was cancelled."""
    if not task.cancelled():
        task.exception()
