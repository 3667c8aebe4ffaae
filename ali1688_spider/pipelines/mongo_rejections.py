"""Keeps rejected answers in MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy import signals

from ali1688_spider.shutdown import Shutdown
from ali1688_spider.storage.connection import connect
from ali1688_spider.storage.patience import Patience
from ali1688_spider.storage.rejections import MongoRejectionStore

if TYPE_CHECKING:
    from typing import Self

    from scrapy.crawler import Crawler


class MongoRejections(MongoRejectionStore):
    """The store of ``rejected_items`` that the settings name, for as long as the crawl lasts."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the store; it connects when it is first used.

        Raises:
            ConfigurationError: ``MONGO_URI`` cannot be read.
        """
        settings = crawler.settings
        database = connect(settings["MONGO_URI"], settings.get("MONGO_DATABASE") or "ali1688")
        closing = Shutdown(crawler)
        patience = Patience(
            closing=lambda: closing.in_progress,
            waited=lambda: crawler.stats.inc_value("ali1688/storage/waits"),
        )
        store = cls(database, patience)
        crawler.signals.connect(store.close, signals.spider_closed)
        return store
