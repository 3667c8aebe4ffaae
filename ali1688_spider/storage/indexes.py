"""The indexes, by the questions that they answer, and how long the history is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import OperationFailure

from ali1688_spider.storage.outbox import PENDING, PRODUCT_CHANGES, PRODUCTS

if TYPE_CHECKING:
    from ali1688_spider.storage.connection import Collection, Database

REJECTED_ITEMS = "rejected_items"
FAILED_CALLS = "failed_calls"
SECONDS_PER_DAY = 86_400

_INDEXES: dict[str, list[IndexModel]] = {
    # Without one on fetched_at: it would be written anew each time that a product is collected.
    PRODUCTS: [
        IndexModel([("changed_at", DESCENDING)]),
        IndexModel([("category_id", ASCENDING)]),
        # Of the products with changes on their way out; all others are not in it.
        IndexModel([(f"{PENDING}._id", ASCENDING)], sparse=True),
    ],
    PRODUCT_CHANGES: [
        # The history of a product.
        IndexModel([("product_id", ASCENDING), ("at", DESCENDING)]),
        # The biggest drops and rises of prices, or of stock, within a time.
        IndexModel([("field", ASCENDING), ("percent", ASCENDING), ("at", DESCENDING)]),
    ],
}
# What happened since T; with an expiry these indexes also delete.
_HISTORY: tuple[tuple[str, str], ...] = (
    (PRODUCT_CHANGES, "at"),
    (REJECTED_ITEMS, "at"),
    (FAILED_CALLS, "at"),
)
_NO_SUCH_INDEX = 27


async def ensure_indexes(database: Database, history_days: float) -> None:
    """Create what is missing, and let the history expire after *history_days* (0: never).

    Changes, rejected items and failed calls are history; products are not.

    Raises:
        OperationFailure: The database refuses, for example because an index of the same name has
            other options.
    """
    for collection, models in _INDEXES.items():
        await database[collection].create_indexes(models)
    seconds = round(history_days * SECONDS_PER_DAY) or None
    for collection, field in _HISTORY:
        await ensure_expiry(database[collection], field, seconds)


async def ensure_expiry(collection: Collection, field: str, seconds: int | None) -> None:
    """Give *collection* an index on the time *field* that deletes documents *seconds* later.

    Args:
        collection: The collection.
        field: The field.
        seconds: After which a document is deleted; None for never.
    """
    name = f"{field}_1"
    existing = (await collection.index_information()).get(name)
    if existing is not None:
        current = existing.get("expireAfterSeconds")
        if current == seconds:
            return
        if current is not None and seconds is not None:
            index = {"name": name, "expireAfterSeconds": seconds}
            await collection.database.command("collMod", collection.name, index=index)
            return
        await _drop(collection, name)
    expiry: dict[str, Any] = {} if seconds is None else {"expireAfterSeconds": seconds}
    await collection.create_index([(field, ASCENDING)], name=name, **expiry)


async def _drop(collection: Collection, name: str) -> None:
    try:
        await collection.drop_index(name)
    except OperationFailure as error:
        if error.code != _NO_SUCH_INDEX:  # another worker was quicker
            raise
