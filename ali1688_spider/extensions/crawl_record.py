"""A record of each crawl in MongoDB, for ``scrapy report``."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError
from scrapy import signals
from scrapy.exceptions import NotConfigured

from ali1688_spider.addon import context_of
from ali1688_spider.storage.errors import explain

if TYPE_CHECKING:
    from typing import Self

    from scrapy import Spider
    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

COLLECTION = "crawls"
KEPT = ("ali1688/", "item_scraped_count", "spider_exceptions/", "log_count/ERROR")


class CrawlRecord:
    """Writes one document into ``crawls`` when a crawl ends: when, why, and its statistics."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._started_at = datetime.now(UTC)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the extension; without ``MONGO_URI`` there is nowhere to write to."""
        if context_of(crawler).database is None:
            raise NotConfigured
        record = cls(crawler)
        crawler.signals.connect(record.write, signals.spider_closed)
        return record

    async def write(self, spider: Spider, reason: str) -> None:
        """Write the document, unless the crawl ended because the database was away."""
        database = context_of(self._crawler).database
        if database is None or reason == "database_unavailable":
            return
        stats = self._crawler.stats.get_stats()
        document: dict[str, Any] = {
            "spider": spider.name,
            "started_at": self._started_at,
            "finished_at": datetime.now(UTC),
            "reason": reason,
            "stats": {name: value for name, value in stats.items() if name.startswith(KEPT)},
        }
        try:
            await database[COLLECTION].insert_one(document)
        except PyMongoError as error:
            logger.warning("The record of this crawl could not be kept: %s", explain(error))
