"""Changes on their way out of the product documents that they were found on.

A change is first written within its product, in ``pending_changes``, by the same atomic update
that writes the new values. From there it goes into ``product_changes``, then out by the channels,
and is taken off the product last. Whoever finds changes pending brings them out; each step may be
done any number of times, so a crash between two of them neither loses a change nor doubles one.

The pending changes of a product are all that have not gone out, in order. Each channel gets them
together, so that no change of a product overtakes an older one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pymongo import UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.storage.change import Change
from ali1688_spider.storage.errors import StoreUnavailableError, is_outage, is_there_already
from ali1688_spider.storage.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from ali1688_spider.storage.connection import Database

logger = logging.getLogger(__name__)

PRODUCTS = "products"
PRODUCT_CHANGES = "product_changes"
PENDING = "pending_changes"

RECOVER_SECONDS = 60.0
"""How often pending changes are looked for that another worker has left."""
CLOSE_SECONDS = 10.0
"""How long the end of a crawl goes on bringing changes out."""
AT_ONCE = 200
MOST_WAITING = 5000
"""Products whose changes wait in memory; of more they are read again."""
MOST_REFUSED = 1000


class Channel(Protocol):
    """A way that changes go out by."""

    async def deliver(self, changes: Sequence[Change]) -> bool:
        """Pass changes on; return whether that is done. If not, they come again later.

        The same change may come again after it was passed on, and is then no news.
        """


@dataclass(frozen=True, slots=True)
class Pending:
    """The pending changes of one product.

    Attributes:
        product_id: The product.
        fetched_at: The product's ``fetched_at`` along with which they are pending.
        documents: The changes, as ``product_changes`` holds them.
    """

    product_id: int
    fetched_at: datetime
    documents: list[dict[str, Any]]


class Outbox:
    """Records changes in ``product_changes`` and brings them out, by a task of its own.

    What a channel does not take stays pending on its product, and is tried again with a growing
    wait; other channels get their changes meanwhile, and storing goes on.

    Args:
        database: Holds the products and their changes.
        channels: Get each change at least once.
        patience: Waits for the database when it is away.
        backoff: How long to wait for a channel that takes nothing.
        kept: Called with how many changes stay pending because ``product_changes`` refuses them.
    """

    def __init__(
        self,
        database: Database,
        channels: Sequence[Channel] = (),
        *,
        patience: Patience | None = None,
        backoff: Backoff | None = None,
        kept: Callable[[int], object] = lambda _number: None,
    ) -> None:
        self._products = database[PRODUCTS]
        # Losing this write costs only another attempt to bring the same changes out.
        self._cleared = database.get_collection(PRODUCTS, write_concern=WriteConcern(1))
        self._changes = database[PRODUCT_CHANGES]
        self._channels = channels
        self._patience = patience or Patience()
        self._backoff = backoff or Backoff(base=1.0, cap=60.0)
        self._kept = kept
        self._waiting: deque[Pending] = deque()
        self._shut: set[Channel] = set()
        self._failures = 0
        self._recover_at = 0.0
        self._has_refused = False
        self._closing = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to bring changes out, those that earlier crawls left first."""
        self._task = asyncio.create_task(self._run())

    async def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Bring out what is pending, for some *seconds* at most; the rest stays on its products."""
        if self._task is None:
            return
        self._closing = True
        self._recover_at = 0.0
        self._wake.set()
        await asyncio.wait({self._task}, timeout=seconds)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def publish(self, pending: Sequence[Pending]) -> None:
        """Record the pending changes of these products, and let them go out.

        Raises:
            PyMongoError: The database is away.
        """
        recorded = await self._record(pending)
        if not self._channels:
            await self._clear(recorded)
        elif len(self._waiting) + len(recorded) <= MOST_WAITING:
            self._waiting.extend(recorded)
        elif not self._shut:
            self._recover_at = 0.0  # they are on their products
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                if self._waiting:
                    count = min(AT_ONCE, len(self._waiting))
                    await self._bring_out([self._waiting.popleft() for _ in range(count)])
                elif (left := self._recover_at - time.monotonic()) <= 0:
                    last = self._closing
                    await self._recover()
                    if last:
                        return
                elif self._closing:
                    return
                else:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), left)
            except StoreUnavailableError:
                return  # the crawl ends, and the database stayed away, as was logged
            except Exception:
                logger.exception("Changes stay pending; trying again")
                self._postpone()

    async def _recover(self) -> None:
        """Bring out what is pending on the products, as long as the channels take it."""
        self._shut.clear()
        self._recover_at = time.monotonic() + RECOVER_SECONDS
        refused: list[int] = []
        while len(refused) < MOST_REFUSED:
            page = await self._patience.repeat(partial(self._find_pending, refused))
            if not page:
                break
            recorded = await self._patience.repeat(partial(self._record, page))
            if not await self._bring_out(recorded):
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

    async def _bring_out(self, pending: Sequence[Pending]) -> bool:
        """Pass changes on by the channels that take any; return whether all channels have them."""
        changes = [Change.from_document(each) for product in pending for each in product.documents]
        channels = [channel for channel in self._channels if channel not in self._shut]
        if changes:
            taken = await asyncio.gather(*(channel.deliver(changes) for channel in channels))
            shut = {
                channel for channel, is_taken in zip(channels, taken, strict=True) if not is_taken
            }
            if shut:
                self._shut |= shut
                self._postpone()
        if self._shut:
            return False
        await self._patience.repeat(lambda: self._clear(pending))
        return True

    def _postpone(self) -> None:
        self._failures += 1
        self._recover_at = time.monotonic() + self._backoff.delay(self._failures)

    async def _record(self, pending: Sequence[Pending]) -> Sequence[Pending]:
        """Insert changes into ``product_changes``; return the products whose changes are there."""
        documents = [document for product in pending for document in product.documents]
        if not documents:
            return pending
        try:
            await self._changes.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if is_outage(error):
                raise
            failures = error.details["writeErrors"]
            refusals = [failure for failure in failures if not is_there_already(failure)]
            self._note_refused(refusals)
            refused = {documents[failure["index"]]["product_id"] for failure in refusals}
            return [product for product in pending if product.product_id not in refused]
        return pending

    def _note_refused(self, refusals: Sequence[Mapping[str, Any]]) -> None:
        if not refusals:
            return
        self._kept(len(refusals))
        if not self._has_refused:
            self._has_refused = True
            logger.error(
                "%s takes no changes: %s; products go on, changes are kept",
                PRODUCT_CHANGES,
                refusals[0].get("errmsg"),
            )

    async def _clear(self, pending: Iterable[Pending]) -> None:
        # A product that was written again meanwhile has taken its pending changes along.
        updates = [
            UpdateOne(
                {"_id": product.product_id, "fetched_at": product.fetched_at},
                {"$unset": {PENDING: ""}},
            )
            for product in pending
        ]
        if updates:
            await self._cleared.bulk_write(updates, ordered=False)
