from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from ali1688_spider.delivery.redis_stream import REMEMBERED, STREAM, RedisStream
from ali1688_spider.storage.database_errors import StoreUnavailableError
from tests.delivery.observed import price_change
from tests.ports import free_port

if TYPE_CHECKING:
    from ali1688_spider.storage.changes import Change


def entries(redis: Redis) -> list[Any]:
    found: Any = redis.xrange(STREAM)
    return [json.loads(fields["change"]) for _, fields in found]


async def test_a_change_is_an_entry(redis: Redis) -> None:
    await RedisStream(redis).publish([price_change(7)])
    assert entries(redis) == [
        {
            "id": "7::price:0",
            "product_id": 7,
            "sku_id": None,
            "field": "price",
            "old": "10.00",
            "new": "8.00",
            "percent": -20.0,
            "at": "2026-11-23T12:00:07.000Z",
        }
    ]


async def test_each_change_is_there_once_however_often_it_comes(redis: Redis) -> None:
    stream = RedisStream(redis)
    changes: list[Change] = [price_change(number) for number in range(450)]
    await asyncio.gather(
        stream.publish(changes), stream.publish(changes[100:]), stream.publish(changes)
    )
    await stream.publish(changes[:5])
    assert sorted(entry["product_id"] for entry in entries(redis)) == list(range(450))


async def test_the_stream_and_its_memory_are_trimmed(redis: Redis) -> None:
    stream = RedisStream(redis, length=100)
    for number in range(0, 1000, 50):
        await stream.publish([price_change(number + i) for i in range(50)])
    assert 100 <= redis.xlen(STREAM) <= 250
    assert redis.zcard(REMEMBERED) == 100
    assert [entry["product_id"] for entry in entries(redis)][-1] == 999
    assert redis.zrange(REMEMBERED, -1, -1) == ["999::price:0"]


@pytest.mark.parametrize("key", [STREAM, REMEMBERED])
async def test_a_key_of_another_type_loses_nothing(redis: Redis, key: str) -> None:
    stream = RedisStream(redis)
    redis.set(key, "of another program's")
    with pytest.raises(StoreUnavailableError, match=r"^Redis refuses the key .* see to them$"):
        await stream.publish([price_change(1), price_change(2)])
    redis.delete(key)
    await stream.publish([price_change(1), price_change(2)])
    assert [entry["product_id"] for entry in entries(redis)] == [1, 2]


async def test_redis_away() -> None:
    with (
        Redis.from_url(f"redis://127.0.0.1:{free_port()}") as redis,
        pytest.raises(StoreUnavailableError, match=r"^Redis does not answer .*start it, or "),
    ):
        await RedisStream(redis).publish([price_change(1)])
