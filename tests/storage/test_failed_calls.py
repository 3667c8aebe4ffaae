from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from redis import Redis

from ali1688_spider.storage.database import connect, mongo_retry
from ali1688_spider.storage.database_errors import StoreUnavailableError
from ali1688_spider.storage.failed_calls import (
    KEY,
    FailedCall,
    FileFailedCallStore,
    RedisFailedCallStore,
    failed_call_store,
)
from tests.full_disk import largest_file
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ali1688_spider.storage.database import Database
    from ali1688_spider.storage.failed_calls import FailedCallStore

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
async def place(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Database | Redis | Path]:
    """Where a store keeps failed calls."""
    if request.param == "mongo":
        addresses = map(request.getfixturevalue, ("mongo_uri", "mongo_database"))
        database = connect(*addresses)
        yield database
        await database.client.close()
    elif request.param == "redis":
        with Redis.from_url(request.getfixturevalue("redis_url")) as redis:
            yield redis
    else:
        yield tmp_path / "ali1688"


@pytest.fixture
def store(place: Database | Redis | Path) -> FailedCallStore:
    match place:
        case Path():
            return failed_call_store(None, mongo_retry(), None, place)
        case Redis():
            return failed_call_store(None, mongo_retry(), place, Path("unused"))
    return failed_call_store(place, mongo_retry(), None, Path("unused"))


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


async def test_keeping_many_at_once(store: FailedCallStore) -> None:
    await store.keep_all([])
    assert await kept(store) == []
    calls = [replace_call(FAILED, str(number)) for number in range(300)]
    await store.keep_all([*calls, *calls[:10]])
    await store.keep_all(calls[-10:])
    assert sorted(int(failed.call) for failed in await kept(store)) == list(range(300))


async def test_removing_while_they_are_listed(store: FailedCallStore) -> None:
    # Some thousand at the same millisecond, as a worker keeps what is malformed.
    calls = [
        replace_call(FAILED, str(number), at=FAILED.at + timedelta(seconds=max(0, number - 1300)))
        for number in range(2300)
    ]
    await store.keep_all(calls)
    seen: list[FailedCall] = []
    async for failed in store.list():
        seen.append(failed)
        if len(seen) % 100 == 0:
            await store.remove(seen[-50:])
    assert sorted(int(failed.call) for failed in seen) == list(range(2300))
    assert len(await kept(store)) == 1150


def replace_call(failed: FailedCall, call: str, **values: Any) -> FailedCall:
    return FailedCall(**{**failed.model_dump(), "call": call, **values})


async def test_what_cannot_be_read_is_counted_and_stays(
    store: FailedCallStore, place: Database | Redis | Path
) -> None:
    await store.keep_all([FAILED, MALFORMED])
    texts = [b"\xff\x00", b"[]", b'{"at": "2026-11-23T12:00:00"}', b'{"at": 1}', b"[" * 99_999]
    match place:
        case Path():
            file = place / "failed_calls.jsonl"
            half = FAILED.to_json().encode()[:70]  # a crash in the midst of writing
            file.write_bytes(b"\n".join([file.read_bytes(), *texts, half]))
        case Redis() as redis:
            redis.zadd(KEY, {text: float(number) for number, text in enumerate(texts)})
        case _:
            await place["failed_calls"].insert_many(
                [
                    {"at": FAILED.at},
                    {**FAILED.model_dump(), "spam": 1},
                    {**FAILED.model_dump(), "call": 7},
                ]
            )
    another = replace_call(FAILED, "another", at=MALFORMED.at + timedelta(seconds=1))
    await store.keep(another)
    assert await kept(store) == [FAILED, MALFORMED, another]
    unreadable = store.unreadable
    assert unreadable >= 3
    await store.remove([FAILED, another])
    assert await kept(store) == [MALFORMED]
    assert store.unreadable == unreadable


