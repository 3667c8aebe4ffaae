"""Decides, with each fetch of a watched product, when the next one is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ali1688_spider.batching import BatchWriter
from ali1688_spider.items import REMOVED
from ali1688_spider.watching.fingerprint import fingerprint
from ali1688_spider.watching.freshness import fraction_fresh
from ali1688_spider.watching.schedule import Outcome, Schedule
from ali1688_spider.watching.store import Change, Entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ali1688_spider.items import Product
    from ali1688_spider.watching.store import WatchStore
    from ali1688_spider.watching.strategies import Strategy
    from ali1688_spider.watching.totals import Totals

    RunInThread = Callable[..., Awaitable[Any]]

TOTALS_SECONDS = 2.0
"""So old the sums may be: each fetch changes them by little."""
SAMPLE = 500


class Watcher:
    """The schedule of all watched products, over their store.

    Args:
        store: Where they are kept.
        strategy: Decides about the intervals.
        run: Runs a blocking function in a thread.
    """

    def __init__(self, store: WatchStore, strategy: Strategy, run: RunInThread) -> None:
        self._store = store
        self._schedule = Schedule(strategy)
        self._run = run
        self._batches: BatchWriter[Product, tuple[Outcome, float]] = BatchWriter(self._write)
        self._totals: Totals | None = None
        self._totals_at = 0.0

    async def fetched(self, product: Product) -> tuple[Outcome, float]:
        """Keep what this fetch says; return it, and the seconds until the next fetch."""
        return await self._batches.put(product)

    async def fraction_fresh(self) -> float | None:
        """Return the expected part of the watched products whose stored copy is right now."""
        return await self._run(self._fraction_fresh)  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Keep what is to be kept, and release the store."""
        await self._batches.close()
        await self._run(self._store.close)

    async def _write(self, products: Sequence[Product]) -> list[tuple[Outcome, float] | Exception]:
        return await self._run(self._keep, products)  # type: ignore[no-any-return]

    def _keep(self, products: Sequence[Product]) -> list[tuple[Outcome, float]]:
        totals = self._read_totals()
        texts = self._store.load([product.product_id for product in products])
        results, changes = [], []
        for product, text in zip(products, texts, strict=True):
            outcome, change = self._change(product, text, totals)
            totals.add(change.differences)
            changes.append(change)
            results.append((outcome, change.delay))
        self._store.save(changes)
        return results

    def _change(self, product: Product, text: str, totals: Totals) -> tuple[Outcome, Change]:
        entry = Entry.decode(text)
        print_now = fingerprint(product)
        if product.status == REMOVED:
            outcome, print_now = Outcome.REMOVED, entry.fingerprint
        elif entry.fingerprint in {"", print_now}:
            outcome = Outcome.UNCHANGED
        else:
            outcome = Outcome.CHANGED
        appointment = self._schedule.fetched(
            entry.product,
            outcome,
            totals,
            now=product.fetched_at.timestamp(),
            category=product.category_id or 0,
        )
        new = Entry(appointment.product, print_now).encode()
        change = Change(product.product_id, text, new, appointment.differences, appointment.delay)
        return outcome, change

    def _read_totals(self) -> Totals:
        now = time.monotonic()
        if self._totals is None or now - self._totals_at > TOTALS_SECONDS:
            self._totals, self._totals_at = self._store.totals(), now
        return self._totals

    def _fraction_fresh(self) -> float | None:
        products = self._store.sample(SAMPLE)
        return fraction_fresh(products, self._store.totals(), time.time())
