"""Decides, with each fetch of a watched product, when the next one is."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ali1688_spider.batching import BatchWriter
from ali1688_spider.items import REMOVED
from ali1688_spider.watching.schedule import Outcome, Schedule, WatchedProduct

if TYPE_CHECKING:
    from ali1688_spider.items import Product
    from ali1688_spider.retrying import ServerRetry
    from ali1688_spider.watching.redis_store import RedisWatchStore
    from ali1688_spider.watching.schedule import Budget
    from ali1688_spider.watching.sqlite_store import SqliteWatchStore

_Result = TypeVar("_Result")

SAMPLE = 500
"""Products from which the schedule of all is derived."""

SAMPLE_SECONDS = 10.0
"""Age at which the sample is drawn again: meanwhile each fetch changes the schedule by little."""

_WATCHED_OF_SKU: tuple[
    Literal["sku_id", "price", "price_tiers", "retail_price", "promotion_price", "stock"], ...
] = ("sku_id", "price", "price_tiers", "retail_price", "promotion_price", "stock")
_FINGERPRINT_BYTES = 6  # a change goes unseen once in 10^14


class Watcher:
    """The schedule of all watched products, over their store.

    The store's methods block and run in threads; *retry* waits while its server is away.
    """

    def __init__(
        self,
        store: RedisWatchStore | SqliteWatchStore,
        strategy: str,
        budget: Budget,
        retry: ServerRetry,
    ) -> None:
        self._store = store
        self._strategy = strategy
        self._budget = budget
        self._retry = retry
        self._batches: BatchWriter[Product, tuple[Outcome, float]] = BatchWriter(self._write)
        self._schedule: Schedule | None = None
        self._drawn_at = 0.0

    async def resume(self) -> None:
        """Take the watch up again, with no product due later than the longest interval."""
        await self._run(self._store.resume, self._budget.max_interval)

    async def fetched(self, product: Product) -> tuple[Outcome, float]:
        """Keep what this fetch found; return it, and the seconds until the next fetch."""
        return await self._batches.put(product)

    async def hint(self, product_ids: Sequence[int]) -> int:
        """Note that something of these products has changed; return how many are watched.

        Each is fetched at once, whatever its interval; one that is fetched at this moment, once
        more. Where hints ask for more than the budget has, slow products go first, and those that
        change too often to be kept fresh wait for their own schedule.
        """
        return await self._run(self.hint_blocking, product_ids)

    def hint_blocking(self, product_ids: Sequence[int]) -> int:
        """Do the same once, in this thread; raises the errors of the store."""
        schedule, watched = self._current_schedule(), 0
        for first in range(0, len(product_ids), SAMPLE):
            some = product_ids[first : first + SAMPLE]
            states = map(WatchedProduct.decode, self._store.load(some))
            priorities = map(schedule.hint_priority, states)
            watched += self._store.hint(dict(zip(some, priorities, strict=True)))
        return watched

    async def fraction_fresh(self) -> float | None:
        """Return the expected part of the watched products whose stored copy is right now."""
        return await self._run(self._fraction_fresh)

    async def close(self) -> None:
        """Keep what is to be kept, and release the store."""
        await self._batches.close()
        await self._run(self._store.close)

    async def _run(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        return await self._retry.run(lambda: asyncio.to_thread(function, *arguments))

    async def _write(self, products: Sequence[Product]) -> Sequence[tuple[Outcome, float]]:
        return await self._run(self._keep, products)

    def _keep(self, products: Sequence[Product]) -> list[tuple[Outcome, float]]:
        schedule = self._current_schedule()
        results, states = [], []
        texts = self._store.load([product.product_id for product in products])
        for product, text in zip(products, texts, strict=True):
            seen = None if product.status == REMOVED else fingerprint(product)
            now = round(product.fetched_at.timestamp(), 3)
            outcome, state = WatchedProduct.decode(text).fetched(seen, now)
            delay = schedule.interval(state)
            results.append((outcome, delay))
            states.append((product.product_id, state.encode(), delay))
        self._store.save(states)
        return results

    def _current_schedule(self) -> Schedule:
        if self._schedule is None or time.monotonic() - self._drawn_at > SAMPLE_SECONDS:
            return self._draw_sample()[0]
        return self._schedule

    def _draw_sample(self) -> tuple[Schedule, list[WatchedProduct]]:
        watched, texts = self._store.sample(SAMPLE)
        sample = [WatchedProduct.decode(text) for text in texts]
        self._schedule = Schedule(self._strategy, self._budget, sample, watched)
        self._drawn_at = time.monotonic()
        return self._schedule, sample

    def _fraction_fresh(self) -> float | None:
        schedule, sample = self._draw_sample()
        return schedule.fraction_fresh(sample, time.time())


def fingerprint(product: Product) -> str:
    """Return 12 characters that differ when a price, stock, status or name does, also a SKU's."""
    skus = sorted(product.skus, key=lambda sku: str(sku["sku_id"]))
    watched: list[Any] = [
        product.name,
        product.status,
        product.available,
        product.price,
        product.price_max,
        product.price_tiers,
        product.retail_price,
        product.promotion_price,
        product.stock,
        [[sku[name] for name in _WATCHED_OF_SKU] for sku in skus],
    ]
    # 2.5 and 2.50 are the same price.
    text = json.dumps(watched, default=lambda price: str(price.normalize()), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=_FINGERPRINT_BYTES).hexdigest()