async def test_counting_them_and_the_latest(store: FailedCallStore) -> None:
    assert await store.count() == 0
    assert await store.count(FAILED.at) == 0
    assert await store.latest(5) == []
    calls = [
        replace_call(FAILED, str(number), at=FAILED.at + timedelta(seconds=number))
        for number in range(30)
    ]
    await store.keep_all([*calls, calls[3]])
    assert await store.count() == 30
    assert await store.count(FAILED.at + timedelta(seconds=20)) == 10
    assert await store.count(FAILED.at + timedelta(seconds=30)) == 0
    assert await store.latest(5) == [*reversed(calls[-5:])]
    assert await store.latest(100) == [*reversed(calls)]
    await store.remove(calls[28:])
    assert await store.count() == 28
    assert await store.latest(1) == [calls[27]]


async def test_the_latest_of_the_same_moment(store: FailedCallStore) -> None:
    same = [replace_call(FAILED, str(number)) for number in range(20)]
    before = replace_call(FAILED, "before", at=FAILED.at - timedelta(milliseconds=1))
    await store.keep_all([before, *same])
    assert await store.count(FAILED.at) == 20
    latest = await store.latest(20)
    assert sorted(int(each.call) for each in latest) == list(range(20))
    assert (await store.latest(21))[-1] == before


async def test_what_cannot_be_read_is_not_among_the_latest(
    store: FailedCallStore, place: Database | Redis | Path
) -> None:
    await store.keep_all([FAILED, MALFORMED])
    match place:
        case Path():
            with (place / "failed_calls.jsonl").open("ab") as file:
                file.write(b"\xff\x00\n[]\n{}\nhalf a li")
        case Redis() as redis:
            redis.zadd(KEY, {b"\xff\x00": float("inf"), b"[]": 1e300, b"{}": -1.0})
        case _:
            later = MALFORMED.at + timedelta(seconds=1)
            garbage = [{"at": later}, {"at": "noon"}, {"at": None}, {"at": later, "call": 7}, {}]
            await place["failed_calls"].insert_many(garbage)
    assert await store.latest(10) == [MALFORMED, FAILED]
    assert await store.count(FAILED.at) >= 2


async def test_redis_forgets_the_oldest(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with Redis.from_url(redis_url) as redis:
        store = RedisFailedCallStore(redis, most=1)
        await store.keep(FAILED)
        assert caplog.messages == []
        await store.keep(MALFORMED)
        assert await kept(store) == [MALFORMED]
    assert caplog.messages == ["More than 1 calls have failed; the oldest is forgotten"]


async def test_redis_away() -> None:
    with Redis.from_url(f"redis://127.0.0.1:{free_port()}") as redis:
        store = RedisFailedCallStore(redis)
        with pytest.raises(StoreUnavailableError, match=r"^Redis does not answer"):
            await store.keep(FAILED)


async def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "in_the_way").write_text("")
    store = FileFailedCallStore(tmp_path / "in_the_way")
    with pytest.raises(StoreUnavailableError, match="cannot be written"):
        await store.keep(FAILED)


async def test_a_full_disk_tears_no_line(tmp_path: Path) -> None:
    store = FileFailedCallStore(tmp_path)
    await store.keep(FAILED)
    with largest_file(len(FAILED.to_json()) + 100):
        with pytest.raises(StoreUnavailableError, match="cannot be written"):
            await store.keep(MALFORMED)
        with pytest.raises(StoreUnavailableError, match="cannot be written"):
            await store.keep_all([FAILED] * 100)
    assert await kept(store) == [FAILED]
    assert store.unreadable == 0


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "ali1688"
    folder.mkdir(mode=0o755)
    file = folder / "failed_calls.jsonl"
    file.touch(mode=0o644)
    store = FileFailedCallStore(folder)
    for change in (store.keep_all, store.remove):
        await change([FAILED])
        assert {path.name: mode(path) for path in folder.iterdir()} == {
            "failed_calls.jsonl": 0o600,
            "failed_calls.lock": 0o600,
        }
    assert mode(folder) == 0o700


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777
