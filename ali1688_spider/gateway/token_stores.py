"""Where tokens are kept between runs, and shared between workers."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from redis import Redis
from redis.exceptions import RedisError

from ali1688_spider.gateway.errors import TokenStoreError
from ali1688_spider.gateway.tokens import TokenGrant
from ali1688_spider.private_files import replacing

logger = logging.getLogger(__name__)

LOCK_SECONDS = 60
"""After this time Redis frees the lock of a worker that died; longer than a refresh may take."""

POLL_SECONDS = 0.1
"""How often a lock that another process holds is tried; a refresh takes about a second."""


class TokenStore:
    """Keeps the tokens of one app; this one in its process alone, its subclasses beyond it.

    Every method raises TokenStoreError when the tokens cannot be reached.
    """

    _grant: TokenGrant | None = None

    async def load(self) -> TokenGrant | None:
        """Return what is kept, or None if it is nothing that can be used."""
        return self._grant

    async def save(self, grant: TokenGrant) -> None:
        """Keep this grant, and only this."""
        self._grant = grant

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Keep all others out who use the store, in any process; wait while one of them is in."""
        yield


class FileTokenStore(TokenStore):
    """Keeps the tokens in one file that only its owner can read, for a single machine.

    The file has mode 600, a directory that had to be made for it has mode 700, and it is replaced
    as a whole, so that no reader and no crash meets half a file. Other processes are kept out by
    a lock on a file beside it, which ends with its process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def load(self) -> TokenGrant | None:
        """Return what is kept, or None if there is nothing readable."""
        with _reported():
            try:
                text = self._read()
            except FileNotFoundError:
                return None
        try:
            return TokenGrant.from_json(text)
        except ValueError:
            logger.warning("The token file %s is damaged and not used", self._path)
            return None

    async def save(self, grant: TokenGrant) -> None:
        """Replace the file."""
        with _reported():
            self._make_directory()
            with replacing(self._path) as file:
                file.write(grant.to_json())

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Keep other processes out."""
        with _reported():
            self._make_directory()
            descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with _reported():
                while not _try_lock(descriptor):  # noqa: ASYNC110  # of other processes
                    await asyncio.sleep(POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)  # releases the lock

    def _read(self) -> bytes:
        with self._path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                os.fchmod(file.fileno(), 0o600)
                logger.warning("The token file %s was open to others: now mode 600", self._path)
            return file.read()

    def _make_directory(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


class RedisTokenStore(TokenStore):
    """Keeps the tokens where every worker of a cluster finds them.

    A cluster has to share its tokens, so they have to be in Redis. They are encrypted and
    authenticated there with a key made from the app secret, which every worker has and Redis does
    not: reading Redis, or a copy of its disk, reveals no token, and somebody who writes to it
    cannot plant one. With another app secret, what is kept counts as absent.

    Keys, both with the app key in braces as the hash tag:

    ``ali1688:{<app key>}:token`` STRING
        The grant, encrypted.
    ``ali1688:{<app key>}:token:lock`` STRING with expiry
        Held by the worker that refreshes, for a minute at most.
    """

    def __init__(self, client: Redis, app_key: str, app_secret: str) -> None:
        self._client = client
        self._key = f"ali1688:{{{app_key}}}:token"
        key = HKDF(SHA256(), length=32, salt=app_key.encode(), info=b"ali1688 token store")
        self._cipher = Fernet(base64.urlsafe_b64encode(key.derive(app_secret.encode())))

    async def load(self) -> TokenGrant | None:
        """Return what is kept, or None if there is nothing that this app secret opens."""
        with _reported():
            encrypted: Any = await asyncio.to_thread(self._client.get, self._key)
        if encrypted is None:
            return None
        try:
            return TokenGrant.from_json(self._cipher.decrypt(encrypted))
        except (InvalidToken, ValueError):
            logger.warning("The tokens in Redis are not of this app secret and not used")
            return None

    async def save(self, grant: TokenGrant) -> None:
        """Replace what is kept."""
        encrypted = self._cipher.encrypt(grant.to_json())
        with _reported():
            await asyncio.to_thread(self._client.set, self._key, encrypted)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Keep other workers out."""
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


def _try_lock(descriptor: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise TokenStoreError(f"Redis: {error}") from error
    except OSError as error:
        raise TokenStoreError(f"the token file: {error.strerror}") from error
