"""The result of a crawl: a record in MongoDB for ``scrapy report``, and a file for programs."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pymongo.errors import PyMongoError
from scrapy import Spider, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.statscollectors import StatsCollector
from scrapy.utils.serialize import ScrapyJSONEncoder

from ali1688_spider.addon import context_of
from ali1688_spider.storage.database_errors import explain

if TYPE_CHECKING:
    from ali1688_spider.storage.database import Database

logger = logging.getLogger(__name__)

KEPT = ("ali1688/", "item_scraped_count", "spider_exceptions/", "log_count/ERROR")


class CrawlRecord:
    """Writes one document into ``crawls`` when a crawl ends: when, why, and its statistics."""

    def __init__(self, database: Database, stats: StatsCollector) -> None:
        self._crawls = database["crawls"]
        self._stats = stats
        self._started_at = datetime.now(UTC)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the extension; without ``MONGO_URI`` there is nowhere to write to."""
        database = context_of(crawler).database
        if database is None:
            raise NotConfigured
        record = cls(database, crawler.stats)
        crawler.signals.connect(record.write, signals.spider_closed)
        return record

    async def write(self, spider: Spider, reason: str) -> None:
        """Write the document, unless the crawl ended because the database was away."""
        if reason == "database_unavailable":
            return
        stats = self._stats.get_stats()
        document = {
            "spider": spider.name,
            "started_at": self._started_at,
            "finished_at": datetime.now(UTC),
            "reason": reason,
            "stats": {name: value for name, value in stats.items() if name.startswith(KEPT)},
        }
        try:
            await self._crawls.insert_one(document)
        except PyMongoError as error:
            logger.warning("The record of this crawl could not be kept: %s", explain(error))


class StatsFile:
    """Writes the statistics, ``finish_reason`` among them, as JSON to ``ALI1688_STATS_FILE``."""

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
        crawler.signals.connect(extension.write, signals.spider_closed)
        # Once more: other components count when the spider is closed. A crawl that could not be
        # opened has no such end.
        crawler.signals.connect(extension.write, signals.engine_stopped)
        return extension

    def write(self) -> None:
        """Write the file."""
        self._path.write_text(ScrapyJSONEncoder().encode(self._stats.get_stats()), "utf-8")
