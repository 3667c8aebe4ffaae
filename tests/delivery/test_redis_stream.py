from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from ali1688_spider.delivery.redis_stream import REMEMBERED, STREAM, RedisStream
from ali1688_spider.servers import free_port
from ali1688_spider.storage.errors import StoreUnavailableError
from tests.delivery.observed import price_change

if TYPE_CHECKING:
    from ali1688_spider.storage.change import Change


async def entries(redis: Redis) -> list[Any]:
    found: Any = await redis.xrange(STREAM)
    return [json.loads(fields["change"]) for _, fields in found]


async def test_a_change_is_an_entry(redis: Redis) -> None:
    await RedisStream(redis).deliver([price_change(7)])
    assert await entries(redis) == [
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
        stream.deliver(changes), stream.deliver(changes[100:]), stream.deliver(changes)
    )
    await stream.deliver(changes[:5])
    assert sorted(entry["product_id"] for entry in await entries(redis)) == list(range(450))


async def test_the_stream_and_its_memory_are_trimmed(redis: Redis) -> None:
    stream = RedisStream(redis, length=100)
    for number in range(0, 1000, 50):
        await stream.deliver([price_change(number + i) for i in range(50)])
    assert 100 <= await redis.xlen(STREAM) <= 250
    assert await redis.zcard(REMEMBERED) == 100
    assert [entry["product_id"] for entry in await entries(redis)][-1] == 999
    assert await redis.zrange(REMEMBERED, -1, -1) == ["999::price:0"]


async def test_redis_away() -> None:
    async with Redis.from_url(f"redis://127.0.0.1:{free_port()}") as redis:
        with pytest.raises(StoreUnavailableError, match=r"^Redis takes no changes"):
            await RedisStream(redis).deliver([price_change(1)])
