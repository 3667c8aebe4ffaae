"""Failed calls in MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo import ASCENDING
from pymongo.errors import BulkWriteError

from ali1688_spider.storage.errors import only_duplicates
from ali1688_spider.storage.failed_call import FailedCall
from ali1688_spider.storage.indexes import FAILED_CALLS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from ali1688_spider.storage.connection import Database
    from ali1688_spider.storage.patience import Patience


class MongoFailedCallStore:
    """Keeps failed calls in ``failed_calls``.

    Args:
        database: Holds them; closed with the store.
        patience: Waits for the database when it is away.
    """

    def __init__(self, database: Database, patience: Patience) -> None:
        self._database = database
        self._collection = database[FAILED_CALLS]
        self._patience = patience

    async def keep(self, failed: FailedCall) -> None:
        """Return when *failed* is stored."""
        await self.keep_all([failed])

    async def keep_all(self, failed: Sequence[FailedCall]) -> None:
        """Return when all of them are stored; one that is there already is the same."""
        documents = [
            {"_id": call.id, "params": dict(call.params), **call.values()} for call in failed
        ]
        if documents:
            await self._patience.repeat(lambda: self._insert(documents))

    async def list(self) -> AsyncIterator[FailedCall]:
        """Iterate over what is kept, the oldest first."""
        async for document in self._collection.find(sort=[("at", ASCENDING)]):
            del document["_id"]
            yield FailedCall(**document)

    async def remove(self, failed: Iterable[FailedCall]) -> None:
        """Forget these."""
        await self._collection.delete_many({"_id": {"$in": [call.id for call in failed]}})

    async def close(self) -> None:
        """Close the connections."""
        await self._database.client.close()

    async def _insert(self, documents: Sequence[dict[str, Any]]) -> None:
        try:
            await self._collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if not only_duplicates(error):
                raise
