"""Stores observations of products and records what changed.

A product is written by an operation that applies only if the product is still as it was read, so
that of several workers each has either written or knows that it has not. The result of an
unordered bulk write does not say which of its updates applied; when one did not, the products are
read again, which shows it.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import bson
from bson.errors import BSONError
from pymongo import InsertOne, UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError, InvalidOperation, PyMongoError

from ali1688_spider.storage.changes import COMPARED, differences
from ali1688_spider.storage.database import CODEC_OPTIONS, PENDING, PRODUCTS
from ali1688_spider.storage.errors import (
    DocumentRefusedError,
    is_document_code,
    is_there_already,
)
from ali1688_spider.storage.observation import join_documents
from ali1688_spider.storage.outbox import Pending

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from bson.raw_bson import RawBSONDocument

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
        outcome: The product is new, changed, unchanged, or what is stored is newer (``outdated``).
        first_seen_at: When the product was first stored (UTC).
        changed_at: When a change of it was last seen, that of this observation included.
    """

    outcome: Outcome
    first_seen_at: datetime | None
    changed_at: datetime | None


class _Progress(NamedTuple):
    """What is known of the observations of one call of :meth:`ProductStore.store`.

    Attributes:
        attempted: The result of each if the operation that was last sent for it has applied.
        results: The final results.
    """

    attempted: dict[Observation, Stored]
    results: dict[Observation, Stored | DocumentRefusedError]

    def unsettled(self, observations: Sequence[Observation]) -> list[Observation]:
        return [each for each in observations if each not in self.results]


class _Step(NamedTuple):
    """What one round does for an observation.

    The operation does nothing if the product is no longer as it was read; once it has applied,
    *stored* is the result and the pending changes are to be recorded. With *only_seen* it notes
    when the unchanged product was last seen, and nothing else.
    """

    observation: Observation
    stored: Stored
    operation: InsertOne[RawBSONDocument] | UpdateOne | None
    pending: Pending | None = None
    only_seen: bool = False


class ProductStore:
    """The products of one database.

    Args:
        database: Holds them.
        outbox: Records the changes and publishes them; storing does not wait for the latter.
        retry: Repeats operations while the database is away.
    """

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
        progress = _Progress({}, {})
        await self._store(observations, progress)
        return [progress.results[observation] for observation in observations]

    async def _store(self, observations: Sequence[Observation], progress: _Progress) -> None:
        try:
            await self._retry.run(lambda: self._rounds(observations, progress))
        except InvalidOperation:  # such as a client that is closed: no document is to blame
            raise
        except (PyMongoError, BSONError) as error:
            unsettled = progress.unsettled(observations)
            if len(unsettled) == 1:
                refusal = DocumentRefusedError(f"MongoDB refuses it: {error}")
                progress.results[unsettled[0]] = refusal
            else:
                for observation in unsettled:
                    await self._store([observation], progress)

    async def _rounds(self, observations: Sequence[Observation], progress: _Progress) -> None:
        fruitless = 0
        while unsettled := progress.unsettled(observations):
            if fruitless:
                pause = min(_LONGEST_PAUSE, 0.005 * 2 ** min(fruitless, 16))
                await asyncio.sleep(random.uniform(0, pause))
            settled = len(progress.results)
            await self._round(_oldest_of_each_product(unsettled), progress)
            fruitless = 0 if len(progress.results) > settled else fruitless + 1

    async def _round(self, observations: Sequence[Observation], progress: _Progress) -> None:
        """Read the products, write what is newer, and record the changes."""
        products = await self._read([each.product_id for each in observations])
        steps = list(_next_steps(observations, products, progress))
        progress.attempted.update((step.observation, step.stored) for step in steps)
        done = [step for step in steps if step.operation is None]
        outages = []
        for collection, only_seen in ((self._products, False), (self._seen, True)):
            part = [step for step in steps if step.operation and step.only_seen is only_seen]
            applied, outage = await _write(collection, part, progress)
            done += applied
            outages += [outage] if outage else []
        await self._outbox.record([step.pending for step in done if step.pending])
        progress.results.update((step.observation, step.stored) for step in done)
        if outages:
            raise outages[0]

    async def _read(self, product_ids: list[int]) -> dict[int, Mapping[str, Any]]:
        whole = len(product_ids) + 1  # more than there can be, so that one response holds all
        found = self._products.find({"_id": {"$in": product_ids}}, _READ, batch_size=whole)
        return {document["_id"]: document for document in await found.to_list()}


def _oldest_of_each_product(observations: Iterable[Observation]) -> list[Observation]:
    oldest: dict[int, Observation] = {}
    for observation in sorted(observations, key=lambda each: each.fetched_at):
        oldest.setdefault(observation.product_id, observation)
    return list(oldest.values())


