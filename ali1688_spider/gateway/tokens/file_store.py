"""Tokens in a file, for a single machine."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import tempfile
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from ali1688_spider.gateway.tokens.grant import TokenGrant
from ali1688_spider.gateway.tokens.store import TokenStoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.1
"""How often a lock that another process holds is tried; a refresh takes about a second."""


class FileTokenStore:
    """Keeps the tokens in one file that only its owner can read.

    The file has mode 600, a directory that had to be made for it has mode 700, and it is replaced
    as a whole, so that no reader and no crash meets half a file. Other processes are kept out by
    a lock on a file beside it, which ends with its process.
    """

    def __init__(self, path: Path) -> None:
        """Keep the tokens at this path; nothing is touched before the first use."""
        self._path = path

    async def load(self) -> TokenGrant | None:
        """Return what is kept, or None if there is nothing readable."""
        with self._reported():
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
        with self._reported():
            self._write(grant.to_json())

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Keep other processes out; waits as long as one of them is in."""
        with self._reported():
            self._make_directory()
            descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with self._reported():
                while not self._try_lock(descriptor):  # noqa: ASYNC110  # of other processes
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

    def _write(self, text: str) -> None:
        self._make_directory()
        descriptor, temporary = tempfile.mkstemp(dir=self._path.parent)  # mode 600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)  # noqa: PTH105  # both are known as text
        except BaseException:
            os.unlink(temporary)  # noqa: PTH108  # likewise
            raise

    def _make_directory(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _try_lock(self, descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TokenStoreError(f"the token file: {error.strerror}") from error
