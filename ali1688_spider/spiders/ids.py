"""Where a spider's product ids come from: ``-a ids=`` and ``-a ids_file=``."""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import re
import select
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from scrapy import Spider
from scrapy.utils.asyncio import run_in_thread

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.identifiers import read_identifiers

STANDARD_INPUT = "-"
CHUNK_BYTES = 8192
POLL_SECONDS = 0.5
"""Longest wait of a thread for a pipe: a process that ends waits for its threads."""


class IdentifierSource:
    """Product ids and URLs from an argument, from a file, or from both; False when from neither.

    Args:
        ids: Ids or URLs, separated by commas or white space.
        ids_file: A file of one id or URL a line, in UTF-8; ``-`` is standard input. It is read
            while the ids are asked for, a few hundred lines at a time.

    Attributes:
        bytes_read: How much of the file has been read.
    """

    def __init__(self, ids: str = "", ids_file: str = "") -> None:
        self._ids = [text for text in re.split(r"[,\s]+", ids) if text]
        self.file = ids_file
        self.bytes_read = 0

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

    def batches(self) -> Iterator[list[int | str]]:
        """Yield the ids as they are read, each once, in lists; instead of an id, why there is none.

        Such a text names the line, or the argument. The ids of the argument come first. A list is
        empty when nothing has come in for half a second: no thread is stuck in reading, so that a
        crawl can end while the other end of a pipe neither writes nor closes.
        """
        seen: set[int] = set()
        yield [_entry("Argument", found) for _, found in read_identifiers(self._ids, seen)]
        first = 1
        for lines in self._lines() if self.file else ():
            numbered = read_identifiers(lines, seen, first)
            yield [_entry(f"Line {number}", found) for number, found in numbered]
            first += len(lines)

    async def read(self, spider: Spider) -> AsyncGenerator[int]:
        """Yield each id once; log and count a line without one, and go on."""
        batches = self.batches()
        while (batch := await run_in_thread(next, batches, None)) is not None:
            for entry in batch:
                if isinstance(entry, int):
                    yield entry
                else:
                    spider.crawler.stats.inc_value("ali1688/ids/unreadable")
                    spider.logger.warning("%s", entry)

    def _lines(self) -> Iterator[list[str]]:
        """Yield the lines of the file as they come in; an empty list when none has for a while."""
        is_stdin = self.file == STANDARD_INPUT
        # Without O_NONBLOCK, opening a pipe waits until its other end is opened.
        flags = os.O_RDONLY | os.O_NONBLOCK
        descriptor = sys.stdin.fileno() if is_stdin else os.open(self.file, flags)
        utf8 = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        decoder = io.IncrementalNewlineDecoder(utf8, translate=True)
        rest, chunk = "", None
        with io.FileIO(descriptor, closefd=not is_stdin) as stream:
            while chunk != b"":
                ready, _, _ = select.select([stream], [], [], POLL_SECONDS)
                chunk = stream.read(CHUNK_BYTES) if ready else None
                if chunk is None:
                    yield []
                    continue
                self.bytes_read += len(chunk)
                end, *more = decoder.decode(chunk, final=not chunk).split("\n")
                rest += end
                *lines, rest = rest, *more
                yield lines
        yield [rest]


def _entry(place: str, found: int | ValueError) -> int | str:
    return found if isinstance(found, int) else f"{place}: {found}"
