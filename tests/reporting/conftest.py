"""A made-up market, as the store would keep it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128

from ali1688_spider.gateway.fields import UNLIMITED

NOW = datetime(2026, 11, 23, 18, 30, tzinfo=UTC)
NAMES = ("夏季连衣裙女新款", "男士纯棉短袖T恤", "不锈钢保温杯", "儿童益智积木", "蓝牙耳机 无线")


@dataclass(frozen=True)
class Market:
    """What is stored, and when it was looked at."""

    products: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    crawls: list[dict[str, Any]]
    now: datetime


def make_market(products: int, changes: int, seed: int = 1) -> Market:
    """Return a market of that many products and changes of the last seven days."""
    chance = random.Random(seed)
    ages = sorted(chance.sample(range(7 * 86400), changes), reverse=True)
    moments = [NOW - timedelta(seconds=age) for age in ages]
    price = {n: Decimal(chance.randrange(100, 50000)) / 100 for n in range(1, products + 1)}
    stock = {n: chance.randrange(0, 2000) for n in price}
    recorded = []
    for number, at in enumerate(moments):
        product_id = int(products * chance.random() ** 3) + 1  # few change often, many never
        change = {"_id": str(number), "product_id": product_id, "sku_id": None, "at": at}
        kind = chance.random()
        if number % 50 == 7:
            recorded.append(change | _promotion(number, price[product_id]))
        elif number % 50 == 11:
            is_on = number % 100 == 11
            recorded.append(change | {"field": "available", "old": is_on, "new": not is_on})
        elif kind < 0.6:
            new = (price[product_id] * chance.randrange(90, 111) / 100).quantize(Decimal("0.01"))
            values = Decimal128(price[product_id]), Decimal128(max(new, Decimal("0.01")))
            price[product_id] = max(new, Decimal("0.01"))
            recorded.append(change | {"field": "price", "old": values[0], "new": values[1]})
        else:
            amount = 0 if chance.random() < 0.1 else chance.randrange(0, 2000)
            amount = UNLIMITED if product_id % 19 == 11 and chance.random() < 0.3 else amount
            recorded.append(change | {"field": "stock", "old": stock[product_id], "new": amount})
            stock[product_id] = amount
    stored = [_product(n, price[n], stock[n], chance) for n in price]
    return Market(stored, recorded, [_crawl(n, chance) for n in range(14)], NOW)


def _promotion(number: int, price: Decimal) -> dict[str, Any]:
    lower = Decimal128((price * 9 / 10).quantize(Decimal("0.01")))
    values = (None, lower) if number % 100 == 7 else (lower, None)
    return {"field": "promotion_price", "old": values[0], "new": values[1]}


def _product(number: int, price: Decimal, stock: int, chance: random.Random) -> dict[str, Any]:
    return {
        "_id": number,
        "product_id": number,
        "name": chance.choice(NAMES),
        "supplier": f"义乌市{number % 97}号厂",
        "price": Decimal128(price),
        "stock": stock,
        "status": "published",
        "url": f"https://detail.1688.com/offer/{number}.html",
        "images": [f"https://cbu01.alicdn.com/img/ibank/{number}.jpg"],
        "price_private": False,
        "fetched_at": NOW - timedelta(seconds=chance.randrange(4 * 86400)),
        "first_seen_at": NOW - timedelta(days=chance.randrange(90), seconds=1),
    }


def _crawl(number: int, chance: random.Random) -> dict[str, Any]:
    calls = chance.randrange(500, 10_000)
    ended = NOW - timedelta(hours=12 * number + 1)
    return {
        "spider": "watch" if number % 3 else "product",
        "started_at": ended - timedelta(seconds=chance.randrange(60, 40_000)),
        "finished_at": ended,
        "reason": "finished" if number != 2 else "quota_exhausted",
        "stats": {
            "ali1688/calls": calls,
            "ali1688/cache/hit": calls // 20,
            "ali1688/retries": calls // 50,
            "ali1688/errors/rate_limit": calls // 60,
            "ali1688/errors/item_gone": calls // 300,
            "ali1688/items/stored": calls,
            "ali1688/items/changed": calls // 8,
            "ali1688/items/unchanged": calls - calls // 8,
            "ali1688/items/rejected": calls // 500,
            "ali1688/quota/wait_seconds": calls / 2.3,
            "ali1688/failed_calls": calls // 1000,
        },
    }


@pytest.fixture(scope="session")
def big_market() -> Market:
    """10,000 products and 100,000 changes."""
    return make_market(10_000, 100_000)


@pytest.fixture(scope="session")
def small_market() -> Market:
    """300 products and 3,000 changes."""
    return make_market(300, 3_000)
