"""Tokens in Redis, shared by all workers of a cluster."""

from __future__ import annotations

import asyncio
import base64
import logging
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from redis.exceptions import RedisError

from ali1688_spider.gateway.tokens.grant import TokenGrant
from ali1688_spider.gateway.tokens.store import TokenStoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from redis import Redis

logger = logging.getLogger(__name__)

LOCK_SECONDS = 60
"""After this time the lock of a worker that died is free; longer than a refresh may take."""

POLL_SECONDS = 0.1
"""How often a lock that another worker holds is tried; a refresh takes about a second."""


class RedisTokenStore:
    """Keeps the tokens where every worker finds them.

    A cluster has to share its tokens, so they have to be in Redis. They are encrypted and
    authenticated there with a key made from the app secret, which every worker has and Redis does
    not: whoever reads Redis, or a copy of its disk, learns no token, and whoever writes to it
    cannot plant one. With another app secret, what is kept counts as absent.

    Keys, both with the hash tag ``{app key}``:

    * ``ali1688:{app key}:token``: the grant, encrypted.
    * ``ali1688:{app key}:token:lock``: held by the worker that refreshes, for a minute at most.
    """

    def __init__(self, client: Redis, app_key: str, app_secret: str) -> None:
        """Keep the tokens of this app; the client may or may not decode its answers."""
        self._client = client
        self._key = f"ali1688:{{{app_key}}}:token"
        key = HKDF(SHA256(), length=32, salt=app_key.encode(), info=b"ali1688 token store")
        self._cipher = Fernet(base64.urlsafe_b64encode(key.derive(app_secret.encode())))

    async def load(self) -> TokenGrant | None:
        """Return what is kept, or None if there is nothing that this app secret opens."""
        with _reported():
            encrypted = await asyncio.to_thread(self._client.get, self._key)
        if encrypted is None:
            return None
        try:
            return TokenGrant.from_json(self._cipher.decrypt(encrypted))
        except (InvalidToken, ValueError):
            logger.warning("The tokens in Redis are not of this app secret and not used")
            return None

    async def save(self, grant: TokenGrant) -> None:
        """Replace what is kept."""
        encrypted = self._cipher.encrypt(grant.to_json().encode())
        with _reported():
            await asyncio.to_thread(self._client.set, self._key, encrypted)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Keep other workers out; waits as long as one of them is in."""
        # Not bound to a thread: it is acquired in one and released in another.
        lock = self._client.lock(f"{self._key}:lock", timeout=LOCK_SECONDS, thread_local=False)
        with _reported():
            while not await asyncio.to_thread(lock.acquire, blocking=False):  # noqa: ASYNC110  # of other processes
                await asyncio.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            try:
                await asyncio.to_thread(lock.release)
            except RedisError as error:  # what was done under the lock is done all the same
                logger.warning(
                    "The lock of the token refresh ends by itself in %d s (%s)",
                    LOCK_SECONDS,
                    type(error).__name__,
                )


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise TokenStoreError(f"Redis: {type(error).__name__}") from error
