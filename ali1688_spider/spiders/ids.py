"""Where a spider's product ids come from: ``-a ids=`` and ``-a ids_file=``."""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import select
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scrapy import Spider, signals
from scrapy.utils.asyncio import run_in_thread

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.identifiers import find_product_ids
from ali1688_spider.spiders.id_sheets import binary_reader, check_file, may_become_binary
from ali1688_spider.spiders.id_tables import LineReader

if TYPE_CHECKING:
    from ali1688_spider.spiders.id_tables import Found

STANDARD_INPUT = "-"
CHUNK_BYTES = 8192
POLL_SECONDS = 0.5
"""Longest wait of a thread for a pipe: a process that ends waits for its threads."""
EXAMPLES = 10
"""Entries without an id that a summary names."""


class IdentifierSource:
    """Product ids and URLs from an argument, from a file, or from both; False when from neither.

    Args:
        ids: Ids or URLs in any form that :func:`find_product_ids` reads.
        ids_file: A file of ids, or a table with a column of ids or URLs: a text in UTF-8, UTF-16
            or GB18030 (a list, CSV, TSV, JSON lines), ``.xlsx`` or ``.parquet``; ``-`` is standard
            input. It is read while the ids are asked for, some hundreds at a time.

    Attributes:
        bytes_read: How much of the file has been read.
        unreadable: How many entries had no id so far.
        ids_read: How many ids :meth:`read_batches` has read.
        is_read: Whether it has come to the end of the source.
    """

    def __init__(self, ids: str = "", ids_file: str = "") -> None:
        self._ids = find_product_ids(ids, is_list=True)
        self.file = ids_file
        self.bytes_read = 0
        self.unreadable = 0
        self.ids_read = 0
        self.is_read = False
        self._examples: list[str] = []
        self._has_warned = False

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
            check_file(Path(self.file))
        except OSError as error:
            raise ConfigurationError(
                f"ids_file {self.file!r} cannot be read ({error.strerror}): name a file of "
                "product ids or URLs, or - for standard input"
            ) from None

    @property
    def digest(self) -> str | None:
        """A name for this source, the same wherever the same ids are given; None for a stream."""
        if self.is_stream:
            return None
        digest = hashlib.sha256(",".join(map(str, self._ids)).encode("utf-8", "replace"))
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

    @property
    def summary(self) -> str:
        """How many entries had no id, and the first of them, one a line; empty for none."""
        if not self.unreadable:
            return ""
        more = self.unreadable - len(self._examples)
        lines = [*self._examples, *([f"… and {more:,} more"] if more else [])]
        entries = "entry has" if self.unreadable == 1 else "entries have"
        return "\n".join([f"{self.unreadable:,} {entries} no product id:", *lines])

    def batches(self) -> Iterator[list[int]]:
        """Yield the ids as they are read, each once, in lists; count the entries without one.

        The ids of the argument come first. A list is empty when nothing has come in for half a
        second: no thread is stuck in reading, so that a crawl can end while the other end of a
        pipe neither writes nor closes.
        """
        seen: set[int] = set()
        self.unreadable = 0
        self._examples = []
        for found in self._found():
            batch = []
            for place, each in found:
                if not isinstance(each, int):
                    self._count(f"{place}: {each}")
                elif each not in seen:
                    seen.add(each)
                    batch.append(each)
            yield batch

    async def read(self, spider: Spider) -> AsyncGenerator[int]:
        """Yield each id once; as :meth:`read_batches`."""
        async with aclosing(self.read_batches(spider)) as batches:
            async for batch in batches:
                for product_id in batch:
                    yield product_id

    async def read_batches(self, spider: Spider) -> AsyncGenerator[list[int]]:
        """Yield the ids as :meth:`batches` does, without blocking.

        Entries without one are counted, and a summary of them is logged at the end.
        """
        spider.crawler.signals.connect(self._warn, signals.spider_closed)  # if it comes first
        self.ids_read, self.is_read = 0, False
        batches = self.batches()
        while (batch := await run_in_thread(next, batches, None)) is not None:
            if self.unreadable:
                spider.crawler.stats.max_value("ali1688/ids/unreadable", self.unreadable)
            self.ids_read += len(batch)
            self.is_read = not self.file or self.bytes_read == self.size
            yield batch
        self.is_read = True
        self._warn(spider)

    def _warn(self, spider: Spider) -> None:
        if self.unreadable and not self._has_warned:
            self._has_warned = True
            spider.logger.warning("%s", self.summary)

    def _count(self, entry: str) -> None:
        self.unreadable += 1
        if len(self._examples) < EXAMPLES:
            self._examples.append(entry)

    def _found(self) -> Iterator[list[Found]]:
        yield [("Argument", each) for each in self._ids]
        if not self.file:
            return
        chunks = self._chunks()
        start = b""
        for chunk in chunks:
            start += chunk
            if start and not may_become_binary(start):
                break
            yield []
        chunks = chain([start], chunks)
        if reader := binary_reader(start):
            yield from self._read_binary(reader, chunks)
            return
        lines = LineReader()
        for batch in self._lines(chunks):
            yield lines.read(batch)
        yield lines.read([], is_end=True)

    def _read_binary(
        self, reader: Callable[[IO[bytes]], Iterator[list[Found]]], chunks: Iterator[bytes]
    ) -> Iterator[list[Found]]:
        """Read a workbook or a Parquet file; of a stream, once it has come in as a whole."""
        self.bytes_read = 0  # how far it is in bytes is not known before its end
        with tempfile.TemporaryFile() if self.is_stream else Path(self.file).open("rb") as file:
            if self.is_stream:
                for chunk in chunks:
                    file.write(chunk)
                    yield []
                file.seek(0)
            # Damage is found at the place where it is, and by errors of any kind.
            try:
                yield from reader(file)
            except Exception as error:  # noqa: BLE001
                yield [("The rest", ValueError(f"it cannot be read: {error or type(error)}"))]
            self.bytes_read = self.size or self.bytes_read

    def _chunks(self) -> Iterator[bytes]:
        """Yield the bytes of the file as they come in; none when none have for a while."""
        is_stdin = self.file == STANDARD_INPUT
        # Without O_NONBLOCK, opening a pipe waits until its other end is opened.
        flags = os.O_RDONLY | os.O_NONBLOCK
        descriptor = sys.stdin.fileno() if is_stdin else os.open(self.file, flags)
        with io.FileIO(descriptor, closefd=not is_stdin) as stream:
            while True:
                ready, _, _ = select.select([stream], [], [], POLL_SECONDS)
                chunk = stream.read(CHUNK_BYTES) if ready else None
                if chunk == b"":
                    return
                self.bytes_read += len(chunk or b"")
                yield chunk or b""

    def _lines(self, chunks: Iterator[bytes]) -> Iterator[list[str]]:
        """Yield the lines of a text as they come in; an empty list when none has for a while."""
        decoder = io.IncrementalNewlineDecoder(TextDecoder(), translate=True)
        rest = ""
        for chunk in chunks:
            end, *more = decoder.decode(chunk).split("\n")
            rest += end
            *lines, rest = rest, *more
            yield lines
        *lines, rest = (rest + decoder.decode(b"", final=True)).split("\n")
        yield [*lines, rest]


