"""Stores observations of products and records what changed.

A product is written by an operation that applies only if the product is still as it was read, so
that of several workers each has either written or knows that it has not. The result of an
unordered bulk write does not say which of its updates applied; when one did not, the products are
read again, which shows it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import InsertOne, UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError, InvalidOperation, PyMongoError

from ali1688_spider.storage.changes import COMPARED, differences
from ali1688_spider.storage.database import CODEC_OPTIONS, PENDING, PRODUCTS
from ali1688_spider.storage.database_errors import (
    DOCUMENT_CODES,
    DocumentRefusedError,
    is_there_already,
)
from ali1688_spider.storage.observation import join_documents
from ali1688_spider.storage.outbox import Pending

if TYPE_CHECKING:
    from ali1688_spider.retrying import ServerRetry
    from ali1688_spider.storage.database import Collection, Database
    from ali1688_spider.storage.observation import Observation
    from ali1688_spider.storage.outbox import Outbox

Outcome: TypeAlias = Literal["new", "changed", "unchanged", "outdated"]

DIGEST = "answer_digest"

_READ = dict.fromkeys(("fetched_at", "first_seen_at", "changed_at", DIGEST, PENDING, *COMPARED), 1)
"""What has to be read of a stored product to write a newer response, as a projection."""
_LONGEST_PAUSE = 1.0


class Stored(NamedTuple):
    """What storing an observation led to.

    Attributes:
        outcome: ``outdated`` when what is stored is newer.
        first_seen_at: When the product was first stored (UTC).
        changed_at: When a change of it was last seen, that of this observation included.
    """

    outcome: Outcome
    first_seen_at: datetime | None
    changed_at: datetime | None


@dataclass(slots=True, eq=False)
class _Write:
    """An observation on its way into the database.

    Attributes:
        observation: What is to be stored.
        stored: The result once *operation* has applied; each round reads and decides again.
        operation: Does nothing if the product is no longer as it was read; None: nothing to write.
        pending: The changes to be recorded then.
        only_seen: It notes when the unchanged product was last seen, and nothing else.
        result: The final result; None until then.
    """

    observation: Observation
    stored: Stored | None = None
    operation: InsertOne[RawBSONDocument] | UpdateOne | None = None
    pending: Pending | None = None
    only_seen: bool = False
    result: Stored | DocumentRefusedError | None = None


class ProductStore:
    """The products of one database; storing waits until *outbox* has recorded their changes."""

    def __init__(self, database: Database, outbox: Outbox, retry: ServerRetry) -> None:
        self._products = database[PRODUCTS]
        # Without waiting for the journal: a server that crashes then may forget when an unchanged
        # product was last seen, and nothing else.
        self._seen = database.get_collection(PRODUCTS, write_concern=WriteConcern("majority"))
        self._outbox = outbox
        self._retry = retry

    async def store(
        self, observations: Sequence[Observation]
    ) -> list[Stored | DocumentRefusedError]:
        """Store all of *observations*; return what each led to: one may be refused alone.

        Raises:
            StoreUnavailableError: The crawl is closing, and the database stayed away.
        """
        writes = [_Write(observation) for observation in observations]
        await self._store(writes)
        return [write.result for write in writes if write.result]  # all have one

    async def _store(self, writes: Sequence[_Write]) -> None:
        try:
            await self._retry.run(lambda: self._rounds(writes))
        except (PyMongoError, BSONError) as error:
            if isinstance(error, InvalidOperation):  # a closed client: no document is to blame
                raise
            unsettled = _unsettled(writes)
            if len(unsettled) == 1:
                unsettled[0].result = DocumentRefusedError(f"MongoDB refuses it: {error}")
                return
            for write in unsettled:
                await self._store([write])

    async def _rounds(self, writes: Sequence[_Write]) -> None:
        fruitless = 0
        while unsettled := _unsettled(writes):
            if fruitless:
                pause = min(_LONGEST_PAUSE, 0.005 * 2 ** min(fruitless, 16))
                await asyncio.sleep(random.uniform(0, pause))
            await self._round(_oldest_of_each_product(unsettled))
            fruitless = 0 if len(_unsettled(writes)) < len(unsettled) else fruitless + 1

    async def _round(self, writes: Sequence[_Write]) -> None:
        """Read the products, write what is newer, and record the changes."""
        products = await self._read([write.observation.product_id for write in writes])
        for write in writes:
            _decide(write, products.get(write.observation.product_id))
        done = [write for write in _unsettled(writes) if write.operation is None]
        outages = []
        for collection, only_seen in ((self._products, False), (self._seen, True)):
            part = [each for each in writes if each.operation and each.only_seen is only_seen]
            applied, outage = await _bulk_write(collection, part)
            done += applied
            outages += [outage] if outage else []
        await self._outbox.record([write.pending for write in done if write.pending])
        for write in done:
            write.result = write.stored
        if outages:
            raise outages[0]

    async def _read(self, product_ids: list[int]) -> dict[int, Mapping[str, Any]]:
        whole = len(product_ids) + 1  # more than there can be, so that one response holds all
        found = self._products.find({"_id": {"$in": product_ids}}, _READ, batch_size=whole)
        return {document["_id"]: document for document in await found.to_list()}


def _unsettled(writes: Iterable[_Write]) -> list[_Write]:
    return [write for write in writes if write.result is None]


def _oldest_of_each_product(writes: Iterable[_Write]) -> list[_Write]:
    oldest: dict[int, _Write] = {}
    for write in sorted(writes, key=lambda each: each.observation.fetched_at):
        oldest.setdefault(write.observation.product_id, write)
    return list(oldest.values())


def _decide(write: _Write, product: Mapping[str, Any] | None) -> None:
    """Decide what this round does, given the stored product."""
    write.operation = write.pending = None
    try:
        if product is None:
            _insert(write)
        else:
            _update(write, product)
    # Other programs may have left a product in any shape, and it must not take the batch along.
    except Exception as error:  # noqa: BLE001
        reason = f"the stored product cannot be compared with it: {error!r}"
        write.result = DocumentRefusedError(reason)


def _insert(write: _Write) -> None:
    observation, at = write.observation, write.observation.fetched_at
    times = {"fetched_at": at, "first_seen_at": at, "changed_at": at}
    document = join_documents(
        bson.encode({"_id": observation.product_id}),
        observation.set_fields,
        bson.encode({**observation.unset_fields, **times, DIGEST: observation.digest}),
    )
    write.stored, write.only_seen = Stored("new", at, at), False
    write.operation = InsertOne(document)


def _update(write: _Write, product: Mapping[str, Any]) -> None:
    observation, attempted = write.observation, write.stored
    product_id, at = observation.product_id, observation.fetched_at
    stored_at, is_same = product.get("fetched_at"), product.get(DIGEST) == observation.digest
    stored = Stored("unchanged", product.get("first_seen_at"), product.get("changed_at"))
    pending: list[dict[str, Any]] = product.get(PENDING, [])
    values: Mapping[str, Any] = {"fetched_at": at}
    if stored_at is not None and stored_at >= at:
        is_stored = is_same and stored_at == at  # perhaps by an earlier round
        write.stored = attempted or stored if is_stored else stored._replace(outcome="outdated")
        write.pending = Pending(product_id, stored_at, pending)
        return
    if not is_same:
        own: dict[str, Any] = {"fetched_at": at, DIGEST: observation.digest}
        record = bson.decode(observation.set_fields)
        if changes := differences(product_id, product, record, at):
            pending = [*pending, *(change.document() for change in changes)]
            own |= {"changed_at": at, PENDING: pending}
            stored = stored._replace(outcome="changed", changed_at=at)
        encoded = bson.encode(own, codec_options=CODEC_OPTIONS)
        values = join_documents(observation.set_fields, encoded)
    write.stored, write.only_seen = stored, is_same
    write.pending = Pending(product_id, at, pending)
    write.operation = UpdateOne({"_id": product_id, "fetched_at": stored_at}, {"$set": values})


async def _bulk_write(
    products: Collection, writes: Sequence[_Write]
) -> tuple[list[_Write], BulkWriteError | None]:
    """Write; return those that are known to have applied, and why others have to wait."""
    if not writes:
        return [], None
    # The driver's types know no raw documents beside dicts.
    operations: list[Any] = [write.operation for write in writes]
    failures: dict[int, Mapping[str, Any]] = {}
    outage = None
    try:
        matched = (await products.bulk_write(operations, ordered=False)).matched_count
    except BulkWriteError as error:
        if error.details.get("writeConcernErrors"):  # what applied is not safe yet
            raise
        failures = {failure["index"]: failure for failure in error.details["writeErrors"]}
        matched = error.details["nMatched"]
        outage = error if _refuse_or_wait(writes, failures) else None
    tried = [write for index, write in enumerate(writes) if index not in failures]
    inserted = [write for write in tried if isinstance(write.operation, InsertOne)]
    return tried if matched == len(tried) - len(inserted) else inserted, outage


def _refuse_or_wait(writes: Sequence[_Write], failures: Mapping[int, Mapping[str, Any]]) -> bool:
    """Refuse the documents whose own the failure is; return whether others have to wait."""
    for index, failure in failures.items():
        # Of a product that is there already, another worker has inserted it meanwhile.
        if failure["code"] in DOCUMENT_CODES and not is_there_already(failure):
            reason = f"MongoDB refuses it: {failure.get('errmsg')}"
            writes[index].result = DocumentRefusedError(reason)
    return any(failure["code"] not in DOCUMENT_CODES for failure in failures.values())
