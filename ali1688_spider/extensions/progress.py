"""What a running crawl shows: how far it is, and how fresh the watched products are."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
import time
from typing import Self

from redis.exceptions import RedisError
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.statscollectors import StatsCollector
from scrapy.utils.asyncio import create_looping_call

from ali1688_spider.addon import context_of
from ali1688_spider.shutdown import CrawlClosingError
from ali1688_spider.spiders.watch import WatchSpider

logger = logging.getLogger(__name__)

LINE_SECONDS = 0.5
FRESHNESS_SECONDS = 30.0
"""Interval of the line on the terminal, and of the measurement of the freshness."""


class Progress:
    """Rewrites a line on standard error: collected, rejected and failed products, and their rate.

    It is for terminals; ``ALI1688_PROGRESS`` switches it on elsewhere (``on``) or off (``off``).
    """

    def __init__(self, stats: StatsCollector) -> None:
        self._stats = stats
        self._ticker = create_looping_call(self.show)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the extension and begin when the spider does."""
        wanted = context_of(crawler).config.progress
        logs_elsewhere = bool(crawler.settings.get("LOG_FILE"))
        if wanted == "off" or (wanted != "on" and not (sys.stderr.isatty() and logs_elsewhere)):
            raise NotConfigured
        progress = cls(crawler.stats)
        crawler.signals.connect(progress.begin, signals.spider_opened)
        crawler.signals.connect(progress.end, signals.spider_closed)
        return progress

    def begin(self) -> None:
        """Show the line from now on."""
        self._started = time.monotonic()
        self._ticker.start(LINE_SECONDS, now=False)

    def end(self) -> None:
        """Leave the last state standing."""
        if self._ticker.running:
            self._ticker.stop()
        self.show()
        sys.stderr.write("\n")

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
        sys.stderr.write("\r\x1b[K" + ", ".join(parts))
        sys.stderr.flush()


class Freshness:
    """Keeps the statistic ``ali1688/watch/fraction_fresh`` up to date, and logs it.

    It is the expected part, 0 to 1, of the watched products whose stored copy is what the platform
    shows, estimated on a sample.
    """

    def __init__(self, spider: WatchSpider, stats: StatsCollector) -> None:
        self._spider = spider
        self._stats = stats
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the extension; it is off for other spiders than ``watch``."""
        if not isinstance(crawler.spider, WatchSpider):
            raise NotConfigured
        freshness = cls(crawler.spider, crawler.stats)
        crawler.signals.connect(freshness.begin, signals.spider_opened)
        crawler.signals.connect(freshness.end, signals.spider_closed)
        return freshness

    def begin(self) -> None:
        """Measure from now on."""
        self._task = asyncio.create_task(self._measure_often())

    async def end(self) -> None:
        """Measure for the last time, and release the schedule."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._measure()
        await self._spider.watcher.close()

    async def _measure_often(self) -> None:
        while True:
            await asyncio.sleep(FRESHNESS_SECONDS)
            await self._measure()

    async def _measure(self) -> None:
        try:
            fraction = await self._spider.watcher.fraction_fresh()
        except (RedisError, sqlite3.Error, CrawlClosingError) as error:
            logger.debug("Freshness not measured: %s", error)
            return
        if fraction is not None:
            self._stats.set_value("ali1688/watch/fraction_fresh", round(fraction, 4))
            logger.info("About %.0f %% of the watched products are fresh", 100 * fraction)
