from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from scrapy.settings import Settings

from ali1688_spider.configuration import Configuration
from ali1688_spider.servers import free_port
from ali1688_spider.storage.errors import StoreUnavailableError
from ali1688_spider.storage.failed_call import FailedCall
from ali1688_spider.storage.failed_calls import failed_call_store
from ali1688_spider.storage.file_failed_calls import FileFailedCallStore
from ali1688_spider.storage.redis_failed_calls import RedisFailedCallStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ali1688_spider.storage.failed_call import FailedCallStore

FAILED = FailedCall(
    spider="product",
    call="610000000001",
    api="alibaba.product.get",
    params={"product_id": 610000000001},
    error="isp.remote-service-timeout: 服务超时",
    attempts=5,
    at=datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC),
)
MALFORMED = FailedCall(
    spider="product",
    call="half a pair: \ud800",
    api="",
    params={},
    error="not a product id: \ud800",
    attempts=0,
    at=datetime(2026, 11, 23, 13, tzinfo=UTC),
)


@pytest_asyncio.fixture(
    params=[
        pytest.param("mongo", marks=pytest.mark.programs),
        pytest.param("redis", marks=pytest.mark.programs),
        "file",
    ]
)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FailedCallStore]:
    settings = Settings({"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "test123"})
    settings.setmodule("ali1688_spider.settings", priority="default")
    configuration = replace(Configuration.from_settings(settings), mongo_uri="", redis_url="")
    if request.param == "redis":
        redis_url = request.getfixturevalue("redis_url")
        configuration = replace(configuration, redis_url=redis_url)
    if request.param == "mongo":
        configuration = replace(
            configuration,
            mongo_uri=request.getfixturevalue("mongo_uri"),
            mongo_database=request.getfixturevalue("mongo_database"),
        )
    store = failed_call_store(configuration, folder=tmp_path / "ali1688")
    yield store
    await store.close()


async def kept(store: FailedCallStore) -> list[FailedCall]:
    return [failed async for failed in store.list()]


async def test_keeping_and_removing(store: FailedCallStore) -> None:
    assert await kept(store) == []
    for failed in (FAILED, MALFORMED, FAILED):
        await store.keep(failed)
    assert await kept(store) == [FAILED, MALFORMED]
    assert FAILED.at.microsecond == 123000
    assert MALFORMED.call == "half a pair: \\ud800"
    await store.remove([FAILED])
    assert await kept(store) == [MALFORMED]
    await store.remove([FAILED, MALFORMED])
    assert await kept(store) == []


async def test_keeping_at_the_same_time(store: FailedCallStore) -> None:
    calls = [replace_call(FAILED, str(number)) for number in range(50)]
    await asyncio.gather(*map(store.keep, calls))
    assert sorted(int(failed.call) for failed in await kept(store)) == list(range(50))
    await store.remove(calls[10:])
    assert sorted(int(failed.call) for failed in await kept(store)) == list(range(10))


def replace_call(failed: FailedCall, call: str) -> FailedCall:
    return FailedCall(**{**failed.values(), "call": call})


async def test_redis_forgets_the_oldest(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    store = RedisFailedCallStore(Redis.from_url(redis_url), most=1)
    await store.keep(FAILED)
    assert caplog.messages == []
    await store.keep(MALFORMED)
    assert await kept(store) == [MALFORMED]
    assert caplog.messages == ["More than 1 calls have failed; the oldest is forgotten"]
    await store.close()


async def test_redis_away() -> None:
    store = RedisFailedCallStore(Redis.from_url(f"redis://127.0.0.1:{free_port()}"))
    with pytest.raises(StoreUnavailableError, match=r"^Redis does not answer"):
        await store.keep(FAILED)
    await store.close()


async def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "in_the_way").write_text("")
    store = FileFailedCallStore(tmp_path / "in_the_way")
    with pytest.raises(StoreUnavailableError, match="cannot be written"):
        await store.keep(FAILED)
