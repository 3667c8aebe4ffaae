"""Where a spider's product ids come from: ``-a ids=`` and ``-a ids_file=``."""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import re
import select
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeAlias

from scrapy import Spider
from scrapy.utils.asyncio import run_in_thread

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.identifiers import read_identifiers

Entry: TypeAlias = tuple[int, int | ValueError]
"""A line number and the product id of the line, or why it has none; 0 for the argument."""

STANDARD_INPUT = "-"
CHUNK_BYTES = 8192
POLL_SECONDS = 0.5
"""Longest wait of a thread for a pipe: a process that ends waits for its threads."""


class IdentifierSource:
    """Product ids and URLs from an argument, from a file, or from both; False when from neither.

    Args:
        ids: Ids or URLs, separated by commas or white space.
        ids_file: A file of one id or URL a line; ``-`` is standard input. It is read while the
            crawl runs, a few hundred lines at a time.
    """

    def __init__(self, ids: str = "", ids_file: str = "") -> None:
        self._ids = [text for text in re.split(r"[,\s]+", ids) if text]
        self.file = ids_file

    def __bool__(self) -> bool:
        return bool(self._ids or self.file)

    @property
    def is_stream(self) -> bool:
        """Whether the ids come from standard input or a pipe, which can be read only once."""
        path = Path(self.file)
        return self.file == STANDARD_INPUT or path.is_fifo() or path.is_char_device()

    def check(self) -> None:
        """Raise :class:`ConfigurationError` when the file cannot be read."""
        if not self.file or self.file == STANDARD_INPUT:
            return
        try:
            if self.is_stream and os.access(self.file, os.R_OK):
                return  # opening a pipe and closing it again would end its writer
            with Path(self.file).open("rb"):
                pass
        except OSError as error:
            raise ConfigurationError(
                f"ids_file {self.file!r} cannot be read ({error.strerror}): name a file of one "
                "product id or URL a line, or - for standard input"
            ) from None

    @property
    def digest(self) -> str | None:
        """A name for this source, the same wherever the same ids are given; None for a stream."""
        if self.is_stream:
            return None
        digest = hashlib.sha256(",".join(self._ids).encode())
        if self.file:
            with Path(self.file).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]

    @property
    def size(self) -> int | None:
        """Bytes of the file; None when there is none, or it is a stream."""
        if not self.file or self.is_stream:
            return None
        return Path(self.file).stat().st_size

    def entries(self, on_line: Callable[[str], object] = lambda _: None) -> Iterator[Entry]:
        """Yield line number and id of each line, or why it has none; each id once.

        The ids of the argument come first. *on_line* is called with each line of the file.
        """
        seen: set[int] = set()
        yield from self._of_argument(seen)
        if self.file:
            yield from read_identifiers(self._lines(on_line), seen)

    async def read(self, spider: Spider) -> AsyncGenerator[int]:
        """Yield each id once; log and count a line without one, and go on."""
        async for batch in self._batches():
            for line_number, entry in batch:
                if isinstance(entry, int):
                    yield entry
                    continue
                spider.crawler.stats.inc_value("ali1688/ids/unreadable")
                spider.logger.warning("%s: %s", place(line_number), entry)

    async def _batches(self) -> AsyncIterator[Iterable[Entry]]:
        seen: set[int] = set()
        yield self._of_argument(seen)
        if self.file:
            first = 1
            async for lines in read_lines(self.file):
                yield read_identifiers(lines, seen, first)
                first += len(lines)

    def _of_argument(self, seen: set[int]) -> Iterator[Entry]:
        return ((0, entry) for _, entry in read_identifiers(self._ids, seen))

    def _lines(self, on_line: Callable[[str], object]) -> Iterator[str]:
        if self.file == STANDARD_INPUT:
            opened: Any = nullcontext(sys.stdin)
        else:
            opened = Path(self.file).open(encoding="utf-8-sig", errors="replace")  # noqa: SIM115
        with opened as lines:
            for line in lines:
                on_line(line)
                yield line


def place(line_number: int) -> str:
    """Return what a person calls the place of an entry."""
    return f"Line {line_number}" if line_number else "Argument"


async def read_lines(file: str) -> AsyncIterator[list[str]]:
    """Yield the lines of a file, pipe or terminal as they come in, a list at a time.

    No thread is stuck in reading, so that a crawl can end while the other end of a pipe neither
    writes nor closes.
    """
    utf8 = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    decoder = io.IncrementalNewlineDecoder(utf8, translate=True)
    rest = ""
    # Without O_NONBLOCK, opening a pipe waits until its other end is opened.
    flags = os.O_RDONLY | os.O_NONBLOCK
    is_stdin = file == STANDARD_INPUT
    descriptor = os.dup(sys.stdin.fileno()) if is_stdin else os.open(file, flags)
    try:
        while chunk := await _read(descriptor):
            *lines, rest = (rest + decoder.decode(chunk)).split("\n")
            yield lines
        yield [rest + decoder.decode(b"", final=True)]
    finally:
        os.close(descriptor)


async def _read(descriptor: int) -> bytes:
    """Return what has come in, at least a byte; empty at the end."""
    while not (await run_in_thread(select.select, [descriptor], [], [], POLL_SECONDS))[0]:
        pass
    return os.read(descriptor, CHUNK_BYTES)
