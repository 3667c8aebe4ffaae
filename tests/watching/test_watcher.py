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
from ali1688_spider.scheduling.lease import QueueEntry
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.spiders.watch import open_redis_store
from ali1688_spider.watching.schedule import DAY, STRATEGIES, Budget, Outcome
from ali1688_spider.watching.sqlite_store import SqliteWatchStore
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