class TextDecoder(codecs.IncrementalDecoder):
    """Decodes UTF-8, UTF-16 with a byte order mark, and what is neither as GB18030.

    It decides at the first bytes that are not ASCII.
    """

    def __init__(self) -> None:
        super().__init__("replace")
        self._decoder: codecs.IncrementalDecoder | None = None
        self._kept = b""
        self._has_begun = False

    def decode(self, data: Any, final: bool = False) -> str:  # noqa: FBT001, FBT002  # as upstream
        """Return the text of *data*, without an incomplete character at its end."""
        if self._decoder is None:
            data, self._kept = self._kept + data, b""
            text, rest = self._begin(data, final=final)
            return text + (self._decoder.decode(rest, final) if self._decoder else "")
        return self._decoder.decode(data, final)

    def _begin(self, data: bytes, *, final: bool) -> tuple[str, bytes]:
        if not self._has_begun:
            if not final and (codecs.BOM_UTF8.startswith(data) or data in (b"\xff", b"\xfe")):
                self._kept = data
                return "", b""
            self._has_begun = True
            if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                return self._decide("utf-16", data)
            if data.startswith(codecs.BOM_UTF8):
                return self._decide("utf-8-sig", data)
        try:
            text, used = codecs.utf_8_decode(data, "strict", final)
        except UnicodeDecodeError:
            return self._decide(min("utf-8", "gb18030", key=partial(_damage, data, final)), data)
        if not text.isascii():
            return self._decide("utf-8", data)
        self._kept = data[used:]
        return text, b""

    def _decide(self, encoding: str, data: bytes) -> tuple[str, bytes]:
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        return "", data


def _damage(data: bytes, final: bool, encoding: str) -> int:  # noqa: FBT001  # as the decoder's
    """Return how much of *data* is no text in *encoding*."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    return decoder.decode(data, final).count("\ufffd")
