"""Changes that wait for the webhook, in MongoDB: they outlive the crawl that found them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pymongo import ASCENDING
from pymongo.errors import BulkWriteError

from ali1688_spider.storage.change import Change
from ali1688_spider.storage.errors import only_duplicates
from ali1688_spider.storage.indexes import SECONDS_PER_DAY, ensure_expiry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ali1688_spider.storage.connection import Database

WEBHOOK_OUTBOX = "webhook_outbox"

LARGEST_DELIVERY = 100
CLAIM_SECONDS = 60.0
KEPT_DAYS = 7
"""How long a delivered change is remembered, so that it is none when a crash brings it again."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Changes that one worker has claimed, to be sent together.

    Attributes:
        id: Names the delivery.
        changes: What is to be sent, the oldest first.
        attempts: How often the most unlucky of the changes was sent in vain.
    """

    id: str
    changes: list[Change]
    attempts: int


class WebhookOutbox:
    """The changes in ``webhook_outbox``, with ``state`` ``waiting`` or ``delivered``.

    Several workers may send from it. A claim runs out, so that what a crashed worker had claimed
    goes to another.

    Args:
        database: Holds them.
        claim_seconds: How long a claim lasts.
    """

    def __init__(self, database: Database, *, claim_seconds: float = CLAIM_SECONDS) -> None:
        self._collection = database[WEBHOOK_OUTBOX]
        self._claim = timedelta(seconds=claim_seconds)

    async def ensure_indexes(self) -> None:
        """Create the indexes that are missing."""
        await self._collection.create_index([("state", ASCENDING), ("due_at", ASCENDING)])
        await self._collection.create_index("delivery", sparse=True)
        await ensure_expiry(self._collection, "delivered_at", KEPT_DAYS * SECONDS_PER_DAY)

    async def add(self, changes: Sequence[Change]) -> None:
        """Let *changes* wait, save those that wait or were delivered already."""
        now = datetime.now(UTC)
        documents = [
            {
                "_id": change.id,
                "change": change.document(),
                "state": "waiting",
                "attempts": 0,
                "due_at": now,
            }
            for change in changes
        ]
        try:
            await self._collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if not only_duplicates(error):
                raise

    async def claim(self) -> Delivery | None:
        """Claim the changes that are due first; return None when none is."""
        now = datetime.now(UTC)
        due = {"state": "waiting", "due_at": {"$lte": now}}
        found = self._collection.find(due, {"_id": 1}).sort("due_at").limit(LARGEST_DELIVERY)
        ids = [document["_id"] for document in await found.to_list()]
        if not ids:
            return None
        name = uuid.uuid4().hex
        claim = {"delivery": name, "due_at": now + self._claim}
        await self._collection.update_many({"_id": {"$in": ids}, **due}, {"$set": claim})
        documents = await self._collection.find({"delivery": name}).to_list()
        if not documents:  # another worker was quicker
            return await self.claim()
        changes = [Change.from_document(document["change"]) for document in documents]
        attempts = max(document["attempts"] for document in documents)
        return Delivery(name, sorted(changes, key=lambda change: change.at), attempts)

    async def settle(self, delivery: Delivery) -> None:
        """Note that *delivery* has arrived."""
        arrived = {"state": "delivered", "delivered_at": datetime.now(UTC)}
        await self._collection.update_many(
            {"delivery": delivery.id}, {"$set": arrived, "$unset": {"delivery": "", "due_at": ""}}
        )

    async def postpone(self, delivery: Delivery, seconds: float) -> None:
        """Let the changes of *delivery* be due again in *seconds*."""
        due_at = datetime.now(UTC) + timedelta(seconds=seconds)
        await self._collection.update_many(
            {"delivery": delivery.id},
            {"$set": {"due_at": due_at}, "$unset": {"delivery": ""}, "$inc": {"attempts": 1}},
        )
