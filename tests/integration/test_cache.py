"""Answers are reused within their lifetime, and only those."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from ali1688_spider.cache import CachedResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.harness import Gateway, Scrapy

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
    settings["ALI1688_CACHE_TTL"] = "600"
    arguments = ("product", "-a", f"ids={listed(wanted)}")
    gateway.product(wanted[0], removed=True)
    gateway.fail(product_id=wanted[1], faults=["business-error"])
    gateway.fail(product_id=wanted[2], faults=["html"])

    first = scrapy.crawl(*arguments, "-O", "first.jsonl", **settings)
    assert first.stats["ali1688/cache/miss"] == first.stats["ali1688/calls"] == 42
    assert "ali1688/cache/hit" not in first.stats

    gateway.reset_counts()
    again = scrapy.crawl(*arguments, "-O", "again.jsonl", **settings)
    assert gateway.status()["calls"] == 0
    assert again.stats["ali1688/cache/hit"] == 40
    assert again.stats["ali1688/quota/slots_used"] == 0
    assert "ali1688/calls" not in again.stats
    assert again.read("again.jsonl") == first.read("first.jsonl")


def test_what_is_cached_is_no_pickle_and_not_for_a_crawl_without_cache(
    scrapy: Scrapy, gateway: Gateway, ids: Ids, redis_url: str
) -> None:
    settings = {"ALI1688_CACHE_TTL": "600", "REDIS_URL": redis_url}
    arguments = ("product", "-a", f"ids={listed(ids(3))}")
    scrapy.crawl(*arguments, **settings)
    with Redis.from_url(redis_url) as redis:
        key, *others = redis.keys("ali1688:cache:*")
        data, lifetime = redis.get(key), redis.ttl(key)
    assert len(others) == 2
    assert isinstance(data, bytes)
    assert CachedResponse.decode(data) is not None
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(data)
    assert 500 < lifetime <= 600

    off = scrapy.crawl(*arguments, **settings | {"ALI1688_CACHE_TTL": "0"})
    assert gateway.status()["calls"] == 6
    assert "ali1688/cache/hit" not in off.stats
