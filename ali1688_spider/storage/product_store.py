"""Stores observations of products and records what changed.

A product is written by an operation that applies only if the product is still as it was read, so
that of several workers each has either written or knows that it has not. The result of an
unordered bulk write does not say which of its updates applied; when one did not, the products are
read again, which shows it.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from bson.errors import BSONError
from pymongo import InsertOne, WriteConcern
from pymongo.errors import BulkWriteError, PyMongoError

from ali1688_spider.storage.errors import (
    DocumentRefusedError,
    is_document_code,
    is_outage,
    is_there_already,
)
from ali1688_spider.storage.outbox import PRODUCTS, Outbox
from ali1688_spider.storage.write import READ, Step, Write, next_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ali1688_spider.storage.connection import Collection, Database

_LONGEST_PAUSE = 1.0


class ProductStore:
    """The products of one database.

    Args:
        database: Holds them.
        outbox: Records the changes and brings them out; storing does not wait for the latter.
    """

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._products = database[PRODUCTS]
        # Without waiting for the journal: a server that crashes then may forget when an unchanged
        # product was last seen, and nothing else.
        self._seen = database.get_collection(PRODUCTS, write_concern=WriteConcern("majority"))
        self._outbox = outbox

    async def store(self, writes: Sequence[Write]) -> None:
        """Settle all of *writes*: each is stored, outdated, or refused alone.

        After an error the same writes may be given again.

        Raises:
            PyMongoError: The database is away; see :func:`~.errors.is_outage`.
        """
        try:
            await self._store(writes)
        except (PyMongoError, BSONError) as error:
            unsettled = [write for write in writes if not write.settled]
            if is_outage(error) or not unsettled:
                raise
            if len(unsettled) == 1:
                unsettled[0].refuse(DocumentRefusedError(f"MongoDB refuses it: {error}"))
            else:
                for write in unsettled:
                    await self.store([write])

    async def _store(self, writes: Sequence[Write]) -> None:
        fruitless = 0
        while unsettled := [write for write in writes if not write.settled]:
            if fruitless:
                pause = min(_LONGEST_PAUSE, 0.005 * 2 ** min(fruitless, 16))
                await asyncio.sleep(random.uniform(0, pause))
            round_ = _oldest_of_each_product(unsettled)
            await self._round(round_)
            fruitless = 0 if any(write.settled for write in round_) else fruitless + 1

    async def _round(self, writes: Sequence[Write]) -> None:
        """Read the products, write what is newer, and bring the changes out."""
        stored = await self._read([write.observation.product_id for write in writes])
        steps = list(_next_steps(writes, stored))
        done = [step for step in steps if step.operation is None]
        to_write = [step for step in steps if step.operation is not None]
        applied, outage = await _write(
            self._products, [step for step in to_write if not step.only_seen]
        )
        seen, outage_of_seen = await _write(
            self._seen, [step for step in to_write if step.only_seen]
        )
        done += applied + seen
        await self._outbox.publish([step.pending for step in done if step.pending.documents])
        for step in done:
            step.write.settled = True
        if waiting := outage or outage_of_seen:
            raise waiting

    async def _read(self, product_ids: list[int]) -> dict[int, Mapping[str, Any]]:
        whole = len(product_ids) + 1  # more than there can be, so that one answer holds all
        found = self._products.find({"_id": {"$in": product_ids}}, READ, batch_size=whole)
        return {document["_id"]: document for document in await found.to_list()}


async def _write(
    products: Collection, steps: list[Step]
) -> tuple[list[Step], BulkWriteError | None]:
    """Write; return the steps that are known to have applied, and why others have to wait."""
    if not steps:
        return [], None
    # The driver's types know no raw documents beside dicts.
    operations: list[Any] = [step.operation for step in steps if step.operation is not None]
    try:
        result = await products.bulk_write(operations, ordered=False)
    except BulkWriteError as error:
        if error.details.get("writeConcernErrors"):  # what applied is not safe yet
            raise
        failures = {failure["index"]: failure for failure in error.details["writeErrors"]}
        applied = _applied(steps, error.details["nMatched"], failures)
        waiting = _refuse_or_wait(steps, failures)
        return applied, error if waiting else None
    return _applied(steps, result.matched_count, {}), None


def _applied(steps: list[Step], matched: int, failures: Mapping[int, Any]) -> list[Step]:
    tried = [step for index, step in enumerate(steps) if index not in failures]
    inserted = [step for step in tried if isinstance(step.operation, InsertOne)]
    return tried if matched == len(tried) - len(inserted) else inserted


def _refuse_or_wait(steps: list[Step], failures: Mapping[int, Mapping[str, Any]]) -> bool:
    """Refuse the documents whose own the failure is; return whether others have to wait."""
    waiting = False
    for index, failure in failures.items():
        if is_there_already(failure):  # another worker has inserted the product meanwhile
            continue
        if is_document_code(failure["code"]):
            reason = f"MongoDB refuses it: {failure.get('errmsg')}"
            steps[index].write.refuse(DocumentRefusedError(reason))
        else:
            waiting = True
    return waiting


def _oldest_of_each_product(writes: Iterable[Write]) -> list[Write]:
    oldest: dict[int, Write] = {}
    for write in sorted(writes, key=lambda write: write.observation.fetched_at):
        oldest.setdefault(write.observation.product_id, write)
    return list(oldest.values())


def _next_steps(writes: Iterable[Write], stored: Mapping[int, Mapping[str, Any]]) -> Iterable[Step]:
    for write in writes:
        try:
            yield next_step(write, stored.get(write.observation.product_id))
        # Other programs may have left a product in any shape, and it must not take the batch along.
        except Exception as error:  # noqa: BLE001
            reason = f"the stored product cannot be compared with it: {error!r}"
            write.refuse(DocumentRefusedError(reason))
