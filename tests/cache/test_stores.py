from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from ali1688_spider.cache.response_cache import cache_key
from ali1688_spider.cache.stores import DiskStore, RedisStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Store = DiskStore | RedisStore

HOUR = 3600.0


@pytest.fixture(params=["disk", pytest.param("redis", marks=pytest.mark.programs)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "disk":
        with closing(DiskStore(tmp_path / "folder" / "cache.sqlite")) as disk:
            yield disk
        return
    with Redis.from_url(request.getfixturevalue("redis_url")) as client:
        yield RedisStore(client)


def test_what_is_kept_comes_back(store: Store) -> None:
    assert store.get_many(["a", "b"]) == [None, None]
    store.put_many({"a": b"1", "b": b"\x00\xff"}, HOUR)
    store.put_many({"a": b"2"}, HOUR)
    assert store.get_many(["b", "c", "a", "b"]) == [b"\x00\xff", None, b"2", b"\x00\xff"]


def test_a_lifetime_ends(store: Store) -> None:
    store.put_many({"long": b"1"}, HOUR)
    store.put_many({"short": b"2"}, 0.001)
    deadline = time.monotonic() + 5
    while store.get_many(["short"]) != [None]:
        assert time.monotonic() < deadline
    assert store.get_many(["long"]) == [b"1"]


def test_crawls_share_the_file_and_the_next_one_forgets_what_is_over(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    with closing(DiskStore(path)) as one, closing(DiskStore(path)) as other:
        one.put_many({"a": b"1"}, HOUR)
        one.put_many({"b": b"2"}, -1)
        other.put_many({"c": b"3"}, HOUR)
        assert other.get_many(["a", "b", "c"]) == [b"1", None, b"3"]
    with closing(DiskStore(path)) as next_one:
        (count,) = next_one._connection.execute("SELECT count(*) FROM answers").fetchone()
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
