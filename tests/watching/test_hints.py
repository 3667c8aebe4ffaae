"""What is remembered of the platform's messages, in Redis and in the watch's file alike."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import redis

from ali1688_spider.gateway.messages import PlatformMessage
from ali1688_spider.watching import hints
from ali1688_spider.watching.hints import (
    ProblemLog,
    RedisHintStore,
    SqliteHintStore,
    keep_hints,
)
from ali1688_spider.watching.sqlite_store import SqliteWatchStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    Store = RedisHintStore | SqliteHintStore

KEY = "{watch:start_urls}:"


@pytest.fixture(params=["redis", "decoding", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> Iterator[Store]:
    """A store with the watched products 1 to 30, which were fetched."""
    if request.param == "file":
        path = tmp_path / "watch.sqlite"
        with closing(SqliteWatchStore(path)) as watched:
            watched.add([*range(1, 31), 99])
            watched.save([(each, "0123456789ab[1,0,0,0]", 9.0) for each in range(1, 31)])
        with closing(SqliteHintStore(path)) as file_store:
            yield file_store
        return
    with redis.Redis.from_url(redis_url, decode_responses=request.param == "decoding") as client:
        client.hset(f"{KEY}watched", mapping={str(each): "x" for each in range(1, 31)})
        yield RedisHintStore(client)


def test_messages_are_remembered(store: Store) -> None:
    assert store.unknown([]) == set()
    assert store.unknown(["5", "6"]) == {"5", "6"}
    assert store.last_kept() == {}
    assert store.remember(["5", "6"], "receive") == 2
    assert store.remember(["6", "7"], "poll") == 1
    assert store.unknown(["5", "6", "7", "8"]) == {"8"}
    times = store.last_kept()
    assert set(times) == {"receive", "poll"}
    assert 1.7e9 < times["receive"] <= times["poll"]


def test_they_are_forgotten_after_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.remember(["5"], "poll")
    monkeypatch.setattr(hints, "REMEMBERED_SECONDS", -10.0)
    if isinstance(store, RedisHintStore):
        monkeypatch.setattr(hints, "REMEMBERED_SECONDS", 0.001)
        while store.unknown(["5"]) == set():
            store.remember(["6"], "poll")
    store.remember(["6"], "poll")
    assert store.unknown(["5"]) == {"5"}


def without(store: Store, relation: hints.Relation) -> list[int]:
    """Return all products without a relation, looked for in steps."""
    found: list[int] = []
    cursor = 0
    while True:
        some, cursor = store.without(relation, cursor, 7)
        found += some
        if not cursor:
            return sorted(found)


def test_products_have_each_relation_once(store: Store) -> None:
    assert without(store, "listed") == without(store, "followed") == [*range(1, 31)]
    store.relate("listed", [1, 2, 3])
    store.relate("listed", [3, 4])
    store.relate("followed", [30])
    assert without(store, "listed") == [*range(5, 31)]
    assert without(store, "followed") == [*range(1, 30)]


def test_a_task_belongs_to_one_worker(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        store = RedisHintStore(client)
        assert store.hold("poller", "one", 60)
        assert store.hold("poller", "one", 60)
        assert not store.hold("poller", "two", 60)
        assert store.hold("follower", "two", 60)
        store.let_go("poller", "two")
        assert not store.hold("poller", "two", 60)
        store.let_go("poller", "one")
        assert store.hold("poller", "two", 0.001)
        while not store.hold("poller", "one", 60):  # a worker that was killed lets go of nothing
            pass


def test_broken_keys_are_set_aside(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(f"{KEY}messages", "x")
        client.set(f"{KEY}followed", "x")
        store = RedisHintStore(client)
        assert store.unknown(["5"]) == {"5"}
        assert store.remember(["5"], "poll") == 1
        store.relate("followed", [1])
        assert len(client.keys(f"{KEY}*:broken:*")) == 2
        assert client.pttl(f"{KEY}messages") > 0


def of(number: int, *product_ids: int) -> PlatformMessage:
    return PlatformMessage(str(number), "FENXIAO_PRICE_CHANGE", product_ids, is_known=True)


class Watched:
    """Notes which products are hinted; those below 10 are watched."""

    def __init__(self, *errors: Exception) -> None:
        self.hinted: list[list[int]] = []
        self._errors = list(errors)

    async def hint(self, product_ids: Sequence[int]) -> int:
        if self._errors:
            raise self._errors.pop()
        self.hinted.append(list(product_ids))
        return sum(each < 10 for each in product_ids)


async def kept(store: Store, watched: Watched, *messages: PlatformMessage) -> Any:
    return await keep_hints(messages, "poll", store, watched.hint, asyncio.to_thread)


async def test_each_message_hints_once(store: Store) -> None:
    watched = Watched()
    assert await kept(store, watched, of(1, 5, 20), of(2, 5, 6), of(1, 5, 20)) == (2, 1, 2, 1)
    assert watched.hinted == [[5, 20, 6]]
    assert await kept(store, watched, of(2, 5, 6), of(3)) == (1, 1, 0, 0)
    assert watched.hinted == [[5, 20, 6]]


async def test_what_could_not_be_hinted_is_not_remembered(store: Store) -> None:
    watched = Watched(sqlite3.OperationalError("locked"))
    with pytest.raises(sqlite3.OperationalError):
        await kept(store, watched, of(1, 5))
    assert store.last_kept() == {}
    assert await kept(store, watched, of(1, 5)) == (1, 0, 1, 0)


def test_a_problem_is_a_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    log = ProblemLog()
    for topic in ("A", "A", "B", ""):
        log.note(topic, "data is no object")
    assert [record.levelname for record in caplog.records] == [
        *("WARNING", "DEBUG", "WARNING", "WARNING"),
    ]
    assert caplog.messages[0] == (
        "A message of the platform cannot be used (A): data is no object. The statistics count "
        "further ones"
    )
