"""Stores products in MongoDB, and tells other programs what changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NoReturn

import bson
from pymongo.errors import PyMongoError
from scrapy.exceptions import CloseSpider, DropItem, NotConfigured

from ali1688_spider.addon import context_of
from ali1688_spider.batching import BatchWriter
from ali1688_spider.config import DeliverySettings
from ali1688_spider.delivery.channels import Channels
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.items import Product
from ali1688_spider.pipelines.documents import CODEC_OPTIONS
from ali1688_spider.pipelines.rejections import Rejection, storable
from ali1688_spider.shutdown import Shutdown
from ali1688_spider.storage.connection import connect, greet
from ali1688_spider.storage.errors import DocumentRefusedError, StoreUnavailableError, explain
from ali1688_spider.storage.indexes import ensure_indexes
from ali1688_spider.storage.observation import Observation
from ali1688_spider.storage.outbox import Outbox
from ali1688_spider.storage.patience import Patience
from ali1688_spider.storage.product_store import ProductStore
from ali1688_spider.storage.rejections import MongoRejectionStore
from ali1688_spider.storage.write import Write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from scrapy.crawler import Crawler
    from scrapy.statscollectors import StatsCollector

    from ali1688_spider.storage.connection import Database

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.01
"""So long a product waits for others before they are stored together."""

SCRAPER_LOGGER = "scrapy.core.scraper"

_SET_BY_STORE = frozenset({"fetched_at", "first_seen_at", "changed_at"})


class MongoPipeline:
    """Returns each product once the database has it, in a batch with those of the same moment.

    While the database is away, products wait, and with them the crawl: nothing else is downloaded
    once Scrapy's ``SCRAPER_SLOT_MAX_ACTIVE_SIZE`` is reached. A crawl that has to end meanwhile
    gives up after some seconds and fails its products with :class:`StoreUnavailableError`, so that
    their calls are not acknowledged.

    Statistics, under ``ali1688/``: ``items/stored`` are all that the database has; of them
    ``items/new``, ``items/changed`` and ``items/unchanged``. ``items/outdated`` came later than a
    newer answer. ``items/rejected`` were refused, ``items/unstored`` given up because the crawl had
    to end. ``storage/waits`` counts the waits for the
    database, ``webhook/delivered`` and ``webhook/failed`` the changes that were sent,
    ``changes/kept`` those that a channel did not take and that stay on their products meanwhile.
    """

    def __init__(
        self,
        uri: str,
        database: str,
        *,
        history_days: float,
        redis: Any,
        delivery: DeliverySettings,
        stats: StatsCollector,
        closing: Callable[[], bool],
    ) -> None:
        self._uri = uri
        self._database_name = database
        self._history_days = history_days
        self._stats = stats
        self._patience = Patience(
            closing=closing, waited=lambda: stats.inc_value("ali1688/storage/waits")
        )
        self._channels = Channels(delivery, redis, count=self._add_to)
        self._batches = BatchWriter[Observation, Write](self._write, gather_seconds=GATHER_SECONDS)
        self._database: Database | None = None
        self._unstored = 0
        self._outbox: Outbox | None = None
        self._products: ProductStore
        self._rejections: MongoRejectionStore

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the pipeline from the settings.

        Raises:
            NotConfigured: ``MONGO_URI`` is empty.
            ConfigurationError: A setting of delivery is wrong.
        """
        settings = crawler.settings
        if not settings.get("MONGO_URI"):
            raise NotConfigured("MONGO_URI is empty: products go to feeds only")
        closing = Shutdown(crawler)
        return cls(
            settings["MONGO_URI"],
            settings.get("MONGO_DATABASE") or "ali1688",
            history_days=settings.getfloat("ALI1688_HISTORY_DAYS"),
            redis=context_of(crawler).redis if settings.get("REDIS_URL") else None,
            delivery=DeliverySettings.read(settings),
            stats=crawler.stats,
            closing=lambda: closing.in_progress,
        )

    async def open_spider(self) -> None:
        """Connect, create indexes, and begin to bring out changes that an earlier crawl could not.

        Raises:
            CloseSpider: Nothing can be stored; an ERROR in the log says why and what to do.
        """
        logging.getLogger(SCRAPER_LOGGER).addFilter(_is_no_outage)
        try:
            self._database = connect(self._uri, self._database_name)
            await greet(self._database)
            await ensure_indexes(self._database, self._history_days)
        except (ConfigurationError, StoreUnavailableError, PyMongoError) as error:
            explanation = explain(error) if isinstance(error, PyMongoError) else str(error)
            logger.error("Nothing can be stored: %s", explanation)  # noqa: TRY400  # no traceback
            raise CloseSpider("database_unavailable") from None
        self._outbox = Outbox(
            self._database,
            self._channels.open(self._database),
            patience=self._patience,
            kept=lambda number: self._add_to("changes/kept", number),
        )
        self._outbox.start()
        self._products = ProductStore(self._database, self._outbox)
        self._rejections = MongoRejectionStore(self._database, self._patience)

    async def process_item(self, item: Any) -> Any:
        """Return a product once it is stored, other items as they are.

        Raises:
            DropItem: The database refuses this product; it is kept in ``rejected_items``.
            StoreUnavailableError: The crawl is closing, and the database stayed away.
        """
        if not isinstance(item, Product):
            return item
        try:
            write = await self._batches.put(observation_of(item))
        except DocumentRefusedError as refusal:
            await self._reject(item, refusal)
        except StoreUnavailableError:
            self._unstored += 1
            self._stats.inc_value("ali1688/items/unstored")
            raise
        self._count(write)
        item.first_seen_at, item.changed_at = write.first_seen_at, write.changed_at
        return item

    async def close_spider(self) -> None:
        """Write what is left, bring out what changed, and close the connections."""
        await self._batches.close()
        if self._unstored:
            logger.warning(
                "MongoDB stayed away: %d products are not stored, nor are their calls acknowledged",
                self._unstored,
            )
        if self._outbox is not None:
            await self._outbox.close()
        await self._channels.close()
        if self._database is not None:
            await self._database.client.close()
        logging.getLogger(SCRAPER_LOGGER).removeFilter(_is_no_outage)

    async def _write(self, batch: Sequence[Observation]) -> list[Write | Exception]:
        writes = [Write(observation) for observation in batch]
        await self._patience.repeat(lambda: self._products.store(writes))
        return [write.refusal or write for write in writes]

    def _add_to(self, name: str, number: int) -> None:
        self._stats.inc_value(f"ali1688/{name}", number)

    def _count(self, write: Write) -> None:
        self._stats.inc_value(f"ali1688/items/{write.outcome}")
        if write.outcome != "outdated":
            self._stats.inc_value("ali1688/items/stored")

    async def _reject(self, product: Product, refusal: DocumentRefusedError) -> NoReturn:
        logger.warning("Rejected product %d: %s", product.product_id, refusal)
        self._stats.inc_value("ali1688/items/rejected")
        payload = storable(product.model_dump())
        await self._rejections.keep(
            Rejection(product.product_id, [str(refusal)], payload, product.fetched_at)
        )
        raise DropItem("refused by the database", log_level="DEBUG")


def _is_no_outage(record: logging.LogRecord) -> bool:
    """Leave out Scrapy's traceback for each product that waits when the crawl has to end."""
    return record.exc_info is None or not isinstance(record.exc_info[1], StoreUnavailableError)


def observation_of(product: Product) -> Observation:
    """Return what is to be stored of *product*.

    Raises:
        DocumentRefusedError: BSON cannot hold it.
    """
    record = {name: value for name, value in product.__dict__.items() if name not in _SET_BY_STORE}
    told = {name: value for name, value in record.items() if name in product.model_fields_set}
    try:
        encoded = bson.encode(told, codec_options=CODEC_OPTIONS)
    # The values decide what goes wrong here, and it has to stay with them.
    except Exception as error:
        raise DocumentRefusedError(f"BSON cannot hold it: {error}") from error
    untold = {name: value for name, value in record.items() if name not in told}
    return Observation(product.product_id, product.fetched_at, encoded, untold)
