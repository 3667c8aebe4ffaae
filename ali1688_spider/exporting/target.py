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
    ``-`` is standard output.

    Raises:
        BrokenPipeError: A reader of standard output, such as ``head``, has enough.
        ConfigurationError: The file cannot be written; the text says why.
    """
    try:
        if file == STANDARD_OUTPUT:
            sys.stdout.flush()
            # Of its own, so that an exporter that closes it leaves sys.stdout open.
            with open(sys.stdout.fileno(), "wb", closefd=False) as stream:
                yield stream
        else:
            with _replaced(Path(file)) as part:
                yield part
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        shown = "standard output" if file == STANDARD_OUTPUT else file
        raise ConfigurationError(f"{shown} cannot be written: {reason}") from error


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