def _next_steps(
    observations: Iterable[Observation],
    products: Mapping[int, Mapping[str, Any]],
    progress: _Progress,
) -> Iterator[_Step]:
    for observation in observations:
        product = products.get(observation.product_id)
        try:
            if product is None:
                yield _insertion(observation)
            else:
                yield _next_step(observation, product, progress.attempted.get(observation))
        # Other programs may have left a product in any shape, and it must not take the batch along.
        except Exception as error:  # noqa: BLE001
            reason = f"the stored product cannot be compared with it: {error!r}"
            progress.results[observation] = DocumentRefusedError(reason)


def _insertion(observation: Observation) -> _Step:
    at = observation.fetched_at
    times = {"fetched_at": at, "first_seen_at": at, "changed_at": at}
    document = join_documents(
        bson.encode({"_id": observation.product_id}),
        observation.set_fields,
        bson.encode({**observation.unset_fields, **times, DIGEST: observation.digest}),
    )
    return _Step(observation, Stored("new", at, at), InsertOne(document))


def _next_step(
    observation: Observation, product: Mapping[str, Any], attempted: Stored | None
) -> _Step:
    """Return what to do, given the stored product and what an earlier round attempted."""
    at, stored_at = observation.fetched_at, product.get("fetched_at")
    stored = Stored("unchanged", product.get("first_seen_at"), product.get("changed_at"))
    pending: list[dict[str, Any]] = product.get(PENDING, [])
    is_same = product.get(DIGEST) == observation.digest
    values: Mapping[str, Any] = {"fetched_at": at}
    if stored_at is not None and stored_at >= at:
        is_stored = is_same and stored_at == at  # perhaps by an earlier round
        result = attempted or stored if is_stored else stored._replace(outcome="outdated")
        return _Step(observation, result, None, _pending(observation, stored_at, pending))
    if not is_same:
        own: dict[str, Any] = {"fetched_at": at, DIGEST: observation.digest}
        record = bson.decode(observation.set_fields)
        if changes := differences(observation.product_id, product, record, at):
            pending = [*pending, *(change.document() for change in changes)]
            own |= {"changed_at": at, PENDING: pending}
            stored = stored._replace(outcome="changed", changed_at=at)
        encoded = bson.encode(own, codec_options=CODEC_OPTIONS)
        values = join_documents(observation.set_fields, encoded)
    as_it_was_read = {"_id": observation.product_id, "fetched_at": stored_at}
    operation = UpdateOne(as_it_was_read, {"$set": values})
    return _Step(observation, stored, operation, _pending(observation, at, pending), is_same)


def _pending(
    observation: Observation, at: datetime, documents: list[dict[str, Any]]
) -> Pending | None:
    return Pending(observation.product_id, at, documents) if documents else None


async def _write(
    products: Collection, steps: Sequence[_Step], progress: _Progress
) -> tuple[list[_Step], BulkWriteError | None]:
    """Write; return the steps that are known to have applied, and why others have to wait."""
    if not steps:
        return [], None
    # The driver's types know no raw documents beside dicts.
    operations: list[Any] = [step.operation for step in steps]
    try:
        result = await products.bulk_write(operations, ordered=False)
    except BulkWriteError as error:
        if error.details.get("writeConcernErrors"):  # what applied is not safe yet
            raise
        failures = {failure["index"]: failure for failure in error.details["writeErrors"]}
        applied = _applied(steps, error.details["nMatched"], failures)
        waiting = _refuse_or_wait(steps, failures, progress)
        return applied, error if waiting else None
    return _applied(steps, result.matched_count, {}), None


def _applied(steps: Sequence[_Step], matched: int, failures: Mapping[int, Any]) -> list[_Step]:
    tried = [step for index, step in enumerate(steps) if index not in failures]
    inserted = [step for step in tried if isinstance(step.operation, InsertOne)]
    return tried if matched == len(tried) - len(inserted) else inserted


def _refuse_or_wait(
    steps: Sequence[_Step], failures: Mapping[int, Mapping[str, Any]], progress: _Progress
) -> bool:
    """Refuse the documents whose own the failure is; return whether others have to wait."""
    waiting = False
    for index, failure in failures.items():
        if is_there_already(failure):  # another worker has inserted the product meanwhile
            continue
        if is_document_code(failure["code"]):
            reason = f"MongoDB refuses it: {failure.get('errmsg')}"
            progress.results[steps[index].observation] = DocumentRefusedError(reason)
        else:
            waiting = True
    return waiting
