"""Where a spider's product ids come from: ``-a ids=`` and ``-a ids_file=``."""

from __future__ import annotations

import hashlib
import re
import sys
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from scrapy.utils.asyncio import run_in_thread

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.identifiers import read_identifiers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from scrapy import Spider

STANDARD_INPUT = "-"
LINES_AT_ONCE = 500


class IdentifierSource:
    """Product ids and URLs from an argument, from a file, or from both; False when from neither.

    Args:
        ids: Ids or URLs, separated by commas or white space.
        ids_file: A file of one id or URL a line; ``-`` is standard input. It is read while the
            crawl runs, a few hundred lines at a time.

    Attributes:
        file: The file's name.
    """

    def __init__(self, ids: str = "", ids_file: str = "") -> None:
        self._ids = [text for text in re.split(r"[,\s]+", ids) if text]
        self.file = ids_file

    def __bool__(self) -> bool:
        return bool(self._ids or self.file)

    def check(self) -> None:
        """Raise :class:`ConfigurationError` when the file cannot be read."""
        if not self.file or self.file == STANDARD_INPUT:
            return
        try:
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
        if self.file == STANDARD_INPUT:
            return None
        digest = hashlib.sha256(",".join(self._ids).encode())
        if self.file:
            size = Path(self.file).stat().st_size
            with Path(self.file).open("rb") as file:
                digest.update(b"%d\n" % size + file.read(65536))
        return digest.hexdigest()[:16]

    @property
    def size(self) -> int | None:
        """Bytes of the file; None when there is none, or it is a stream."""
        if not self.file or self.file == STANDARD_INPUT:
            return None
        return Path(self.file).stat().st_size

    def entries(
        self, on_line: Callable[[str], object] = lambda _: None
    ) -> Iterator[tuple[int, int | ValueError]]:
        """Yield line number and id of each line, or why it has none; each id once.

        Args:
            on_line: Is called with each line of the file that is read.
        """
        with self._lines() as lines:
            yield from read_identifiers(_observed(lines, on_line))

    async def read(self, spider: Spider) -> AsyncIterator[int]:
        """Yield each id once; log and count a line that is none, and go on."""
        at_once = 1 if self.file == STANDARD_INPUT else LINES_AT_ONCE
        entries = self.entries()
        while batch := await run_in_thread(lambda: list(islice(entries, at_once))):
            for line_number, entry in batch:
                if isinstance(entry, int):
                    yield entry
                    continue
                spider.crawler.stats.inc_value("ali1688/ids/unreadable")
                spider.logger.warning("Line %d: %s", line_number, entry)

    @contextmanager
    def _lines(self) -> Iterator[Iterator[str]]:
        if not self.file:
            yield iter(self._ids)
        elif self.file == STANDARD_INPUT:
            yield chain(self._ids, sys.stdin)
        else:
            with Path(self.file).open(encoding="utf-8-sig", errors="replace") as file:
                yield chain(self._ids, file)


def _observed(lines: Iterator[str], on_line: Callable[[str], object]) -> Iterator[str]:
    for line in lines:
        on_line(line)
        yield line
