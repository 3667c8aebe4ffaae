"""Where tokens are kept between runs, and shared between workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ali1688_spider.gateway.errors import CallError, Reaction

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from ali1688_spider.gateway.tokens.grant import TokenGrant


class TokenStoreError(CallError):
    """The kept tokens cannot be reached; the call that needs them can be tried again."""

    reaction = Reaction.RETRY
    error_class = "token_store"
    advice = (
        "Check that Redis (REDIS_URL) is reachable; without Redis, that the token file and its "
        "directory can be read and written by this user."
    )


class TokenStore(Protocol):
    """Keeps the tokens of one app; every method raises TokenStoreError when it cannot."""

    async def load(self) -> TokenGrant | None:
        """Return what is kept, or None if it is nothing that can be used."""

    async def save(self, grant: TokenGrant) -> None:
        """Keep this grant, and only this."""

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        """Return a lock against all others who use the store, in this process or another."""
