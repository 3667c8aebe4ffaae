"""Where a file goes: to its place as a whole, or to standard output."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ali1688_spider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDARD_OUTPUT = "-"


@contextlib.contextmanager
def target(file: str) -> Iterator[IO[bytes]]:
    """Open *file* for writing bytes; it appears, or replaces an older one, when all is written.

    Until then the bytes are in a hidden file beside it, which is removed when something fails.
    ``-`` is standard output. That a reader of it, such as ``head``, has enough is no failure.

    Raises:
        ConfigurationError: The file cannot be written; the text says why.
    """
    try:
        if file == STANDARD_OUTPUT:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        else:
            with _replaced(Path(file)) as part:
                yield part
    except BrokenPipeError:
        # The interpreter flushes once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"{file} cannot be written: {reason}") from error


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[IO[bytes]]:
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise OSError(0, "it exists and is no file")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
