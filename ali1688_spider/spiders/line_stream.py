"""Lines that come in while a crawl runs: from standard input or a pipe."""

from __future__ import annotations

import codecs
import os
import select
import sys
from typing import TYPE_CHECKING

from scrapy.utils.asyncio import run_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STANDARD_INPUT = "-"
POLL_SECONDS = 0.5
"""A thread waits so long at once: a process that ends waits for its threads."""
CHUNK_BYTES = 8192


async def read_lines(file: str) -> AsyncIterator[list[str]]:
    """Yield lines as they come in, those that come together in one list.

    No thread is stuck in reading, so that a crawl can end while the other end of the pipe neither
    writes nor closes.

    Args:
        file: Name of a pipe or terminal; ``-`` for standard input.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    rest = ""
    descriptor = _open(file)
    try:
        while chunk := await _read(descriptor):
            *lines, rest = (rest + decoder.decode(chunk)).split("\n")
            yield lines
        yield [rest + decoder.decode(b"", final=True)]
    finally:
        os.close(descriptor)


def _open(file: str) -> int:
    if file == STANDARD_INPUT:
        return os.dup(sys.stdin.fileno())
    # Without O_NONBLOCK, opening a pipe waits for whoever opens its other end.
    return os.open(file, os.O_RDONLY | os.O_NONBLOCK)


async def _read(descriptor: int) -> bytes:
    """Return what has come in, at least a byte; empty at the end."""
    while not await run_in_thread(_is_readable, descriptor):
        pass
    return os.read(descriptor, CHUNK_BYTES)


def _is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], POLL_SECONDS)[0])
