"""Answers are reused within their lifetime, and only those."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from ali1688_spider.caching.answer_cache import CachedAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.integration.conftest import Gateway, Scrapy

    Settings = Callable[[str], dict[str, str]]
    Ids = Callable[[int], Sequence[int]]


def listed(ids: Sequence[int]) -> str:
    return ",".join(map(str, ids))


@pytest.mark.parametrize("with_redis", [False, True])
def test_the_same_crawl_makes_no_call_within_the_lifetime(
    *,
    with_redis: bool,
    scrapy: Scrapy,
    gateway: Gateway,
    settings_for: Settings,
    ids: Ids,
    redis_url: str,
) -> None:
    wanted = ids(40)
    settings = settings_for("param2") | {"REDIS_URL": redis_url if with_redis else ""}
    arguments = ("product", "-a", f"ids={listed(wanted)}")
    cached = settings | {"ALI1688_CACHE_TTL": "600"}
    gateway.product(wanted[0], removed=True)
    gateway.fail(product_id=wanted[1], faults=["business-error"])
    gateway.fail(product_id=wanted[2], faults=["html"])

    first = scrapy.crawl(*arguments, "-O", "first.jsonl", **cached)
    assert first.stats["ali1688/cache/miss"] == first.stats["ali1688/calls"] == 42
    assert "ali1688/cache/hit" not in first.stats

    gateway.count_anew()
    again = scrapy.crawl(*arguments, "-O", "again.jsonl", **cached)
    assert gateway.status()["calls"] == 0
    assert again.stats["ali1688/cache/hit"] == 40
    assert again.stats["ali1688/quota/slots_used"] == 0
    assert "ali1688/calls" not in again.stats
    assert again.read("again.jsonl") == first.read("first.jsonl")

    uncached = scrapy.crawl(*arguments, **settings)
    assert gateway.status()["calls"] == uncached.stats["ali1688/calls"] == 40


def test_what_is_cached_is_no_pickle_and_of_one_account(
    scrapy: Scrapy, gateway: Gateway, ids: Ids, redis_url: str
) -> None:
    settings = {"ALI1688_CACHE_TTL": "600", "REDIS_URL": redis_url}
    scrapy.crawl("product", "-a", f"ids={ids(1)[0]}", **settings)
    with Redis.from_url(redis_url) as redis:
        (key,) = redis.keys("ali1688:cache:*")
        data, lifetime = redis.get(key), redis.ttl(key)
    assert isinstance(data, bytes)
    assert CachedAnswer.decode(data) is not None
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(data)
    assert 500 < lifetime <= 600

    gateway.set(app_key="2000000")
    other = scrapy.crawl("product", "-a", f"ids={ids(1)[0]}", **settings, ALI1688_APP_KEY="2000000")
    assert gateway.status()["calls"] == 2
    assert other.stats["ali1688/cache/miss"] == 1
