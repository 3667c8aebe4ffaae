"""The result of a crawl: a record in MongoDB for ``scrapy report``, and a file for programs."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bson import ObjectId
from pymongo.errors import PyMongoError
from scrapy import Spider, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.statscollectors import StatsCollector
from scrapy.utils.serialize import ScrapyJSONEncoder

from ali1688_spider.addon import context_of
from ali1688_spider.spiders.base import ApiSpider
from ali1688_spider.storage.database import CRAWLS, SEEN_SECONDS
from ali1688_spider.storage.database_errors import explain
from ali1688_spider.storage.outbox import end, wait

if TYPE_CHECKING:
    from ali1688_spider.storage.database import Database

logger = logging.getLogger(__name__)

KEPT = ("ali1688/", "item_scraped_count", "spider_exceptions/", "log_count/ERROR")
CLOSING_SECONDS = 5.0
"""How long the end of a crawl waits for a record that is being renewed."""
MOST_OF_ARGUMENT = 200
"""Characters kept of each argument: ids may be many thousands."""


class CrawlRecord:
    """Keeps one document of the crawl in ``crawls``, from its start to its end.

    At the start it says where the crawl runs and with which arguments; while it runs, ``last_seen``
    and ``stats`` are renewed, so that a crawl that was killed shows when it was last heard of; at
    the end ``finished_at`` and ``reason`` come in.
    """

    def __init__(self, crawler: Crawler, database: Database) -> None:
        self._crawls = database[CRAWLS]
        self._stats = crawler.stats
        self._redact = context_of(crawler).redactor.redact
        self._id = ObjectId()
        self._started_at = datetime.now(UTC)
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the extension; without ``MONGO_URI`` there is nowhere to write to."""
        database = context_of(crawler).database
        if database is None:
            raise NotConfigured
        record = cls(crawler, database)
        crawler.signals.connect(record.begin, signals.spider_opened)
        crawler.signals.connect(record.end, signals.spider_closed)
        return record

    def begin(self, spider: Spider) -> None:
        """Write the document, and renew it from now on."""
        self._task = asyncio.create_task(self._renew_often(spider))

    async def end(self, spider: Spider, reason: str) -> None:
        """Write the end of the crawl, unless it ended because the database was away."""
        self._closing.set()
        if self._task is not None:
            await end(self._task, CLOSING_SECONDS)
        if reason == "database_unavailable":
            return
        try:
            await self._write(spider, finished_at=datetime.now(UTC), reason=reason)
        except PyMongoError as error:
            logger.warning("The record of this crawl could not be kept: %s", explain(error))

    async def _renew_often(self, spider: Spider) -> None:
        while not self._closing.is_set():
            try:
                await self._write(spider)
            except PyMongoError as error:
                logger.debug("The record of this crawl is not renewed: %s", explain(error))
            await wait(self._closing, SEEN_SECONDS)

    async def _write(self, spider: Spider, **ended: Any) -> None:
        stats = self._stats.get_stats()
        arguments = spider.given_arguments if isinstance(spider, ApiSpider) else {}
        document = {
            "spider": spider.name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "arguments": {
                name: self._redact(str(text))[:MOST_OF_ARGUMENT] for name, text in arguments.items()
            },
            "started_at": self._started_at,
            "last_seen": datetime.now(UTC),
            "stats": {name: value for name, value in stats.items() if name.startswith(KEPT)},
            **ended,
        }
        await self._crawls.update_one({"_id": self._id}, {"$set": document}, upsert=True)


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
