"""Failed calls in MongoDB."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo import ASCENDING
from pymongo.errors import BulkWriteError

from ali1688_spider.storage.errors import only_duplicates
from ali1688_spider.storage.failed_call import FailedCall
from ali1688_spider.storage.indexes import FAILED_CALLS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ali1688_spider.storage.connection import Database
    from ali1688_spider.storage.patience import Patience

_PAGE = 1000
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


class MongoFailedCallStore:
    """Keeps failed calls in ``failed_calls``.

    Args:
        database: Holds them; closed with the store.
        patience: Waits for the database when it is away.
    """

    def __init__(self, database: Database, patience: Patience) -> None:
        self.unreadable = 0
        self._database = database
        self._collection = database[FAILED_CALLS]
        self._patience = patience

    async def keep(self, failed: FailedCall) -> None:
        """Return when *failed* is stored."""
        await self.keep_all([failed])

    async def keep_all(self, failed: Sequence[FailedCall]) -> None:
        """Return when all of *failed* are stored, by one bulk write."""
        if failed:
            await self._patience.repeat(lambda: self._insert(failed))

    async def list(self) -> AsyncIterator[FailedCall]:
        """Iterate over what is kept, the oldest first.

        A page is a query of its own, so that what is done with the calls may take hours: a cursor
        of the server's would have ended.
        """
        self.unreadable = 0
        last_at, passed = _BEGINNING, list[Any]()
        while page := await self._page(last_at, passed):
            for document in page:
                if document["at"] != last_at:
                    last_at, passed = document["at"], []
                passed.append(document.pop("_id"))
                try:
                    failed = FailedCall.from_values(document)
                except ValueError:
                    self.unreadable += 1
                else:
                    yield failed

    async def remove(self, failed: Sequence[FailedCall]) -> None:
        """Forget these."""
        ids = [call.id for call in failed]
        for start in range(0, len(ids), _PAGE):
            await self._collection.delete_many({"_id": {"$in": ids[start : start + _PAGE]}})

    async def close(self) -> None:
        """Close the connections."""
        await self._database.client.close()

    async def _page(self, last_at: datetime, passed: Sequence[Any]) -> Sequence[dict[str, Any]]:
        """Return the next ones after those that have *passed*, the last of them at *last_at*."""
        query = {"at": {"$gte": last_at}, "_id": {"$nin": passed}}
        found = self._collection.find(query, sort=[("at", ASCENDING)], limit=_PAGE)
        return await found.to_list()

    async def _insert(self, failed: Sequence[FailedCall]) -> None:
        documents = {call.id: {**call.values(), "params": dict(call.params)} for call in failed}
        try:
            await self._collection.insert_many(
                [{"_id": id_, **document} for id_, document in documents.items()], ordered=False
            )
        except BulkWriteError as error:
            if not only_duplicates(error):  # one that is there already is the same
                raise
