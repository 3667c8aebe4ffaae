"""Publishes changes from the product documents that they were found on.

A change is first written within its product, in ``pending_changes``, by the same atomic update
that writes the new values. From there it goes into ``product_changes``, then to the publishers,
and is taken off the product last. Any worker that finds changes pending publishes them; each step
may be repeated, so a crash between two of them neither loses a change nor doubles one.

Each publisher gets the pending changes of a product together, in order, so that no change of a
product overtakes an older one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pymongo import UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.items import CHANGE_FIELDS
from ali1688_spider.storage.changes import Change
from ali1688_spider.storage.database import PENDING, PRODUCT_CHANGES, PRODUCTS
from ali1688_spider.storage.database_errors import (
    StoreUnavailableError,
    classify,
    explain,
    is_there_already,
)

if TYPE_CHECKING:
    from ali1688_spider.items import ChangeField
    from ali1688_spider.retrying import ServerRetry
    from ali1688_spider.storage.database import Database

logger = logging.getLogger(__name__)

RECOVER_SECONDS = 60.0  # how often to look for pending changes that another worker has left
CLOSE_SECONDS = 10.0  # how long the end of a crawl goes on publishing
AT_ONCE = 200
MOST_BUFFERED = 5000  # products whose changes are in memory; those of others are read again
MOST_REFUSED = 1000


class ChangePublisher(Protocol):
    """Passes changes on to other programs; its name begins sentences of the log."""

    name: str

    async def publish(self, changes: Sequence[Change]) -> None:
        """Pass changes on, or raise an error: then they come again later.

        They may also come again after they were passed on, and are then to be ignored.
        """


@dataclass(frozen=True, slots=True)
class Pending:
    """The pending changes of one product, as it was stored at *fetched_at*.

    *documents* are the changes, as ``product_changes`` holds them.
    """

    product_id: int
    fetched_at: datetime
    documents: list[dict[str, Any]]


class Outbox:
    """Records changes in ``product_changes`` and publishes them, by a task of its own.

    What a publisher does not take stays pending on its product, and is tried again with a growing
    wait; other publishers get their changes meanwhile, and storing goes on. One log line says that
    a publisher takes no changes, and why; one that it takes them again.

    Args:
        database: Holds the products and their changes.
        retry: Repeats operations while the database is away.
        publishers: Get each change at least once.
        fields: Publish only changes of these fields.
        min_percent: Publish only changes that are as large, up or down, or have no percentage: a
            status, a name, a price that became private.
        backoff: How long to wait for a publisher that takes nothing.
        on_kept: Called with how many changes a publisher, or ``product_changes``, does not take.
    """

    def __init__(
        self,
        database: Database,
        retry: ServerRetry,
        publishers: Sequence[ChangePublisher] = (),
        *,
        fields: Collection[ChangeField] = CHANGE_FIELDS,
        min_percent: float = 0.0,
        backoff: Backoff | None = None,
        on_kept: Callable[[int], object] = lambda _number: None,
    ) -> None:
        self._products = database[PRODUCTS]
        # Losing this write costs only another attempt to publish the same changes.
        self._cleared = database.get_collection(PRODUCTS, write_concern=WriteConcern(1))
        self._changes = database[PRODUCT_CHANGES]
        self._retry = retry
        self._publishers = publishers
        self._fields = frozenset(fields)
        self._min_percent = min_percent
        self._backoff = backoff or Backoff(base=1.0, cap=60.0)
        self._on_kept = on_kept
        self._buffer: deque[Pending] = deque()
        self._shut: set[str] = set()
        self._logged: dict[str, int] = {}
        self._failures = 0
        self._recover_at = 0.0
        self._closing = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to publish changes, those that earlier crawls left first."""
        self._task = asyncio.create_task(self._run())

    async def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Publish what is pending, for some *seconds* at most; the rest stays on its products."""
        if self._task is None:
            return
        self._closing = True
        self._recover_at = 0.0
        self._wake.set()
        await end(self._task, seconds)

    async def record(self, pending: Sequence[Pending]) -> None:
        """Record the pending changes of these products, and let the task publish them."""
        recorded = await self._record([each for each in pending if each.documents])
        if not self._publishers:
            await self._clear(recorded)
        elif len(self._buffer) + len(recorded) <= MOST_BUFFERED:
            self._buffer.extend(recorded)
        elif not self._shut:
            self._recover_at = 0.0  # they are on their products
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                if self._buffer:
                    count = min(AT_ONCE, len(self._buffer))
                    await self._publish([self._buffer.popleft() for _ in range(count)])
                elif (left := self._recover_at - time.monotonic()) <= 0:
                    last = self._closing
                    await self._recover()
                    if last:
                        return
                elif self._closing:
                    return
                else:
                    await wait(self._wake, left)
            except StoreUnavailableError:
                return  # the crawl ends, and the database stayed away, as was logged
            # Nobody awaits this task: whatever a publisher or the driver raises, changes have to go
            # on being published, and stay on their products until they are.
            except Exception:
                logger.exception("Changes stay pending; trying again")
                self._postpone()

    async def _recover(self) -> None:
        """Publish what is pending on the products, until a publisher takes no more."""
        self._shut.clear()
        self._recover_at = time.monotonic() + RECOVER_SECONDS
        refused: list[int] = []
        while len(refused) < MOST_REFUSED:
            page = await self._retry.run(partial(self._find_pending, refused))
            if not page:
                break
            recorded = await self._retry.run(partial(self._record, page))
            if not await self._publish(recorded):
                return
            refused += {each.product_id for each in page} - {each.product_id for each in recorded}
        self._failures = 0

    async def _find_pending(self, except_of: Sequence[int]) -> list[Pending]:
        query: dict[str, Any] = {f"{PENDING}._id": {"$exists": True}}
        if except_of:
            query["_id"] = {"$nin": except_of}
        found = self._products.find(query, {"fetched_at": 1, PENDING: 1}).limit(AT_ONCE)
        products = await found.to_list()
        return [Pending(each["_id"], each["fetched_at"], each[PENDING]) for each in products]

    async def _publish(self, pending: Sequence[Pending]) -> bool:
        """Give changes to the publishers that take any; return whether all publishers have them."""
        found = [Change.from_document(each) for product in pending for each in product.documents]
        if changes := list(filter(self._is_wanted, found)):
            publishers = [each for each in self._publishers if each.name not in self._shut]
            taken = await asyncio.gather(*(self._publish_by(each, changes) for each in publishers))
            if not all(taken):
                self._postpone()
        if self._shut:
            return False
        await self._retry.run(lambda: self._clear(pending))
        return True

    def _is_wanted(self, change: Change) -> bool:
        is_large = change.percent is None or abs(change.percent) >= self._min_percent
        return change.field in self._fields and is_large

    async def _publish_by(self, publisher: ChangePublisher, changes: Sequence[Change]) -> bool:
        try:
            await publisher.publish(changes)
        # Whatever it is, it must hold up neither the products nor the other publishers.
        except Exception as error:  # noqa: BLE001
            level = outage.level if (outage := classify(error)) else logging.ERROR
            self._shut.add(publisher.name)
            self._note_kept(publisher.name, len(changes), explain(error), level)
            return False
        if self._logged.pop(publisher.name, None):
            logger.info("%s takes changes again", publisher.name)
        return True

    def _postpone(self) -> None:
        self._failures += 1
        self._recover_at = time.monotonic() + self._backoff.delay(self._failures)

    def _note_kept(self, name: str, number: int, reason: str, level: int = logging.ERROR) -> None:
        self._on_kept(number)
        if level > self._logged.get(name, logging.NOTSET):
            self._logged[name] = level
            text = "%s takes no changes: %s; products go on, changes are kept"
            logger.log(level, text, name, reason)

    async def _record(self, pending: Sequence[Pending]) -> Sequence[Pending]:
        """Insert changes into ``product_changes``; return the products whose changes are there."""
        documents = [document for product in pending for document in product.documents]
        refused: set[int] = set()
        try:
            if documents:
                await self._changes.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if classify(error):
                raise
            failures = error.details["writeErrors"]
            if refusals := [each for each in failures if not is_there_already(each)]:
                self._note_kept(PRODUCT_CHANGES, len(refusals), str(refusals[0].get("errmsg")))
            refused = {documents[each["index"]]["product_id"] for each in refusals}
        return [each for each in pending if each.product_id not in refused]

    async def _clear(self, pending: Iterable[Pending]) -> None:
        # A product that was written again meanwhile has taken its pending changes along.
        as_published = [{"_id": each.product_id, "fetched_at": each.fetched_at} for each in pending]
        if updates := [UpdateOne(each, {"$unset": {PENDING: ""}}) for each in as_published]:
            await self._cleared.bulk_write(updates, ordered=False)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Return once *event* is set, or after some *seconds*."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def end(task: asyncio.Task[None], seconds: float) -> None:
    """Let *task* end by itself, within some *seconds*; cancel it then."""
    await asyncio.wait({task}, timeout=seconds)
    while not task.done():  # a driver may swallow a cancellation
        task.cancel()
        await asyncio.wait({task}, timeout=1)
    if not task.cancelled():
        task.result()
