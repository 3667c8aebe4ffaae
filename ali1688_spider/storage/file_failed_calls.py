"""Failed calls in a file, for a single process without any server."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ali1688_spider.storage.errors import StoreUnavailableError
from ali1688_spider.storage.failed_call import FailedCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
    from pathlib import Path

FILE_NAME = "failed_calls.jsonl"


class FileFailedCallStore:
    """Keeps failed calls as lines of JSON; several processes may do so at the same time.

    Args:
        folder: Where ``failed_calls.jsonl`` lies; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    async def keep(self, failed: FailedCall) -> None:
        """Return when *failed* is in the file.

        Raises:
            StoreUnavailableError: The file cannot be written.
        """
        await self.keep_all([failed])

    async def keep_all(self, failed: Sequence[FailedCall]) -> None:
        """Return when all of them are in the file.

        Raises:
            StoreUnavailableError: The file cannot be written.
        """
        try:
            with self._locked(), self._path.open("a", encoding="utf-8") as file:
                file.writelines(f"{call.to_json()}\n" for call in failed)
        except OSError as error:
            raise StoreUnavailableError(f"{self._path} cannot be written: {error}") from error

    async def list(self) -> AsyncIterator[FailedCall]:
        """Iterate over what is kept, the oldest first."""
        for failed in self._read():
            yield failed

    async def remove(self, failed: Iterable[FailedCall]) -> None:
        """Forget these."""
        forgotten = {call.id for call in failed}
        with self._locked():
            kept = [call for call in self._read() if call.id not in forgotten]
            new = self._path.with_suffix(".new")
            new.write_text("".join(f"{call.to_json()}\n" for call in kept), encoding="utf-8")
            new.replace(self._path)

    async def close(self) -> None:
        """Do nothing: no file stays open."""

    def _read(self) -> Iterable[FailedCall]:
        if not self._path.exists():
            return []
        lines = self._path.read_text(encoding="utf-8").splitlines()
        return [FailedCall.from_json(line) for line in dict.fromkeys(lines)]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from writing meanwhile."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
