from __future__ import annotations

import asyncio
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.cache.response_cache import MOST_WAITING, CachedResponse, ResponseCache
from ali1688_spider.cache.stores import DiskStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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
