"""Files and folders that nobody but their owner can read.

Each function raises OSError when it can do nothing with the file or folder.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from dotenv import dotenv_values, find_dotenv, set_key

logger = logging.getLogger(__name__)

_dotenv_logger = logging.getLogger("dotenv.main")


def make_private(folder: Path) -> None:
    """Make *folder* and those above it; give it mode 700, also when it was there already."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close_to_others(folder)


@contextmanager
def open_private(path: Path) -> Iterator[int]:
    """Open a file for reading and writing with mode 600, also when it was there already.

    Yields:
        Its descriptor.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _close_to_others(path)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of *path*, as a whole, once all is written to the disk.

    Until then it is hidden beside it; when something fails, it is removed.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb", opener=partial(os.open, mode=mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def make_private_database(path: Path) -> None:
    """Give a SQLite file, and what SQLite keeps beside it, mode 600; its folder mode 700.

    Files that SQLite makes beside it later get the mode of the file itself.
    """
    make_private(path.parent)
    # Not opened here: closing it would end the locks of other connections of this process.
    path.touch(mode=0o600)
    for suffix in ("", "-wal", "-shm", "-journal"):
        side_file = path.with_name(path.name + suffix)
        if side_file.exists():
            _close_to_others(side_file)


def env_file() -> Path | None:
    """Return the ``.env`` in use: in the current folder or above it; None without any."""
    name = find_dotenv(usecwd=True)
    return Path(name) if name else None


def environment(*, warn: bool = True) -> dict[str, str | None]:
    """Return the variables of ``.env``, and those of the environment, which win.

    Lines of ``.env`` that are no variables are left out; *warn* has them logged.
    """
    _dotenv_logger.disabled = not warn
    try:
        return {**dotenv_values(find_dotenv(usecwd=True)), **os.environ}
    finally:
        _dotenv_logger.disabled = False


def set_in_env_file(path: Path, values: Mapping[str, str]) -> None:
    """Set variables in a ``.env`` and give it mode 600; its other lines stay.

    A value that was there stays as a comment, unless it is an address on this machine.
    """
    path = path.resolve()  # what a link points to
    with open_private(path):
        pass
    before = dotenv_values(path)
    for name, value in values.items():
        old = before.get(name)
        if old and old != value and "://127.0.0.1:" not in old:
            value = f"{value}\n# {name}={old}"  # noqa: PLW2901  # set_key() writes it as it is
        set_key(path, name, value, quote_mode="never")


def is_open_to_others(path: Path) -> bool:
    """Return whether others than its owner may read or write the file."""
    return bool(path.stat().st_mode & 0o077)


def _close_to_others(path: Path) -> None:
    if is_open_to_others(path):
        try:
            path.chmod(path.stat().st_mode & 0o700)
        except PermissionError:
            logger.warning("Others can read %s, which belongs to another user", path)
