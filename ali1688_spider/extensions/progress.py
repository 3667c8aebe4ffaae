"""One line that shows a person how far a crawl is."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from scrapy import signals
from scrapy.exceptions import NotConfigured
from scrapy.utils.asyncio import create_looping_call

from ali1688_spider.addon import context_of

if TYPE_CHECKING:
    from typing import Self, TextIO

    from scrapy.crawler import Crawler
    from scrapy.statscollectors import StatsCollector


class Progress:
    """Rewrites a line on standard error: collected, rejected and failed products, and their rate.

    It is for terminals; ``ALI1688_PROGRESS`` switches it on elsewhere (``on``) or off (``off``).
    """

    INTERVAL = 0.5  # seconds

    def __init__(self, stats: StatsCollector, stream: TextIO) -> None:
        self._stats = stats
        self._stream = stream
        self._started = time.monotonic()
        self._ticker = create_looping_call(self.show)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the extension and begin when the spider does."""
        wanted = context_of(crawler).config.progress
        logs_elsewhere = bool(crawler.settings.get("LOG_FILE"))
        if wanted == "off" or (wanted != "on" and not (sys.stderr.isatty() and logs_elsewhere)):
            raise NotConfigured
        progress = cls(crawler.stats, sys.stderr)
        crawler.signals.connect(progress.begin, signals.spider_opened)
        crawler.signals.connect(progress.end, signals.spider_closed)
        return progress

    def begin(self) -> None:
        """Show the line from now on."""
        self._started = time.monotonic()
        self._ticker.start(self.INTERVAL, now=False)

    def end(self) -> None:
        """Leave the last state standing."""
        if self._ticker.running:
            self._ticker.stop()
        self.show()
        self._stream.write("\n")
        self._stream.flush()

    def show(self) -> None:
        """Write the line."""
        seconds = max(time.monotonic() - self._started, 0.001)
        collected = self._stats.get_value("item_scraped_count", 0)
        parts = [
            f"{collected:,} products collected",
            f"{self._stats.get_value('ali1688/calls', 0):,} calls",
            f"{collected / seconds:,.0f}/s",
        ]
        for name, label in (
            ("ali1688/items/rejected", "rejected"),
            ("ali1688/retries", "retries"),
            ("ali1688/failed_calls", "given up"),
        ):
            if count := self._stats.get_value(name, 0):
                parts.append(f"{count:,} {label}")
        self._stream.write("\r\x1b[K" + ", ".join(parts))
        self._stream.flush()
