from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import redis

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.items import REMOVED, Product
from ali1688_spider.retrying import ServerRetry
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.lease import Lease, QueueEntry
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.spiders.watch import open_redis_store
from ali1688_spider.watching.looks import LEAST_OF_A_SHOP
from ali1688_spider.watching.schedule import STRATEGIES, Budget
from ali1688_spider.watching.sqlite_store import SqliteWatchStore
from ali1688_spider.watching.watched_product import DAY, Outcome, WatchedProduct
from ali1688_spider.watching.watcher import Watcher, fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ali1688_spider.watching.redis_store import RedisWatchStore

    Store = RedisWatchStore | SqliteWatchStore

START = datetime(2026, 10, 10, tzinfo=UTC)
UNLIMITED = Budget(math.inf, 10, 1000)


@pytest.fixture(params=[pytest.param("redis", marks=pytest.mark.programs), "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Products 1 to 20 are watched where they have to be before they are fetched."""
    if request.param == "sqlite":
        local = SqliteWatchStore(tmp_path / "watch.sqlite")
        local.add(range(1, 21))
        yield local
        local.close()
    else:
        with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
            queue = LeaseQueue(client, SimpleNamespace(name="watch"), QUEUE_KEY)
            queue.push(QueueEntry(ApiCall.product(number)) for number in range(1, 21))
            yield open_redis_store(client)


def product(product_id: int, seconds: float = 0, **fields: Any) -> Product:
    record = {"name": "杯", "price": Decimal("2.50"), "stock": 3, "category_id": 5}
    return Product(
        product_id=product_id,
        source_api="test",
        fetched_at=START + timedelta(seconds=seconds),
        **{**record, **fields},
    )


def watcher(store: Store, budget: Budget = UNLIMITED, strategy: str = "adaptive") -> Watcher:
    return Watcher(store, strategy, budget, ServerRetry("Redis", lambda _: None))


async def test_what_fetches_say(store: Store) -> None:
    each = watcher(store)
    assert await each.fetched(product(1)) == (Outcome.UNCHANGED, 10)
    assert await each.fetched(product(1, 10)) == (Outcome.UNCHANGED, 10)
    assert await each.fetched(product(1, 20, stock=4)) == (Outcome.CHANGED, 10)
    assert await each.fetched(product(1, 30, stock=4)) == (Outcome.UNCHANGED, 10)


async def test_a_removed_product_backs_off_and_comes_back(store: Store) -> None:
    each = watcher(store, Budget(math.inf, 10, 1e6))
    gone = {"name": None, "price": None, "stock": None, "status": REMOVED}
    await each.fetched(product(1))
    assert await each.fetched(product(1, 10, **gone)) == (Outcome.REMOVED, 86_400)
    assert await each.fetched(product(1, 90_000, **gone)) == (Outcome.REMOVED, 172_800)
    assert await each.fetched(product(1, 300_000)) == (Outcome.UNCHANGED, 10)


async def test_fetches_at_once_are_kept_together(store: Store) -> None:
    each = watcher(store)
    found = await asyncio.gather(*(each.fetched(product(number)) for number in range(1, 21)))
    assert found == [(Outcome.UNCHANGED, 10)] * 20
    found = await asyncio.gather(
        *(each.fetched(product(number, 10, stock=number % 2)) for number in range(1, 21))
    )
    assert [outcome for outcome, _ in found] == [Outcome.CHANGED] * 20
    watched, texts = store.sample(100)
    assert watched == len(texts) == 20
    assert all(texts)


async def test_an_entry_of_nonsense_takes_no_other_along(store: Store) -> None:
    each = watcher(store)
    await each.fetched(product(1))
    await each.fetched(product(2))
    store.save([(1, "nonsense", 0.0)])
    found = await asyncio.gather(*(each.fetched(product(number, 10)) for number in (1, 2)))
    assert found == [(Outcome.UNCHANGED, 10)] * 2
    assert (await each.fetched(product(1, 20, stock=9)))[0] is Outcome.CHANGED


async def test_the_fraction_that_is_fresh(store: Store) -> None:
    each = watcher(store)
    expected = 0.0 if isinstance(store, SqliteWatchStore) else None
    assert await each.fraction_fresh() == expected
    now = (datetime.now(UTC) - START).total_seconds()
    await asyncio.gather(*(each.fetched(product(number, now)) for number in range(1, 21)))
    fraction = await each.fraction_fresh()
    assert fraction is not None
    assert 0.99 < fraction <= 1


async def test_the_budget_is_spread_over_ten_thousand_products(tmp_path: Path) -> None:
    store = SqliteWatchStore(tmp_path / "watch.sqlite")
    store.add(range(1, 10_001))
    each = watcher(store, Budget(2.0, 600, 30 * DAY), "uniform")
    for first in range(1, 10_001, 500):
        some = range(first, first + 500)
        found = await asyncio.gather(*(each.fetched(product(number)) for number in some))
        assert found == [(Outcome.UNCHANGED, 5000)] * 500
    await each.close()


async def test_adaptive_spends_the_same_budget(tmp_path: Path) -> None:
    store = SqliteWatchStore(tmp_path / "watch.sqlite")
    store.add(range(1, 1001))
    delays = []
    for round_ in range(3):
        each = watcher(store, Budget(1.0, 10, 30 * DAY))
        found = await asyncio.gather(
            *(
                each.fetched(product(number, round_ * 1000, stock=round_ * (number % 2)))
                for number in range(1, 1001)
            )
        )
        delays = [delay for _, delay in found]
    often, seldom = delays[0::2], delays[1::2]
    assert sum(often) < 0.9 * sum(seldom)
    assert sum(1 / delay for delay in delays) == pytest.approx(1.1, rel=0.1)
    await each.close()


async def test_without_a_limit_the_shortest_interval_rules(store: Store) -> None:
    for strategy in STRATEGIES:
        each = watcher(store, Budget(math.inf, 7, 1000), strategy)
        assert (await each.fetched(product(1)))[1] == 7


# Hints


class Worker:
    """Leases and settles products as a worker does, of either store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.leases: dict[int, Lease] = {}
        self.delays: dict[int, float] = {}
        self.queue = None if isinstance(store, SqliteWatchStore) else store.queue

    def lease(self) -> list[int]:
        """Take the products that are to be fetched now, in their order."""
        if isinstance(self.store, SqliteWatchStore):
            return self.store.take_due(99, DAY)
        assert self.queue is not None
        taken = {int(lease.message): lease for lease in self.queue.lease(99).leases}
        self.leases |= taken
        return list(taken)

    async def fetch(self, each: Watcher, *product_ids: int, at: float = 0, **fields: Any) -> None:
        """Have these products fetched."""
        for product_id in product_ids:
            _, self.delays[product_id] = await each.fetched(product(product_id, at, **fields))
            self.settle(product_id)

    def settle(self, product_id: int) -> None:
        """Settle a fetch, after it was saved."""
        if self.queue is not None:
            lease = self.leases.pop(product_id)
            lease.ack()
            lease.repeat(self.delays.get(product_id, 500))
            self.queue.settle([lease])


def watched_state(store: Store, product_id: int) -> WatchedProduct:
    return WatchedProduct.decode(store.load([product_id])[0])


async def test_a_hinted_product_is_fetched_at_once_and_once(store: Store) -> None:
    each = watcher(store, Budget(math.inf, 500, 1000))
    worker = Worker(store)
    await worker.fetch(each, *worker.lease())
    assert worker.lease() == []

    assert await each.hint([7, 3, 99]) == 2
    assert sorted(worker.lease()) == [3, 7]
    assert watched_state(store, 7).hinted_at is not None
    await worker.fetch(each, 3, 7, at=10, stock=9)

    assert worker.lease() == []
    state = watched_state(store, 7)
    assert (state.hinted_at, round(state.hints), state.changes) == (None, 1, 0)
    assert watched_state(store, 8).hints == 0


async def test_a_hint_while_a_product_is_fetched_is_not_lost(store: Store) -> None:
    each = watcher(store, Budget(math.inf, 500, 1000))
    worker = Worker(store)
    await worker.fetch(each, *worker.lease())
    await each.hint([3])
    assert worker.lease() == [3]

    assert await each.hint([3]) == 1
    await worker.fetch(each, 3, at=10)
    assert watched_state(store, 3).hinted_at is not None
    assert worker.lease() == [3]
    await worker.fetch(each, 3, at=20)
    assert watched_state(store, 3).hinted_at is None
    assert worker.lease() == []


async def test_a_hint_between_the_answer_and_its_settling_is_not_lost(store: Store) -> None:
    each = watcher(store, Budget(math.inf, 500, 1000))
    worker = Worker(store)
    first, *others = worker.lease()
    await worker.fetch(each, *others)
    await each.fetched(product(first))
    await each.hint([first])
    worker.settle(first)
    assert worker.lease() == [first]


async def test_a_hint_before_the_first_fetch_changes_nothing(store: Store) -> None:
    each = watcher(store, Budget(math.inf, 500, 1000))
    assert await each.hint([5]) == 1
    assert store.load([5]) == [""]
    worker = Worker(store)
    await worker.fetch(each, *worker.lease())
    assert worker.lease() == []


async def test_slow_products_go_first_and_too_fast_ones_wait(store: Store) -> None:
    each = watcher(store, Budget(1 / DAY, 60, 30 * DAY))
    worker = Worker(store)
    await worker.fetch(each, *worker.lease())
    slow, fast = [*range(1, 16)], [*range(16, 21)]
    for round_ in range(1, 40):
        for number in slow:
            await each.fetched(product(number, round_ * 10 * DAY, stock=number * round_ // 40))
        for number in fast:
            await each.fetched(product(number, round_ * 600, stock=round_))

    fresh = watcher(store, Budget(1 / DAY, 60, 30 * DAY))
    assert await fresh.hint([16, 15, 1]) == 3

    assert worker.lease() == [1, 15, 16]  # the last one as nothing else is due
    assert watched_state(store, 16).hinted_at is not None


async def test_thousands_of_hints_at_once(store: Store) -> None:
    assert await watcher(store).hint(range(1, 2501)) == 20


async def test_a_hint_survives_the_end_of_the_process(tmp_path: Path) -> None:
    store = SqliteWatchStore(tmp_path / "watch.sqlite")
    store.add([1, 2])
    each, worker = watcher(store, Budget(math.inf, 500, 1000)), Worker(store)
    await worker.fetch(each, *worker.lease())
    await each.hint([2])
    assert worker.lease() == [2]  # by a process that is killed now
    store.close()

    store = SqliteWatchStore(tmp_path / "watch.sqlite")
    store.resume(1000)
    assert watched_state(store, 2).hinted_at is not None
    assert Worker(store).lease() == [2]
    store.close()


# Fingerprint


def sku(sku_id: int, **fields: Any) -> dict[str, Any]:
    return {
        "sku_id": sku_id,
        "spec_id": None,
        "attributes": {},
        "price": None,
        "price_tiers": [],
        "stock": 3,
        "image": None,
        "retail_price": None,
        "promotion_price": None,
        "dropship_price": None,
        "cargo_number": None,
        **fields,
    }


def with_skus(**fields: Any) -> Product:
    return product(1, **{"skus": [sku(1), sku(2)], **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "碗"},
        {"status": "published"},
        {"price": Decimal("2.51")},
        {"price_max": Decimal(9)},
        {"price_tiers": [{"min_quantity": 2, "price": Decimal("2.50")}]},
        {"stock": 6},
        {"skus": [sku(1), sku(2, stock=4)]},
        {"skus": [sku(1), sku(2, price=Decimal(1))]},
        {"skus": [sku(1), sku(2, price_tiers=[{"min_quantity": 2, "price": Decimal(2)}])]},
        {"skus": [sku(1)]},
        {"available": False},
        {"promotion_price": Decimal("2.10")},
        {"retail_price": Decimal("3.20")},
        {"skus": [sku(1), sku(2, promotion_price=Decimal(1))]},
        {"skus": [sku(1), sku(2, retail_price=Decimal(1))]},
    ],
)
def test_a_change_shows(fields: dict[str, Any]) -> None:
    assert fingerprint(with_skus(**fields)) != fingerprint(with_skus())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"category_id": 6},
        {"sales_30d": 70, "repurchase_rate": 0.2},
        {"images": ["https://cbu01.alicdn.com/1.jpg"], "supplier": "厂"},
        {"skus": [sku(2, image="https://cbu01.alicdn.com/2.jpg"), sku(1)]},
        {"price": Decimal("2.5")},
        {"skus": [sku(1, price_tiers=[]), sku(2)]},
    ],
)
def test_what_is_no_change_does_not(fields: dict[str, Any]) -> None:
    assert fingerprint(with_skus(**{"seconds": 86_400, **fields})) == fingerprint(with_skus())


def test_it_has_twelve_characters() -> None:
    assert len(fingerprint(product(1))) == 12


async def test_a_shop_with_enough_watched_products_is_looked_at(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ApiCall.search(shop="BBB1", page=1, page_size=50, look=1).encode()
    retry = ServerRetry("Redis", lambda _: None)
    each = Watcher(store, "adaptive", UNLIMITED, retry, lambda _: call)
    asked: list[str] = []
    load_look = store.load_look
    monkeypatch.setattr(
        store, "load_look", lambda name, ids: asked.append(name) or load_look(name, ids)
    )
    for number in range(1, LEAST_OF_A_SHOP):
        await each.fetched(product(number, seller_id="BBB1"))
    assert store.looks(9) == (0, [])
    await each.fetched(product(1, 10, seller_id="BBB1"))  # one that it has
    await each.fetched(product(LEAST_OF_A_SHOP, seller_id="BBB2"))
    assert store.looks(9) == (0, [])
    await each.fetched(product(LEAST_OF_A_SHOP, 10, seller_id="BBB1"))
    assert store.looks(9)[0] == 1
    for number in range(1, 20):  # it is not considered with each fetch
        await each.fetched(product(number, 20, seller_id="BBB1"))
    assert asked == [call]
