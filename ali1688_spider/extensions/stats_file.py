"""The result of a crawl as a file, for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scrapy import signals
from scrapy.exceptions import NotConfigured
from scrapy.utils.serialize import ScrapyJSONEncoder

from ali1688_spider.addon import context_of

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
        path = context_of(crawler).config.stats_file
        if not path:
            raise NotConfigured
        extension = cls(Path(path), crawler.stats)
        # Not when the spider is closed: other components still count at that moment.
        crawler.signals.connect(extension.write, signals.engine_stopped)
        return extension

    def write(self) -> None:
        """Write the file."""
        stats = self._stats.get_stats()
        self._path.write_text(ScrapyJSONEncoder().encode(stats), encoding="utf-8")
