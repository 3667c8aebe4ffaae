"""The database: how the project connects, how values are written, collections and indexes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from decimal import Decimal
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

from bson.codec_options import CodecOptions, TypeEncoder, TypeRegistry
from bson.decimal128 import Decimal128
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, IndexModel, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.retrying import ServerRetry
from ali1688_spider.storage.database_errors import StoreUnavailableError, classify, is_there_already

if TYPE_CHECKING:
    Collection: TypeAlias = AsyncCollection[dict[str, Any]]
    Database: TypeAlias = AsyncDatabase[dict[str, Any]]

PRODUCTS = "products"
PRODUCT_CHANGES = "product_changes"
REJECTED_ITEMS = "rejected_items"
FAILED_CALLS = "failed_calls"
CRAWLS = "crawls"
SEEN_SECONDS = 30.0
"""How often a running crawl renews ``last_seen`` of its document in ``crawls``."""
PENDING = "pending_changes"
"""The field of a product that holds its changes until they are published."""

SECONDS_PER_DAY = 86_400
SELECTION_SECONDS = 5
"""How long an operation looks for a server before it fails."""
RESPONSE_SECONDS = 20
"""How long an operation waits for the server's response before it fails."""

_INDEXES: dict[str, list[IndexModel]] = {
    # Without one on fetched_at: it would be rewritten each time that a product is collected.
    PRODUCTS: [
        IndexModel([("changed_at", DESCENDING)]),
        IndexModel([("category_id", ASCENDING)]),
        # Of the products with pending changes; all others are not in it.
        IndexModel([(f"{PENDING}._id", ASCENDING)], sparse=True),
    ],
    PRODUCT_CHANGES: [
        # The history of a product.
        IndexModel([("product_id", ASCENDING), ("at", DESCENDING)]),
        # The biggest drops and rises of prices, or of stock, within a time.
        IndexModel([("field", ASCENDING), ("percent", ASCENDING), ("at", DESCENDING)]),
    ],
    # Those that have not ended and were seen of late, and the latest.
    CRAWLS: [IndexModel([("finished_at", DESCENDING), ("last_seen", DESCENDING)])],
}
_HISTORY = (PRODUCT_CHANGES, REJECTED_ITEMS, FAILED_CALLS)
"""Their index on ``at`` finds what happened since a time, and with an expiry also deletes."""

_INDEX_NOT_FOUND = 27


@lru_cache(maxsize=8192)  # making one takes 4 µs, and prices repeat within a product
def _decimal128(text: str) -> Decimal128:
    return Decimal128(text)


class _DecimalEncoder(TypeEncoder):
    python_type = Decimal

    def transform_python(self, value: Any) -> Decimal128:
        return _decimal128(str(value))  # by its text: 12.5 and 12.50 are equal as keys


CODEC_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True, tzinfo=UTC, type_registry=TypeRegistry([_DecimalEncoder()])
)
"""``Decimal`` is written as Decimal128, and read as such; times are aware UTC in milliseconds."""


def connect(uri: str, database: str) -> Database:
    """Return the database, to which no connection is made yet; its ``client`` is to be closed.

    Values follow :data:`CODEC_OPTIONS`; a write counts once a majority of the replica set has it in
    its journal.

    Raises:
        ConfigurationError: *uri* cannot be read.
    """
    try:
        client = AsyncMongoClient[dict[str, Any]](
            uri,
            appname="ali1688-spider",
            serverMonitoringMode="poll",  # saves a connection; operations notice an outage anyway
            serverSelectionTimeoutMS=SELECTION_SECONDS * 1000,
            connectTimeoutMS=SELECTION_SECONDS * 1000,
            socketTimeoutMS=RESPONSE_SECONDS * 1000,
        )
    # The driver's text quotes parts of the address, and they may be the password.
    except (PyMongoError, ValueError, TypeError):
        raise ConfigurationError(
            "MONGO_URI cannot be read: write mongodb://user:password@host:27017/ with every "
            "special character of the user name and the password percent-encoded"
        ) from None
    return client.get_database(
        database, codec_options=CODEC_OPTIONS, write_concern=WriteConcern("majority", j=True)
    )


mongo_retry = partial(ServerRetry, "MongoDB", classify, on_give_up=StoreUnavailableError)
"""Makes what repeats operations while MongoDB is away; takes the other arguments of its class."""


async def ensure_indexes(database: Database, history_days: float) -> None:
    """Create the missing indexes, and let the history expire after *history_days* (0: never).

    Changes, rejected items and failed calls are history; products are not.
    """
    for collection, models in _INDEXES.items():
        await database[collection].create_indexes(models)
    seconds = round(history_days * SECONDS_PER_DAY) or None
    for collection in _HISTORY:
        await ensure_expiry(database[collection], "at", seconds)


async def ensure_expiry(collection: Collection, field: str, seconds: int | None) -> None:
    """Give *collection* an index on the time *field* that deletes documents *seconds* later.

    Without *seconds* it deletes nothing.
    """
    name = f"{field}_1"
    existing = (await collection.index_information()).get(name)
    if existing is not None:
        if existing.get("expireAfterSeconds") == seconds:
            return
        try:
            await collection.drop_index(name)
        except OperationFailure as error:
            if error.code != _INDEX_NOT_FOUND:  # another worker was quicker
                raise
    expiry: dict[str, Any] = {} if seconds is None else {"expireAfterSeconds": seconds}
    await collection.create_index(field, **expiry)


async def insert_new(collection: Collection, documents: Iterable[dict[str, Any]]) -> None:
    """Insert those of *documents* whose ``_id`` is not there yet, at least one document."""
    try:
        await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        failures = error.details.get("writeErrors", ())
        if error.details.get("writeConcernErrors") or not all(map(is_there_already, failures)):
            raise
