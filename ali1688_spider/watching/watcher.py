"""Decides, with each fetch of a watched product, when the next one is."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ali1688_spider.batching import BatchWriter
from ali1688_spider.items import REMOVED
from ali1688_spider.watching.looks import LEAST_OF_A_SHOP, Look, PageRow
from ali1688_spider.watching.schedule import Schedule
from ali1688_spider.watching.watched_product import Hint, Outcome, WatchedProduct

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

SHOP_SECONDS = 3600.0
"""How often a shop of which products are stored is considered for looks."""

_WATCHED_OF_SKU: tuple[
    Literal["sku_id", "price", "price_tiers", "retail_price", "promotion_price", "stock"], ...
] = ("sku_id", "price", "price_tiers", "retail_price", "promotion_price", "stock")
_FINGERPRINT_BYTES = 6  # a change goes unseen once in 10^14


class Watcher:
    """The schedule of all watched products, over their store.

    The store's methods block and run in threads; *retry* waits while its server is away.
    *shop_look* returns the call that looks at the shop of a seller; None leaves shops alone.
    """

    def __init__(
        self,
        store: RedisWatchStore | SqliteWatchStore,
        strategy: str,
        budget: Budget,
        retry: ServerRetry,
        shop_look: Callable[[str], str] | None = None,
    ) -> None:
        self._store = store
        self._strategy = strategy
        self._budget = budget
        self._retry = retry
        self._shop_look = shop_look
        self._batches: BatchWriter[Product, tuple[Outcome, float]] = BatchWriter(self._write)
        self._schedule: Schedule | None = None
        self._drawn_at = 0.0
        self._considered_shops: set[str] = set()
        self._considered_since = 0.0

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
        change too often to be kept fresh wait until nothing else is due.
        """
        return await self._run(self.hint_blocking, product_ids)

    def hint_blocking(self, product_ids: Sequence[int]) -> int:
        """Do the same once, in this thread; raises the errors of the store."""
        return self._hint(dict.fromkeys(product_ids, 0.0), time.time())

    async def looked(
        self, call: str, rows: Sequence[PageRow], *, joins: bool
    ) -> tuple[float | None, list[int]]:
        """Keep what a page showed, and have those of its watched products fetched that have moved.

        Args:
            call: The call of the look, as :meth:`ApiCall.encode` writes it.
            rows: What the page showed.
            joins: Whether all products of the page are to be watched.

        Returns:
            The seconds until the next look, None when no further one pays, and the products that
            are to be watched from now on.
        """
        return await self._run(self._look, call, rows, joins)

    async def look_at(self, call: str) -> None:
        """Have a page looked at from now on, as :meth:`looked` names it."""
        await self._run(self._look_at, call)

    async def shop_pays(self, seller_id: str, pages: int) -> bool:
        """Return whether the pages of a shop that has so many are worth looking at."""
        return await self._run(self._shop_pays, seller_id, pages)

    async def fraction_fresh(self) -> float | None:
        """Return the expected part of the watched products whose stored copy is right now."""
        return await self._run(self.fraction_fresh_blocking)

    def fraction_fresh_blocking(self) -> float | None:
        """Do the same once, in this thread; raises the errors of the store."""
        schedule, sample = self._draw_sample()
        return schedule.fraction_fresh(sample, time.time())

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
        self._join_shops(products)
        return results

    def _hint(self, products: Mapping[int, float], now: float) -> int:
        """Keep a hint of each product, whose change came within so many seconds before *now*."""
        schedule, watched, rest = self._current_schedule(), 0, list(products)
        while rest:
            some, rest = rest[:SAMPLE], rest[SAMPLE:]
            hints = []
            for each, text in zip(some, self._store.load(some), strict=True):
                state = WatchedProduct.decode(text).hinted(now, products[each])
                priority = schedule.hint_priority(state, now)
                hints.append(Hint(each, text, state.encode() if text else "", priority))
            known, changed = self._store.hint(hints)
            watched, rest = watched + known, changed + rest
        return watched

    def _look(
        self,
        call: str,
        rows: Sequence[PageRow],
        joins: bool,  # noqa: FBT001  # one caller
    ) -> tuple[float | None, list[int]]:
        schedule, now = self._current_schedule(), round(time.time(), 3)
        ids = [row.product_id for row in rows]
        state, known = self._store.load_look(call, ids)
        look = Look.decode(state)
        texts = self._store.load(ids)
        products = dict(zip(ids, map(WatchedProduct.decode, texts), strict=True))
        moved = {
            row.product_id: now - max(look.looked_at or 0.0, fetched_at)
            for row, before in zip(rows, known, strict=True)
            if (fetched_at := products[row.product_id].fetched_at) is not None
            and row.has_moved(before, fetched_at)
        }
        self._hint(moved, now)
        # One that was unwatched is known, and stays so.
        strangers = zip(ids, texts, known, strict=True)
        new_ids = [each for each, text, row in strangers if joins and not text and not row]
        shown = [each for each in products.values() if joins or each.fetched_at is not None]
        new = look.looked(shown, len(moved), now, schedule)
        delay = new.interval or (self._budget.max_interval if joins and rows else None)
        # Hinted first: a process that is killed in between looks again.
        if delay is None:
            self._store.end_look(call, new.encode())
        else:
            found = {
                row.product_id: row.merged(before)
                for row, before in zip(rows, known, strict=True)
                if row.product_id not in new_ids
            }
            self._store.save_look(call, new.encode(), delay, found)
        return delay, new_ids

    def _look_at(self, call: str) -> None:
        """Have a page looked at, unless it was, and further looks pay or would not have."""
        look = Look.decode(self._store.load_look(call, [])[0])
        longest = self._budget.max_interval
        if look.looked_at is None and look.interval:
            return  # it is queued
        if look.looked_at is None or (
            look.interval is None and time.time() - look.looked_at > longest
        ):
            queued = replace(look, looked_at=None, interval=longest)
            self._store.save_look(call, queued.encode(), 0.0, {})

    def _shop_pays(self, seller_id: str, pages: int) -> bool:
        [products] = self._store.join_shops([(_shop(seller_id), None)])
        usual = [WatchedProduct()] * round(products / max(1, pages))
        return self._current_schedule().look_interval(usual, 1.0) is not None

    def _join_shops(self, products: Sequence[Product]) -> None:
        """Begin to look at the shops that have enough watched products."""
        if self._shop_look is None:
            return
        sellers = [(each.seller_id, each.product_id) for each in products if each.seller_id]
        counts = self._store.join_shops([(_shop(seller), each) for seller, each in sellers])
        if time.monotonic() - self._considered_since > SHOP_SECONDS:
            self._considered_shops.clear()
            self._considered_since = time.monotonic()
        for (seller, _), count in zip(sellers, counts, strict=True):
            if count >= LEAST_OF_A_SHOP and seller not in self._considered_shops:
                self._look_at(self._shop_look(seller))
                self._considered_shops.add(seller)

    def _current_schedule(self) -> Schedule:
        if self._schedule is None or time.monotonic() - self._drawn_at > SAMPLE_SECONDS:
            return self._draw_sample()[0]
        return self._schedule

    def _draw_sample(self) -> tuple[Schedule, list[WatchedProduct]]:
        watched, texts = self._store.sample(SAMPLE)
        sample = [WatchedProduct.decode(text) for text in texts]
        self._schedule = Schedule(
            self._strategy,
            self._budget,
            sample,
            watched,
            now=time.time(),
            looks=self._looks_demand(),
        )
        self._drawn_at = time.monotonic()
        return self._schedule, sample

    def _looks_demand(self) -> float:
        number, texts = self._store.looks(SAMPLE)
        demand = sum(Look.decode(text).demand for text in texts)
        return demand * number / len(texts) if texts else 0.0


def _shop(seller_id: str) -> str:
    return hashlib.blake2b(seller_id.encode(), digest_size=_FINGERPRINT_BYTES).hexdigest()


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
