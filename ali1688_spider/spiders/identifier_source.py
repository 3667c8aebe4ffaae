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
    from collections.abc import AsyncIterator, Iterator
    from typing import TextIO

    from scrapy import Spider

STANDARD_INPUT = "-"
LINES_AT_ONCE = 500


class IdentifierSource:
    """Product ids and URLs from an argument, from a file, or from both; False when from neither.

    Args:
        ids: Ids or URLs, separated by commas or white space.
        ids_file: A file of one id or URL a line; ``-`` is standard input. It is read while the
            crawl runs, a few hundred lines at a time.
    """

    def __init__(self, ids: str = "", ids_file: str = "") -> None:
        self._ids = [text for text in re.split(r"[,\s]+", ids) if text]
        self._file = ids_file

    def __bool__(self) -> bool:
        return bool(self._ids or self._file)

    def check(self) -> None:
        """Raise :class:`ConfigurationError` when the file cannot be read."""
        if not self._file or self._file == STANDARD_INPUT:
            return
        try:
            with Path(self._file).open("rb"):
                pass
        except OSError as error:
            raise ConfigurationError(
                f"ids_file {self._file!r} cannot be read ({error.strerror}): name a file of one "
                "product id or URL a line, or - for standard input"
            ) from None

    @property
    def digest(self) -> str | None:
        """A name for this source, the same wherever the same ids are given; None for a stream."""
        if self._file == STANDARD_INPUT:
            return None
        digest = hashlib.sha256(",".join(self._ids).encode())
        if self._file:
            size = Path(self._file).stat().st_size
            with Path(self._file).open("rb") as file:
                digest.update(b"%d\n" % size + file.read(65536))
        return digest.hexdigest()[:16]

    async def read(self, spider: Spider) -> AsyncIterator[int]:
        """Yield each id once; log and count a line that is none, and go on."""
        at_once = 1 if self._file == STANDARD_INPUT else LINES_AT_ONCE
        with self._lines() as lines:
            entries = read_identifiers(lines)
            while batch := await run_in_thread(lambda: list(islice(entries, at_once))):
                for line_number, entry in batch:
                    if isinstance(entry, int):
                        yield entry
                        continue
                    spider.crawler.stats.inc_value("ali1688/ids/unreadable")
                    spider.logger.warning("Line %d: %s", line_number, entry)

    @contextmanager
    def _lines(self) -> Iterator[Iterator[str]]:
        if not self._file:
            yield iter(self._ids)
        elif self._file == STANDARD_INPUT:
            yield chain(self._ids, sys.stdin)
        else:
            with self._open_file() as file:
                yield chain(self._ids, file)

    def _open_file(self) -> TextIO:
        return Path(self._file).open(encoding="utf-8-sig", errors="replace")
