"""Feeds (``-O products.csv``) that hold all that the crawl was for, or say what they lack."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pymongo.errors import PyMongoError
from scrapy import Spider, signals
from scrapy.crawler import Crawler
from scrapy.extensions.feedexport import FeedExporter, FileFeedStorage

from ali1688_spider.addon import context_of
from ali1688_spider.exporting.selection import READ_OPTIONS
from ali1688_spider.items import Product
from ali1688_spider.shutdown import INCOMPLETE, CrawlOutcome
from ali1688_spider.spiders.base import ApiSpider
from ali1688_spider.storage.database_errors import explain

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

AT_ONCE = 500
"""Products that are looked up in MongoDB together."""


class FileFeed(FileFeedStorage):
    """A feed in a file; one that overwrites is written beside and then takes the file's place.

    So a crawl that brings nothing, or is killed, leaves the old file as it was; what came until
    then is in ``<file>.part``.
    """

    def __init__(self, uri: str, *, feed_options: dict[str, Any] | None = None) -> None:
        super().__init__(uri, feed_options=feed_options)
        self._file = Path(self.path)
        is_usual = self._file.is_file() or self._file.is_dir()
        is_special = self._file.exists() and not is_usual  # a pipe, /dev/null
        self._is_beside = self.write_mode == "wb" and not is_special
        if self._is_beside:
            self.path += ".part"

    def store(self, file: IO[bytes]) -> None:
        """Close the file, and put it in its place."""
        super().store(file)
        if self._is_beside:
            Path(self.path).replace(self._file)


class Feeds(FeedExporter):
    """Scrapy's feeds, which hold what other workers have collected for the crawl as well.

    A worker that was given ids, or a search, shares them with all others. What these have collected
    is taken from MongoDB when everything is done. A file that cannot be written ends the crawl,
    unless MongoDB has the products.

    Attributes:
        stored: The addresses of the feeds that were stored.
        unstored: Those that were not, since nothing was collected or since that failed.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.stored: list[str] = []
        self.unstored: list[str] = []
        self._context = context_of(crawler)
        self._collected: set[int] = set()
        self._started_at = datetime.now(UTC)
        self._failed: Counter[str] = Counter()
        self._is_broken = False
        crawler.signals.connect(self.slot_closed, signals.feed_slot_closed)
        shutdown, spider = self._context.shutdown, crawler.spider
        shutdown.checks.append(self.flush)
        if not isinstance(spider, ApiSpider) or not self._context.config.redis_url:
            return
        if spider.has_source and spider.joins_crawl:
            spider.remembers_wanted = True
            shutdown.finisher = self.complete

    def item_scraped(self, item: Any, spider: Spider) -> None:
        """Write an item into the feeds."""
        if self._is_broken:
            return
        try:
            super().item_scraped(item, spider)
        except OSError as error:
            self._give_up(error)
        if self._context.shutdown.finisher is not None and isinstance(item, Product):
            self._collected.add(item.product_id)

    def flush(self) -> None:
        """Write what is buffered, as long as the crawl can still say that it failed."""
        for slot in self.slots:
            if slot.file is not None and not slot.file.closed:
                try:
                    slot.file.flush()
                except OSError as error:
                    self._give_up(error)

    async def complete(self) -> None:
        """Add the products that other workers have collected for this crawl."""
        spider = self.crawler.spider
        assert isinstance(spider, ApiSpider)
        if self._is_broken:
            return  # as was said
        missing = sorted(await self._context.redis_retry.run(spider.wanted) - self._collected)
        outcome = CrawlOutcome.of(self.crawler)
        elsewhere = len(missing) - outcome.given_up - outcome.rejected
        if elsewhere <= 0:
            return
        names = ", ".join(slot.uri for slot in self.slots)
        if self._context.database is None:
            self._context.shutdown.has_lost = True
            logger.error(
                "%s lacks %d products that other workers have collected, or given up: set "
                "MONGO_URI, so that they can be taken from there, or leave REDIS_URL empty",
                names,
                elsewhere,
            )
            return
        added = 0
        try:
            async for document in self._stored_products(iter(missing)):
                self.item_scraped(document, spider)
                added += 1
        except PyMongoError as error:
            logger.error("MongoDB cannot be read: %s", explain(error))  # noqa: TRY400  # one sentence
        logger.info("%d products that other workers have collected are added to %s", added, names)
        if added < elsewhere:
            self._context.shutdown.has_lost = True
            logger.error(
                "%s lacks %d products that were wanted and are not in MongoDB: `scrapy failed "
                "list` shows those that were given up",
                names,
                elsewhere - added,
            )

    async def slot_closed(self, slot: Any) -> None:
        """Note what was stored."""
        kind = type(slot.storage).__name__
        failed = self.crawler.stats.get_value(f"feedexport/failed_count/{kind}", 0)
        if failed > self._failed[kind]:  # Scrapy tells it of all feeds of a kind together
            self._failed[kind] = failed
            self._context.shutdown.has_lost = True
            self.unstored.append(slot.uri)
        else:
            self.stored.append(slot.uri)

    async def close_spider(self, spider: Spider) -> None:
        """Store the feeds; those without a row stay as they were."""
        self.unstored += [slot.uri for slot in self.slots if not slot.itemcount]
        await super().close_spider(spider)

    async def _stored_products(self, missing: Iterator[int]) -> Any:
        assert self._context.database is not None
        products = self._context.database["products"].with_options(READ_OPTIONS)
        scheduler: Any = self.crawler.engine.scheduler
        # An earlier copy is none of this crawl's, unless others had begun it.
        oldest = self._started_at - timedelta(seconds=self._context.config.cache_ttl + 1)
        since = {} if scheduler.worker.has_joined else {"fetched_at": {"$gte": oldest}}
        while batch := list(islice(missing, AT_ONCE)):
            async for document in products.find({"_id": {"$in": batch}, **since}):
                yield {name: document.get(name) for name in Product.model_fields}

    def _give_up(self, error: OSError) -> None:
        self._is_broken = True
        self._context.shutdown.has_lost = True
        names = ", ".join(slot.uri for slot in self.slots)
        sentence = f"{names} cannot be written ({error.strerror}): make room or choose another file"
        self.crawler.stats.inc_value("ali1688/feeds/failed")
        for slot in self.slots:
            with suppress(OSError):
                if slot.file is not None:
                    slot.file.close()
        self.unstored += [slot.uri for slot in self.slots]
        self.slots = []
        if self._context.database is None:
            self._context.shutdown.close(INCOMPLETE, sentence)
        else:
            logger.error("%s; `scrapy export` writes what MongoDB has", sentence)
