"""Changes that wait for the webhook, in MongoDB: they outlive the crawl that found them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pymongo import ASCENDING, IndexModel, UpdateOne

from ali1688_spider.storage.changes import Change
from ali1688_spider.storage.database import SECONDS_PER_DAY, ensure_expiry, insert_new

if TYPE_CHECKING:
    from ali1688_spider.storage.database import Database

WEBHOOK_OUTBOX = "webhook_outbox"

LARGEST_DELIVERY = 100
CLAIM_SECONDS = 60.0
KEPT_DAYS = 7
"""How long a delivered change is remembered, so that it is ignored when a crash repeats it."""


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
    goes to another. Of each product only the oldest changes are ever claimed: what is newer waits
    until they are delivered.

    Args:
        database: Holds them.
        claim_seconds: How long a claim lasts.
    """

    def __init__(self, database: Database, *, claim_seconds: float = CLAIM_SECONDS) -> None:
        self._collection = database[WEBHOOK_OUTBOX]
        self._claim = timedelta(seconds=claim_seconds)

    async def ensure_indexes(self) -> None:
        """Create the indexes that are missing."""
        await self._collection.create_indexes(
            [
                IndexModel(["state", "due_at"]),
                IndexModel(["state", "change.at", "due_at"]),
                IndexModel(["change.product_id", "state"]),
                IndexModel("delivery", sparse=True),
            ]
        )
        await ensure_expiry(self._collection, "delivered_at", KEPT_DAYS * SECONDS_PER_DAY)

    async def add(self, changes: Sequence[Change]) -> None:
        """Let *changes* wait, except those that wait or were delivered already.

        Raises:
            PyMongoError: They cannot.
        """
        now = datetime.now(UTC)
        waiting = {"state": "waiting", "attempts": 0, "due_at": now}
        documents = [{"_id": each.id, "change": each.document(), **waiting} for each in changes]
        await insert_new(self._collection, documents)

    async def claim(self) -> Delivery | None:
        """Claim the oldest changes that are due; return None when none is."""
        while ids := await self._oldest_due():
            name = uuid.uuid4().hex
            documents = await self._take(ids, name)
            held_back = await self._hold_back(documents, name)
            taken = [document for document in documents if document["_id"] not in held_back]
            if taken:
                changes = [Change.from_document(document["change"]) for document in taken]
                attempts = max(document["attempts"] for document in taken)
                return Delivery(name, sorted(changes, key=lambda change: change.at), attempts)
        return None

    async def next_due(self) -> datetime | None:
        """Return when the next change is due (UTC); None when none waits."""
        waiting = {"state": "waiting"}
        first = await self._collection.find_one(
            waiting, {"due_at": 1}, sort=[("due_at", ASCENDING)]
        )
        return None if first is None else first["due_at"]

    async def _oldest_due(self) -> list[str]:
        due = {"state": "waiting", "due_at": {"$lte": datetime.now(UTC)}}
        found = self._collection.find(due, {"_id": 1}).sort("change.at").limit(LARGEST_DELIVERY)
        return [document["_id"] for document in await found.to_list()]

    async def _take(self, ids: Sequence[str], name: str) -> list[dict[str, Any]]:
        """Claim those that no other worker has claimed meanwhile; return them."""
        now = datetime.now(UTC)
        due = {"_id": {"$in": ids}, "state": "waiting", "due_at": {"$lte": now}}
        claim = {"delivery": name, "due_at": now + self._claim}
        await self._collection.update_many(due, {"$set": claim})
        return await self._collection.find({"delivery": name}).to_list()

    async def _hold_back(self, documents: Sequence[Mapping[str, Any]], name: str) -> set[str]:
        """Give back what would overtake an older change of its product; return its ids.

        It is due again when the older one is, or as soon as that is delivered.
        """
        held_back = await self._overtaking(documents, name)
        if held_back:
            releases = [
                UpdateOne({"_id": id_, "delivery": name}, _release(due_at))
                for id_, due_at in held_back.items()
            ]
            await self._collection.bulk_write(releases, ordered=False)
            # What was older may have been delivered meanwhile, and has not made these due.
            still = await self._overtaking(documents, name)
            await self._make_due({"_id": {"$in": list(held_back.keys() - still.keys())}})
        return set(held_back)

    async def _overtaking(
        self, documents: Sequence[Mapping[str, Any]], name: str
    ) -> dict[str, datetime]:
        """Return which of them are newer than one that waits elsewhere, and when that is due."""
        changes = {document["_id"]: document["change"] for document in documents}
        elsewhere = {
            "change.product_id": {"$in": [change["product_id"] for change in changes.values()]},
            "state": "waiting",
            "delivery": {"$ne": name},
        }
        oldest = {
            "_id": "$change.product_id",
            "at": {"$first": "$change.at"},
            "due_at": {"$first": "$due_at"},
        }
        found = await self._collection.aggregate(
            [{"$match": elsewhere}, {"$sort": {"change.at": ASCENDING}}, {"$group": oldest}]
        )
        waiting = {each["_id"]: each for each in await found.to_list()}
        return {
            id_: older["due_at"]
            for id_, change in changes.items()
            if (older := waiting.get(change["product_id"])) and older["at"] < change["at"]
        }

    async def _make_due(self, which: Mapping[str, Any]) -> None:
        unclaimed = {"state": "waiting", "delivery": {"$exists": False}}
        await self._collection.update_many(
            {**which, **unclaimed}, {"$set": {"due_at": datetime.now(UTC)}}
        )

    async def settle(self, delivery: Delivery) -> None:
        """Note that *delivery* has arrived; newer changes of its products are due."""
        now = datetime.now(UTC)
        arrived = {"state": "delivered", "delivered_at": now}
        await self._collection.update_many(
            {"delivery": delivery.id}, {"$set": arrived, "$unset": {"delivery": "", "due_at": ""}}
        )
        products = {change.product_id for change in delivery.changes}
        await self._make_due({"change.product_id": {"$in": list(products)}})

    async def postpone(self, delivery: Delivery, seconds: float) -> None:
        """Let the changes of *delivery* be due again in *seconds*."""
        due_at = datetime.now(UTC) + timedelta(seconds=seconds)
        await self._collection.update_many(
            {"delivery": delivery.id}, {**_release(due_at), "$inc": {"attempts": 1}}
        )


def _release(due_at: datetime) -> dict[str, Any]:
    """Return the update that ends a claim."""
    return {"$set": {"due_at": due_at}, "$unset": {"delivery": ""}}
