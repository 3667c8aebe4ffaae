"""Changes on their way out of the product documents that they were found on.

A change is first written within its product, in ``pending_changes``, by the same atomic update
that writes the new values. From there it goes into ``product_changes``, then to the listeners, and
is taken off the product last. Whoever finds changes pending brings them out; each step may be done
any number of times, so a crash between two of them neither loses a change nor doubles one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pymongo import UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError

from ali1688_spider.storage.change import Change
from ali1688_spider.storage.errors import only_duplicates

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ali1688_spider.storage.connection import Database

PRODUCTS = "products"
PRODUCT_CHANGES = "product_changes"
PENDING = "pending_changes"

_RECOVERED_AT_ONCE = 200


class ChangeListener(Protocol):
    """Who is told of changes."""

    async def deliver(self, changes: Sequence[Change]) -> None:
        """Pass changes on. The same change may come again, and is then no news.

        Raises:
            StoreUnavailableError: It is to be tried again later.
        """


@dataclass(frozen=True, slots=True)
class Pending:
    """The pending changes of one product.

    Attributes:
        product_id: The product.
        fetched_at: The product's ``fetched_at`` along with which they are pending.
        documents: The changes, as ``product_changes`` holds them.
    """

    product_id: int
    fetched_at: datetime
    documents: list[dict[str, Any]]


class Outbox:
    """Brings pending changes out.

    Args:
        database: Holds the products and their changes.
        listeners: Are told of each change at least once.
    """

    def __init__(self, database: Database, listeners: Sequence[ChangeListener] = ()) -> None:
        self._products = database[PRODUCTS]
        # Losing this write costs only another attempt to bring the same changes out.
        self._cleared = database.get_collection(PRODUCTS, write_concern=WriteConcern(1))
        self._changes = database[PRODUCT_CHANGES]
        self._listeners = listeners

    async def publish(self, pending: Sequence[Pending]) -> None:
        """Bring the pending changes of these products out, then take them off the products."""
        documents = [document for product in pending for document in product.documents]
        if not documents:
            return
        await self._insert(documents)
        if self._listeners:
            changes = [Change.from_document(document) for document in documents]
            for listener in self._listeners:
                await listener.deliver(changes)
        # A product that was written again meanwhile has taken its pending changes along.
        await self._cleared.bulk_write(
            [
                UpdateOne(
                    {"_id": product.product_id, "fetched_at": product.fetched_at},
                    {"$unset": {PENDING: ""}},
                )
                for product in pending
            ],
            ordered=False,
        )

    async def recover(self) -> int:
        """Bring out what earlier crawls could not; return for how many products."""
        recovered = 0
        while pending := await self._find_pending():
            await self.publish(pending)
            recovered += len(pending)
        return recovered

    async def _find_pending(self) -> list[Pending]:
        found = self._products.find(
            {f"{PENDING}._id": {"$exists": True}}, {"fetched_at": 1, PENDING: 1}
        )
        products = await found.limit(_RECOVERED_AT_ONCE).to_list()
        return [Pending(each["_id"], each["fetched_at"], each[PENDING]) for each in products]

    async def _insert(self, documents: list[dict[str, Any]]) -> None:
        try:
            await self._changes.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if not only_duplicates(error):
                raise
