"""An observation on its way into the database, and the one operation that writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import bson
from pymongo import InsertOne, UpdateOne

from ali1688_spider.storage.changes import COMPARED, differences
from ali1688_spider.storage.observation import joined
from ali1688_spider.storage.outbox import PENDING, Pending

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bson.raw_bson import RawBSONDocument

    from ali1688_spider.storage.errors import DocumentRefusedError
    from ali1688_spider.storage.observation import Observation

Outcome: TypeAlias = Literal["new", "changed", "unchanged", "outdated"]

DIGEST = "answer_digest"
READ = dict.fromkeys(("fetched_at", "first_seen_at", "changed_at", DIGEST, PENDING, *COMPARED), 1)
"""What has to be read of a stored product to write a newer answer, as a projection."""


@dataclass(slots=True, eq=False)
class Write:
    """An observation that is to be stored.

    Attributes:
        observation: The observation.
        outcome: What comes of it if its operation applies: the product is new, changed, unchanged,
            or what is stored is newer (``outdated``). None before the stored product was read.
        first_seen_at: When the product was first stored (UTC).
        changed_at: When a change of it was last seen, that of this observation included.
        refusal: Why the database will never take it, if so.
        settled: Nothing is left to do.
    """

    observation: Observation
    outcome: Outcome | None = None
    first_seen_at: datetime | None = None
    changed_at: datetime | None = None
    refusal: DocumentRefusedError | None = None
    settled: bool = False

    def refuse(self, refusal: DocumentRefusedError) -> None:
        """Settle the write: the database will never take it."""
        self.refusal = refusal
        self.settled = True


class Step(NamedTuple):
    """What one round does for a write.

    Attributes:
        write: The write.
        operation: Writes it, or does nothing if the product is no longer as it was read; None when
            there is nothing to write.
        pending: The changes to be brought out once the operation has applied.
        only_seen: The operation notes when the unchanged product was last seen, and nothing else.
    """

    write: Write
    operation: InsertOne[RawBSONDocument] | UpdateOne | None
    pending: Pending
    only_seen: bool = False


def next_step(write: Write, stored: Mapping[str, Any] | None) -> Step:
    """Return what is to be done for *write*, given the stored product (:data:`READ` of it)."""
    if stored is None:
        return _insertion(write)
    write.first_seen_at, write.changed_at = stored.get("first_seen_at"), stored.get("changed_at")
    stored_at = stored.get("fetched_at")
    if stored_at is None or stored_at < write.observation.fetched_at:
        return _update(write, stored)
    same = (stored_at, stored.get(DIGEST)) == (
        write.observation.fetched_at,
        write.observation.digest,
    )
    if not same:
        write.outcome = "outdated"
    elif write.outcome is None:  # otherwise an earlier round has written it
        write.outcome = "unchanged"
    return Step(write, None, _pending(write, stored_at, stored.get(PENDING, [])))


def _insertion(write: Write) -> Step:
    observation = write.observation
    at = observation.fetched_at
    write.first_seen_at = write.changed_at = at
    times = {"fetched_at": at, "first_seen_at": at, "changed_at": at}
    document = joined(
        bson.encode({"_id": observation.product_id}),
        observation.told,
        bson.encode({**observation.untold, **times, DIGEST: observation.digest}),
    )
    write.outcome = "new"
    return Step(write, InsertOne(document), _pending(write, at, []))


def _update(write: Write, stored: Mapping[str, Any]) -> Step:
    observation = write.observation
    at = observation.fetched_at
    pending = stored.get(PENDING, [])
    values: Mapping[str, Any] = {"fetched_at": at}
    write.outcome = "unchanged"
    only_seen = stored.get(DIGEST) == observation.digest
    if not only_seen:
        own: dict[str, Any] = {"fetched_at": at, DIGEST: observation.digest}
        changes = differences(observation.product_id, stored, bson.decode(observation.told), at)
        if changes:
            pending = [*pending, *(change.document() for change in changes)]
            own |= {"changed_at": at, PENDING: pending}
            write.changed_at = at
            write.outcome = "changed"
        values = joined(observation.told, bson.encode(own))
    as_it_was_read = {"_id": observation.product_id, "fetched_at": stored.get("fetched_at")}
    operation = UpdateOne(as_it_was_read, {"$set": values})
    return Step(write, operation, _pending(write, at, pending), only_seen)


def _pending(write: Write, at: datetime, documents: list[dict[str, Any]]) -> Pending:
    return Pending(write.observation.product_id, at, documents)
