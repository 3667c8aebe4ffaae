from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from scrapy import Spider
from scrapy.utils.test import get_crawler

from ali1688_spider import settings as defaults
from ali1688_spider.scheduling.dupefilter import EXPIRY_SECONDS, MemoryDupeFilter, RedisDupeFilter
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


def redis_filter(redis_url: str) -> RedisDupeFilter:
    """The filter as a worker of the spider ``search`` has it."""
    settings = {
        "ADDONS": defaults.ADDONS,
        "ALI1688_APP_KEY": "1000000",
        "ALI1688_APP_SECRET": "test123",
        "REDIS_URL": redis_url,
    }
    return RedisDupeFilter.from_spider(Spider.from_crawler(get_crawler(None, settings), "search"))


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.programs)])
def filters(request: pytest.FixtureRequest) -> Iterator[list[Any]]:
    """Two that know the same: of two workers, or one and the same."""
    if request.param == "memory":
        yield [MemoryDupeFilter()] * 2
        return
    workers = [redis_filter(request.getfixturevalue("redis_url")) for _ in range(2)]
    yield workers
    for worker in workers:
        worker.server.close()


async def test_the_page_that_shows_a_product_first_is_known(filters: list[Any]) -> None:
    one, other = filters
    assert await one.first_pages("a", "1", [7, 8]) == {7: "1", 8: "1"}
    assert await other.first_pages("a", "2", [8, 9]) == {8: "1", 9: "2"}
    assert await one.first_pages("a", "1", [7, 9]) == {7: "1", 9: "2"}
    assert await one.first_pages("b", "2", [8]) == {8: "2"}
    assert await one.first_pages("b", "2", []) == {}


async def test_a_search_that_begins_again_has_shown_nothing(filters: list[Any]) -> None:
    one, other = filters
    await one.first_pages("a", "2", [7])
    await one.first_pages("b", "2", [7])
    assert await other.first_pages("a", "1", [7, 8], begins=True) == {7: "1", 8: "1"}
    assert await one.first_pages("a", "2", [7]) == {7: "1"}
    assert await one.first_pages("b", "1", [7]) == {7: "2"}


async def test_without_redis_the_oldest_products_are_forgotten() -> None:
    dupefilter = MemoryDupeFilter(most=3)
    await dupefilter.first_pages("a", "1", [1, 2])
    await dupefilter.first_pages("b", "1", [1, 2])
    assert await dupefilter.first_pages("b", "2", [1, 2]) == {1: "1", 2: "1"}
    assert await dupefilter.first_pages("a", "2", [2]) == {2: "1"}
    assert await dupefilter.first_pages("a", "2", [1]) == {1: "2"}


async def test_redis_forgets_a_search_some_time_after_its_last_page(redis_url: str) -> None:
    dupefilter = redis_filter(redis_url)
    client = Redis.from_url(redis_url)
    await dupefilter.first_pages("a", "1", [1])
    client.expire("search:dupefilter:a", 60)
    await dupefilter.first_pages("a", "2", [2])
    assert EXPIRY_SECONDS - 60 < client.ttl("search:dupefilter:a") <= EXPIRY_SECONDS
    client.close()
    dupefilter.server.close()


async def test_every_product_is_new_while_redis_cannot_be_asked() -> None:
    dupefilter = redis_filter(f"redis://127.0.0.1:{free_port()}")
    assert await dupefilter.first_pages("a", "2", [7, 8]) == {7: "2", 8: "2"}
    assert dupefilter.stats.get_value("ali1688/search/unfiltered_pages") == 1


async def test_every_product_is_new_while_the_key_holds_something_else(redis_url: str) -> None:
    dupefilter = redis_filter(redis_url)
    dupefilter.server.set("search:dupefilter:a", "?")
    assert await dupefilter.first_pages("a", "2", [7]) == {7: "2"}
    assert dupefilter.stats.get_value("ali1688/search/unfiltered_pages") == 1
    assert await dupefilter.first_pages("a", "1", [7], begins=True) == {7: "1"}
    assert await dupefilter.first_pages("a", "2", [7]) == {7: "1"}
    dupefilter.server.close()
