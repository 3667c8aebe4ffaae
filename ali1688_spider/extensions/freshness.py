"""How fresh the watched products are: a statistic and a log line."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from scrapy import signals
from scrapy.exceptions import NotConfigured

from ali1688_spider.shutdown import CrawlClosingError
from ali1688_spider.spiders.watch import WatchSpider

if TYPE_CHECKING:
    from typing import Self

    from scrapy.crawler import Crawler
    from scrapy.statscollectors import StatsCollector

logger = logging.getLogger(__name__)

INTERVAL = 30.0  # seconds


class Freshness:
    """Keeps the statistic ``ali1688/watch/fraction_fresh`` up to date, and logs it.

    It is the expected part of the watched products whose stored copy is what the platform shows,
    from 0 to 1, estimated on a sample.
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
            await asyncio.sleep(INTERVAL)
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
