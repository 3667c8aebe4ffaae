"""Answers that failed validation, in MongoDB."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import bson
from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from ali1688_spider.pipelines.documents import CODEC_OPTIONS
from ali1688_spider.storage.indexes import REJECTED_ITEMS

if TYPE_CHECKING:
    from ali1688_spider.pipelines.rejections import Rejection
    from ali1688_spider.storage.connection import Database
    from ali1688_spider.storage.patience import Patience


class MongoRejectionStore:
    """Keeps rejections in ``rejected_items``; the same one kept twice is there once.

    Args:
        database: Holds them.
        patience: Waits for the database when it is away.
    """

    def __init__(self, database: Database, patience: Patience) -> None:
        self._client = database.client
        self._collection = database.get_collection(REJECTED_ITEMS, codec_options=CODEC_OPTIONS)
        self._patience = patience

    async def keep(self, rejection: Rejection) -> None:
        """Return when *rejection* is stored.

        Raises:
            StoreUnavailableError: The crawl is closing, and the database stayed away.
        """
        document = asdict(rejection)
        content = bson.encode(document, codec_options=CODEC_OPTIONS)
        document["_id"] = ObjectId(hashlib.blake2b(content, digest_size=12).digest())
        await self._patience.repeat(lambda: self._insert(document))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _insert(self, document: dict[str, Any]) -> None:
        try:
            await self._collection.insert_one(document)
        except DuplicateKeyError:
            return
