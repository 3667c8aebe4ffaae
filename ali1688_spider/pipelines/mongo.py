"""Stores products in MongoDB, and publishes what changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Self

from pymongo.errors import PyMongoError
from scrapy.crawler import Crawler
from scrapy.exceptions import CloseSpider, DropItem, NotConfigured
from scrapy.statscollectors import StatsCollector

from ali1688_spider.addon import context_of
from ali1688_spider.batching import BatchWriter
from ali1688_spider.delivery.redis_stream import RedisStream
from ali1688_spider.delivery.webhook import Webhook
from ali1688_spider.items import Product
from ali1688_spider.storage.database import ensure_indexes
from ali1688_spider.storage.database_errors import (
    DocumentRefusedError,
    StoreUnavailableError,
    explain,
)
from ali1688_spider.storage.observation import Observation
from ali1688_spider.storage.outbox import Outbox
from ali1688_spider.storage.product_store import ProductStore, Stored

if TYPE_CHECKING:
    from ali1688_spider.context import CrawlContext
    from ali1688_spider.storage.outbox import ChangePublisher

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.05  # how long a product waits for others, to be stored together


class MongoPipeline:
    """Returns each product once the database has it, in a batch with those of the same moment.

    While the database is away, products wait, and with them the crawl: nothing else is downloaded
    once Scrapy's ``SCRAPER_SLOT_MAX_ACTIVE_SIZE`` is reached. A crawl that has to end meanwhile
    gives up after some seconds and fails its products with :class:`StoreUnavailableError`, so that
    their calls are not acknowledged.

    Statistics, under ``ali1688/``: ``items/stored`` are all that the database has; of them
    ``items/new``, ``items/changed`` and ``items/unchanged``. ``items/outdated`` came later than a
    newer response. ``items/rejected`` were refused, ``items/unstored`` given up because the crawl
    had to end. ``webhook/delivered`` and ``webhook/failed`` count the changes that were sent,
    ``changes/kept`` those that a publisher did not take and that stay on their products meanwhile.
    """

    def __init__(self, context: CrawlContext, stats: StatsCollector) -> None:
        assert context.database is not None
        assert context.rejections is not None
        self._database = context.database
        self._rejections = context.rejections
        config, delivery = context.config, context.config.delivery
        context.destinations.append(f"MongoDB ({config.mongo_database})")
        self._history_days = config.history_days
        self._stats = stats
        self._webhook: Webhook | None = None
        publishers: list[ChangePublisher] = [RedisStream(context.redis)] if config.redis_url else []
        if delivery.webhook_url:
            self._webhook = Webhook(
                delivery.webhook_url,
                delivery.webhook_secret,
                self._database,
                count=lambda name, number: stats.inc_value(f"ali1688/webhook/{name}", number),
            )
            publishers.append(self._webhook)
        self._outbox = Outbox(
            self._database,
            context.mongo_retry,
            publishers,
            fields=delivery.fields,
            min_percent=delivery.min_percent,
            on_kept=lambda number: stats.inc_value("ali1688/changes/kept", number),
        )
        products = ProductStore(self._database, self._outbox, context.mongo_retry)
        self._batches: BatchWriter[Observation, Stored] = BatchWriter(
            products.store, gather_seconds=GATHER_SECONDS
        )

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the pipeline; without ``MONGO_URI`` it is switched off."""
        context = context_of(crawler)
        if context.database is None:
            logger.info("MONGO_URI is empty: products go to feeds only")
            raise NotConfigured
        return cls(context, crawler.stats)

    async def open_spider(self) -> None:
        """Create indexes, and begin to publish changes that an earlier crawl could not.

        Raises:
            CloseSpider: Nothing can be stored; an ERROR in the log says why and what to do.
        """
        try:
            await ensure_indexes(self._database, self._history_days)
        except PyMongoError as error:
            logger.error("Nothing can be stored: %s", explain(error))  # noqa: TRY400  # no traceback
            raise CloseSpider("database_unavailable") from None
        if self._webhook is not None:
            self._webhook.start()
        self._outbox.start()

    async def process_item(self, item: Any) -> Any:
        """Return a product once it is stored, other items as they are.

        What the database refuses is kept in ``rejected_items`` and dropped.
        """
        if not isinstance(item, Product):
            return item
        try:
            stored = await self._batches.put(Observation.of(item))
        except DocumentRefusedError as refusal:
            logger.warning("Rejected product %d: %s", item.product_id, refusal)
            self._stats.inc_value("ali1688/items/rejected")
            errors, record = [str(refusal)], item.model_dump()
            await self._rejections.keep(item.product_id, errors, record, item.fetched_at)
            raise DropItem("refused by the database", log_level="DEBUG") from None
        except StoreUnavailableError:
            self._stats.inc_value("ali1688/items/unstored")
            raise
        self._stats.inc_value(f"ali1688/items/{stored.outcome}")
        if stored.outcome != "outdated":
            self._stats.inc_value("ali1688/items/stored")
        item.first_seen_at, item.changed_at = stored.first_seen_at, stored.changed_at
        return item

    async def close_spider(self) -> None:
        """Write what is left, and publish what changed."""
        await self._batches.close()
        if unstored := self._stats.get_value("ali1688/items/unstored"):
            logger.warning(
                "MongoDB stayed away: %d products are not stored, nor are their calls acknowledged",
                unstored,
            )
        await self._outbox.close()
        if self._webhook is not None:
            await self._webhook.close()
