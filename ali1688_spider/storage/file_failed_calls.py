"""Failed calls in a file, for a single process without any server."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ali1688_spider.private_files import make_private, open_private
from ali1688_spider.storage.errors import StoreUnavailableError
from ali1688_spider.storage.failed_call import FailedCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

FILE_NAME = "failed_calls.jsonl"
REMEMBERED = 10_000
"""Lines within which the same call is recognised: it comes again when keeping it was repeated."""


class FileFailedCallStore:
    """Keeps failed calls as lines of JSON; several processes may do so at the same time.

    Args:
        folder: Where ``failed_calls.jsonl`` lies; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self.unreadable = 0
        self._path = folder / FILE_NAME

    async def keep(self, failed: FailedCall) -> None:
        """Return when *failed* is in the file.

        Raises:
            StoreUnavailableError: The file cannot be written.
        """
        await self.keep_all([failed])

    async def keep_all(self, failed: Sequence[FailedCall]) -> None:
        """Return when all of *failed* are in the file, or none of them is.

        Raises:
            StoreUnavailableError: The file cannot be written.
        """
        lines = "".join(f"{call.to_json()}\n" for call in failed).encode()
        try:
            with self._locked(), open_private(self._path) as descriptor:
                _append(descriptor, lines)
        except OSError as error:
            raise StoreUnavailableError(f"{self._path} cannot be written: {error}") from error

    async def list(self) -> AsyncIterator[FailedCall]:
        """Iterate over what is kept, the oldest first."""
        self.unreadable = 0
        if not self._path.exists():
            return
        recent: dict[str, None] = {}
        with self._path.open("rb") as lines:
            for line in lines:
                failed = _read(line)
                if failed is None:
                    self.unreadable += 1
                elif failed.id not in recent:
                    recent[failed.id] = None
                    if len(recent) > REMEMBERED:
                        del recent[next(iter(recent))]
                    yield failed

    async def remove(self, failed: Sequence[FailedCall]) -> None:
        """Forget these; lines that cannot be read stay.

        Raises:
            StoreUnavailableError: The file cannot be written.
        """
        forgotten = {call.id for call in failed}
        new = self._path.with_suffix(".new")
        try:
            with self._locked():
                new.unlink(missing_ok=True)  # a crash may have left it
                with self._path.open("rb") as lines, open_private(new) as descriptor:
                    with os.fdopen(descriptor, "wb", closefd=False) as file:
                        for line in lines:
                            call = _read(line)
                            if call is None or call.id not in forgotten:
                                file.write(line)
                    os.fsync(descriptor)
                new.replace(self._path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise StoreUnavailableError(f"{self._path} cannot be written: {error}") from error

    async def close(self) -> None:
        """Do nothing: no file stays open."""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from writing meanwhile."""
        make_private(self._path.parent)
        with open_private(self._path.with_suffix(".lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _append(descriptor: int, lines: bytes) -> None:
    """Write all of *lines* at the end of the file, or nothing."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        lines = b"\n" + lines  # a crash has torn the last line: it stays one of its own
    try:
        while lines:
            lines = lines[os.pwrite(descriptor, lines, os.fstat(descriptor).st_size) :]
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _read(line: bytes) -> FailedCall | None:
    try:
        return FailedCall.from_json(line)
    except ValueError:
        return None
