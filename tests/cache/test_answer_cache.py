from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.cache.answer_cache import MOST_WAITING, AnswerCache, CachedAnswer
from ali1688_spider.cache.disk_store import DiskAnswerStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

AT = datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC)


class MemoryStore:
    """Keeps answers in a dictionary; fails while it is told to."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.batches: list[list[str]] = []
        self.failure: Exception | None = None

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.kept.get(key) for key in keys]

    def put_many(self, answers: Mapping[str, bytes], seconds: float) -> None:
        assert seconds == 60
        if self.failure:
            raise self.failure
        self.batches.append(list(answers))
        self.kept.update(answers)

    def close(self) -> None:
        self.kept.clear()


async def run(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def answer(body: bytes) -> CachedAnswer:
    return CachedAnswer(body, AT, "application/json;charset=GBK")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"a\nb\n", bytes(range(256)), b'{"n": "' + b"x" * 5000 + b'"}']
)
def test_an_answer_comes_back_as_it_was(body: bytes) -> None:
    assert CachedAnswer.decode(answer(body).encode()) == answer(body)


def test_a_large_answer_is_kept_small() -> None:
    assert len(answer(b"x" * 5000).encode()) < 200


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b"[]\n{}", b"no", b'{"fetched_at": "x"}\n'])
def test_what_others_wrote_is_no_answer(data: bytes) -> None:
    assert CachedAnswer.decode(data) is None


async def test_answers_are_written_together_and_there_at_once() -> None:
    store, failures = MemoryStore(), list[Exception]()
    cache = AnswerCache(store, 60, run, failures.append)
    cache.put("a", answer(b"1"))
    cache.put("b", answer(b"2"))
    assert store.batches == []
    assert await cache.get("a") == answer(b"1")
    kept = store.kept = {}
    await cache.close()
    assert store.batches == [["a", "b"]]
    assert kept == {}
    assert failures == []


async def test_a_store_that_fails_is_reported_and_tried_again() -> None:
    store, failures = MemoryStore(), asyncio.Queue[Exception]()
    cache = AnswerCache(store, 60, run, failures.put_nowait)
    store.failure = ConnectionError("away")
    cache.put("a", answer(b"1"))
    assert await failures.get() is store.failure
    store.failure = None
    assert await cache.get("a") is None
    cache.put("b", answer(b"2"))
    await cache.close()
    assert store.batches == [["b"]]


async def test_not_more_wait_than_memory_should_hold() -> None:
    store = MemoryStore()
    cache = AnswerCache(store, 60, run, print)
    for number in range(MOST_WAITING + 5):
        cache.put(str(number), answer(b""))
    await cache.close()
    assert [len(batch) for batch in store.batches] == [MOST_WAITING]


async def test_answers_on_disk(tmp_path: Path) -> None:
    for _ in range(2):  # the second time they are there from the first
        cache = AnswerCache(DiskAnswerStore(tmp_path / "cache.sqlite"), 60, run, print)
        found = await cache.get("a")
        cache.put("a", answer(b"1"))
        await cache.close()
    assert found == answer(b"1")
