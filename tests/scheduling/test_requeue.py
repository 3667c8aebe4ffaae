from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.exceptions import RedisError
from scrapy.settings import Settings

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.queue import open_queue
from ali1688_spider.scheduling.requeue import is_call, requeue
from ali1688_spider.storage.failed_calls import FailedCall, RedisFailedCallStore
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def store(server: redis.Redis) -> RedisFailedCallStore:
    return RedisFailedCallStore(server)


def settings(redis_url: str) -> Settings:
    settings = Settings()
    settings.setmodule("ali1688_spider.settings", priority="project")
    settings.set("REDIS_URL", redis_url, priority="cmdline")
    return settings


def failed(call: str, api: str = "alibaba.product.get") -> FailedCall:
    values: dict[str, Any] = {"params": {}, "error": "no answer", "attempts": 5}
    return FailedCall(spider="product", call=call, api=api, at=datetime.now(UTC), **values)


async def kept(store: RedisFailedCallStore) -> list[str]:
    return [call.call async for call in store.list()]


async def test_they_return_to_the_queue_of_their_spider(
    redis_url: str, server: redis.Redis, store: RedisFailedCallStore
) -> None:
    calls = [failed(str(number)) for number in (610000000001, 610000000002, 610000000003)]
    await store.keep_all(calls)
    await requeue(settings(redis_url), store, calls[:2])
    assert await kept(store) == ["610000000003"]
    assert sorted(server.zrange("{product:start_urls}:requests", 0, -1)) == [
        b"610000000001",
        b"610000000002",
    ]
    await requeue(settings(redis_url), store, calls[:2])  # as after a crash in between
    assert len(open_queue(settings(redis_url), "product")) == 2


async def test_a_redis_that_is_away_loses_none(store: RedisFailedCallStore) -> None:
    calls = [failed("610000000001")]
    await store.keep_all(calls)
    with pytest.raises(RedisError):
        await requeue(settings(f"redis://127.0.0.1:{free_port()}/0"), store, calls)
    with pytest.raises(ConfigurationError, match="REDIS_URL is empty"):
        await requeue(settings(""), store, calls)
    assert await kept(store) == ["610000000001"]


@pytest.mark.parametrize(
    ("call", "api", "expected"),
    [
        ("610000000001", "alibaba.product.get", True),
        (ApiCall.search(keyword="x", page=1, page_size=20).encode(), "alibaba.search", True),
        ("nonsense", "", False),
        ("610000000001", "", False),  # a message that asks for none
        ("nonsense", "alibaba.product.get", False),
    ],
)
def test_what_is_a_call(call: str, api: str, *, expected: bool) -> None:
    assert is_call(failed(call, api)) is expected
