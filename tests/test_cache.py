from __future__ import annotations

import asyncio
import sqlite3
import time
import zlib
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from ali1688_spider.cache import (
    MOST_WAITING,
    CachedResponse,
    DiskStore,
    RedisStore,
    ResponseCache,
    cache_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    AnyStore = DiskStore | RedisStore

HOUR = 3600.0
AT = datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC)


class Store(DiskStore):
    """Remembers what was written together; fails while *failure* is set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.batches: list[list[str]] = []
        self.failure: Exception | None = None

    def put_many(self, responses: Mapping[str, bytes], seconds: float) -> None:
        assert seconds == 60
        if self.failure:
            raise self.failure
        self.batches.append(list(responses))
        super().put_many(responses, seconds)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache.sqlite")


def response(body: bytes) -> CachedResponse:
    return CachedResponse(body, AT, "application/json;charset=GBK")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"a\nb\n", bytes(range(256)), b'{"n": "' + b"x" * 5000 + b'"}']
)
def test_a_response_comes_back_as_it_was(body: bytes) -> None:
    assert CachedResponse.decode(response(body).encode()) == response(body)


def test_a_large_response_is_kept_small() -> None:
    assert len(response(b"x" * 5000).encode()) < 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no",
        zlib.compress(b"{}"),
        zlib.compress(b"[]\n{}"),
        zlib.compress(b'{"fetched_at": "x"}\n'),
    ],
)
def test_what_others_wrote_is_ignored(data: bytes) -> None:
    assert CachedResponse.decode(data) is None


async def test_responses_are_written_together_and_there_at_once(store: Store) -> None:
    failures: list[Exception] = []
    cache = ResponseCache(store, 60, failures.append)
    cache.put("a", response(b"1"))
    cache.put("b", response(b"2"))
    assert store.batches == []
    assert await cache.get("a") == response(b"1")
    await cache.close()
    assert store.batches == [["a", "b"]]
    assert failures == []


async def test_a_store_that_fails_is_reported_and_tried_again(store: Store) -> None:
    failures = asyncio.Queue[Exception]()
    cache = ResponseCache(store, 60, failures.put_nowait)
    store.failure = ConnectionError("away")
    cache.put("a", response(b"1"))
    assert await failures.get() is store.failure
    store.failure = None
    assert await cache.get("a") is None
    cache.put("b", response(b"2"))
    await cache.close()
    assert store.batches == [["b"]]


async def test_not_more_wait_than_memory_should_hold(store: Store) -> None:
    cache = ResponseCache(store, 60, print)
    for number in range(MOST_WAITING + 5):
        cache.put(str(number), response(b""))
    await cache.close()
    assert [len(batch) for batch in store.batches] == [MOST_WAITING]


async def test_responses_on_disk_are_there_for_the_next_crawl(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        cache = ResponseCache(DiskStore(tmp_path / "cache.sqlite"), 60, print)
        found.append(await cache.get("a"))
        cache.put("a", response(b"1"))
        await cache.close()
    assert found == [None, response(b"1")]


@pytest.fixture(params=["disk", pytest.param("redis", marks=pytest.mark.programs)])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyStore]:
    if request.param == "disk":
        with closing(DiskStore(tmp_path / "folder" / "cache.sqlite")) as disk:
            yield disk
        return
    with Redis.from_url(request.getfixturevalue("redis_url")) as client:
        yield RedisStore(client)


def test_what_is_kept_comes_back(any_store: AnyStore) -> None:
    assert any_store.get_many(["a", "b"]) == [None, None]
    any_store.put_many({"a": b"1", "b": b"\x00\xff"}, HOUR)
    any_store.put_many({"a": b"2"}, HOUR)
    assert any_store.get_many(["b", "c", "a", "b"]) == [b"\x00\xff", None, b"2", b"\x00\xff"]


def test_a_lifetime_ends(any_store: AnyStore) -> None:
    any_store.put_many({"long": b"1"}, HOUR)
    any_store.put_many({"short": b"2"}, 0.001)
    deadline = time.monotonic() + 5
    while any_store.get_many(["short"]) != [None]:
        assert time.monotonic() < deadline
    assert any_store.get_many(["long"]) == [b"1"]


def test_crawls_share_the_file_and_the_next_one_forgets_what_is_over(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    with closing(DiskStore(path)) as one, closing(DiskStore(path)) as other:
        one.put_many({"a": b"1"}, HOUR)
        one.put_many({"b": b"2"}, -1)
        other.put_many({"c": b"3"}, HOUR)
        assert other.get_many(["a", "b", "c"]) == [b"1", None, b"3"]
    with closing(DiskStore(path)), closing(sqlite3.connect(path)) as file:
        (count,) = file.execute("SELECT count(*) FROM responses").fetchone()
    assert count == 2


def test_redis_forgets_by_itself(redis_url: str) -> None:
    with Redis.from_url(redis_url) as client:
        RedisStore(client).put_many({"a": b"1"}, 600)
        assert client.keys() == [b"ali1688:cache:a"]
        assert 590_000 < client.pttl("ali1688:cache:a") <= 600_000


def test_the_key_of_a_call() -> None:
    key = cache_key("account", "api", {"product_id": 1, "country": "en"})
    assert key == cache_key("account", "api", {"country": "en", "product_id": 1})
    others = [
        cache_key("account2", "api", {"product_id": 1, "country": "en"}),
        cache_key("account", "api2", {"product_id": 1, "country": "en"}),
        cache_key("account", "api", {"product_id": "1", "country": "en"}),
        cache_key("account", "api", {"product_id": 1}),
    ]
    assert len({key, *others}) == 5
    assert key.isalnum()


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "ali1688"
    folder.mkdir(mode=0o755)
    for name in ("cache.sqlite", "cache.sqlite-wal", "cache.sqlite-shm"):
        (folder / name).touch(mode=0o644)
    with closing(DiskStore(folder / "cache.sqlite")) as store:
        store.put_many({"a": b"1"}, HOUR)
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == dict.fromkeys(("cache.sqlite", "cache.sqlite-wal", "cache.sqlite-shm"), 0o600)
    assert folder.stat().st_mode & 0o777 == 0o700
