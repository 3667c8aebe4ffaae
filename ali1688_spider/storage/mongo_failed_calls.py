"""Failed calls in MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import ASCENDING, ReplaceOne

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
        """Return when all of them are stored."""
        writes = [
            ReplaceOne(
                {"_id": call.id}, {"params": dict(call.params), **call.values()}, upsert=True
            )
            for call in failed
        ]
        if writes:
            await self._patience.repeat(lambda: self._collection.bulk_write(writes, ordered=False))

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
