"""Changes that wait for the webhook, in MongoDB: they outlive the crawl that found them."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from pymongo.errors import DuplicateKeyError

from ali1688_spider.storage.database import SECONDS_PER_DAY, ensure_expiry, insert_new

if TYPE_CHECKING:
    from ali1688_spider.storage.changes import Change
    from ali1688_spider.storage.database import Database

Documents: TypeAlias = Sequence[Mapping[str, Any]]

WEBHOOK_OUTBOX = "webhook_outbox"
LARGEST_DELIVERY = 100
LEASE_SECONDS = 60.0
KEPT_DAYS = 7
"""How long a delivered change is remembered, so that it is ignored when a crash repeats it."""


class WebhookOutbox:
    """The changes in ``webhook_outbox``, with ``state`` ``waiting`` or ``delivered``.

    Of several workers one sends, the holder of the lease: the document ``sender``, which has no
    ``state``. It runs out, so that after a crash another goes on. A holder that does not notice
    only repeats changes: with a change goes all that waits and is older of its product, so that
    nothing is overtaken.
    """

    def __init__(self, database: Database) -> None:
        self._collection = database[WEBHOOK_OUTBOX]
        self._name = uuid.uuid4().hex
        self._has_indexes = False

    async def ensure_indexes(self) -> None:
        """Create the indexes that are missing; this is done once."""
        if not self._has_indexes:
            await self._collection.create_index(["state", "change.at", "due_at"])
            await self._collection.create_index(["change.product_id", "state"])
            await ensure_expiry(self._collection, "delivered_at", KEPT_DAYS * SECONDS_PER_DAY)
            self._has_indexes = True

    async def add(self, changes: Sequence[Change]) -> None:
        """Let *changes* wait, except those that wait or were delivered already.

        Raises:
            PyMongoError: They cannot.
        """
        waiting = {"state": "waiting", "attempts": 0, "due_at": datetime.now(UTC)}
        documents = [{"_id": each.id, "change": each.document(), **waiting} for each in changes]
        await insert_new(self._collection, documents)

    async def lease(self) -> bool:
        """Take or renew the lease; return False when another has it."""
        now = datetime.now(UTC)
        free = {"_id": "sender", "$or": [{"sender": self._name}, {"until": {"$lte": now}}]}
        lease = {"sender": self._name, "until": now + timedelta(seconds=LEASE_SECONDS)}
        try:
            await self._collection.update_one(free, {"$set": lease}, upsert=True)
        except DuplicateKeyError:
            return False
        return True

    async def release(self) -> None:
        """Give back the lease, if it is held."""
        await self._collection.delete_one({"_id": "sender", "sender": self._name})

    async def oldest_due(self) -> Documents:
        """Return what is to be sent next, the oldest first; nothing when nothing is due.

        They are fewer each time that one was sent in vain: what is always refused ends up alone.
        """
        due = {"state": "waiting", "due_at": {"$lte": datetime.now(UTC)}}
        held_up: list[int] = []  # products of which something else is postponed, or has just come
        while True:
            others = {**due, "change.product_id": {"$nin": held_up}}
            oldest = self._collection.find(others).sort("change.at").limit(LARGEST_DELIVERY)
            if not (found := await oldest.to_list()):
                return []
            older = {
                "_id": {"$nin": [each["_id"] for each in found]},
                "state": "waiting",
                "change.product_id": {"$in": [each["change"]["product_id"] for each in found]},
                "change.at": {"$lt": found[-1]["change"]["at"]},
            }
            if not (products := await self._collection.distinct("change.product_id", older)):
                attempts = max(each["attempts"] for each in found)
                return found[: max(1, LARGEST_DELIVERY >> attempts)]
            held_up += products

    async def due_in(self) -> float:
        """Return in how many seconds more is due; infinity when nothing is postponed."""
        now = datetime.now(UTC)
        postponed = {"state": "waiting", "due_at": {"$gt": now}}
        first = await self._collection.find_one(postponed, sort=["due_at"])
        return (first["due_at"] - now).total_seconds() if first else math.inf

    async def settle(self, documents: Documents) -> None:
        """Note that *documents* have arrived."""
        arrived = {"state": "delivered", "delivered_at": datetime.now(UTC)}
        await self._update(documents, {"$set": arrived, "$unset": {"due_at": ""}})

    async def postpone(self, documents: Documents, seconds: float) -> None:
        """Note that *documents* did not arrive, and let them be due again in *seconds*."""
        due_at = datetime.now(UTC) + timedelta(seconds=seconds)
        await self._update(documents, {"$set": {"due_at": due_at}, "$inc": {"attempts": 1}})

    async def _update(self, documents: Documents, update: Mapping[str, Any]) -> None:
        ids = [each["_id"] for each in documents]
        await self._collection.update_many({"_id": {"$in": ids}, "state": "waiting"}, update)
