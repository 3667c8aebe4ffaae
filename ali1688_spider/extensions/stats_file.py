"""The result of a crawl as a file, for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scrapy import signals
from scrapy.exceptions import NotConfigured
from scrapy.utils.serialize import ScrapyJSONEncoder

if TYPE_CHECKING:
    from typing import Self

    from scrapy.crawler import Crawler
    from scrapy.statscollectors import StatsCollector


class StatsFile:
    """Writes the statistics as one JSON object into the file of ``ALI1688_STATS_FILE``.

    Its ``finish_reason`` says why the crawl ended.
    """

    def __init__(self, path: Path, stats: StatsCollector) -> None:
        self._path = path
        self._stats = stats

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the extension; it is off unless the setting names a file."""
        path = crawler.settings.get("ALI1688_STATS_FILE")
        if not path:
            raise NotConfigured
        extension = cls(Path(path), crawler.stats)
        crawler.signals.connect(extension.write, signals.spider_closed)
        return extension

    def write(self, reason: str) -> None:
        """Write the file."""
        stats = {**self._stats.get_stats(), "finish_reason": reason}
        self._path.write_text(ScrapyJSONEncoder().encode(stats), encoding="utf-8")
