from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.cache import DiskStore
from ali1688_spider.watching.hints import SqliteHintStore
from ali1688_spider.watching.sqlite_store import SqliteWatchStore
from ali1688_spider.watching.watched_product import Hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FIRST, SECOND = "0123456789ab[1,0,0,0]", "0123456789ab[2,0,0,1]"
DELAY = 5000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "watch.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteWatchStore]:
    store = SqliteWatchStore(path)
    yield store
    store.close()


def test_products_are_due_at_once_and_kept(
    store: SqliteWatchStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(1_700_000_000)  # no two products are due at the same moment
    monkeypatch.setattr(time, "time", lambda: next(clock))
    assert store.add([3, 1]) == 2
    assert store.add([1, 2]) == 1
    assert store.load([1, 9]) == ["", ""]
    other = SqliteWatchStore(path)
    assert other.take_due(2, 60) == [3, 1]
    assert other.take_due(2, 60) == [2]
    assert other.take_due(2, 60) == []
    other.close()


def test_what_is_fetched_is_due_later(store: SqliteWatchStore) -> None:
    store.add([1, 2])
    assert store.take_due(9, 60) == [1, 2]
    store.save([(1, FIRST, DELAY), (2, FIRST, 0)])
    assert store.take_due(9, 60) == [2]
    assert store.load([1, 2]) == [FIRST, FIRST]
    store.save([(1, SECOND, DELAY)])
    assert store.load([1]) == [SECOND]
    watched, texts = store.sample(9)
    assert (watched, sorted(texts)) == (2, [FIRST, SECOND])
    assert store.sample(1)[1] in ([FIRST], [SECOND])


def test_what_a_process_left_is_due_again(
    store: SqliteWatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    store.add([1, 2, 3])
    store.take_due(9, 86_400)
    store.save([(2, FIRST, DELAY)])
    store.resume(100_000)
    assert store.take_due(9, 86_400) == [1, 3]
    monkeypatch.setattr(time, "time", lambda: now + DELAY - 1)
    assert store.take_due(9, 86_400) == []
    monkeypatch.setattr(time, "time", lambda: now + DELAY + 60)
    assert store.take_due(9, 86_400) == [2]
    monkeypatch.undo()
    store.resume(0)
    assert sorted(store.take_due(9, 86_400)) == [1, 2, 3]


def test_a_product_not_watched_any_longer(store: SqliteWatchStore) -> None:
    store.add([1, 2])
    store.save([(1, FIRST, 0), (2, FIRST, 0), (8, FIRST, 0)])
    assert store.load([8]) == [""]
    assert store.remove([]) == 0
    assert store.remove([2, 7]) == 1
    store.save([(2, SECOND, 0)])  # it was under way
    assert store.load([1, 2]) == [FIRST, ""]
    assert store.remove([1]) == 1
    assert store.sample(9) == (0, [])
    assert store.add([2]) == 1


def test_threads_and_processes_at_once(store: SqliteWatchStore, path: Path) -> None:
    others = [SqliteWatchStore(path) for _ in range(2)]

    def work(worker: int) -> None:
        each = (store, store, *others)[worker]
        for number in range(worker * 100, worker * 100 + 50):
            each.add([number])
            each.save([(number, FIRST, 0)])
            if number % 2:
                each.remove([number])

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    watched, texts = store.sample(999)
    assert (watched, texts) == (100, [FIRST] * 100)


def test_the_next_products_come_first(
    store: SqliteWatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 100.0)
    assert store.upcoming(5) == (0, [])
    store.add([1, 2, 3])
    store.save([(3, SECOND, DELAY), (2, FIRST, 60.0)])
    assert store.take_due(1, DELAY) == [1]
    watched, upcoming = store.upcoming(2)
    assert watched == 3
    assert [(each.product_id, each.due, each.interval) for each in upcoming] == [
        (1, None, None),
        (2, 160.0, 159.0),
    ]


@pytest.mark.parametrize("store", [SqliteWatchStore, SqliteHintStore, DiskStore])
def test_what_is_no_database_does_not_stay_open(
    store: Callable[[Path], object], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def note(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", note)
    with pytest.raises(sqlite3.DatabaseError):
        store(path)
    (connection,) = opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


def test_a_file_of_the_version_before_is_read(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE watched (product_id INTEGER PRIMARY KEY, entry TEXT NOT NULL DEFAULT '', "
            "due REAL NOT NULL, was_due REAL)"
        )
        connection.execute("INSERT INTO watched VALUES (1, ?, ?, NULL)", (FIRST, time.time() + 60))
    connection.close()
    for _ in range(2):
        store = SqliteWatchStore(path)
        assert store.take_due(9, 60) == []
        assert store.hint([Hint(1, FIRST, FIRST, 5)]) == (1, [])
        assert store.take_due(9, 60) == [1]
        store.save([(1, FIRST, 60)])
        store.close()


def test_hinted_products_are_due_first(store: SqliteWatchStore) -> None:
    store.add([1, 2, 3, 4])
    store.save([(3, FIRST, DELAY), (4, FIRST, DELAY), (2, FIRST, DELAY)])
    hints = [Hint(4, FIRST, SECOND, 5), Hint(3, FIRST, SECOND, 9), Hint(2, FIRST, SECOND, -5)]
    assert store.hint([*hints, Hint(8, FIRST, SECOND, 5)]) == (3, [])
    assert store.hint([Hint(4, FIRST, SECOND, 99), Hint(3, SECOND, FIRST, 1)]) == (1, [4])
    assert store.upcoming(9)[1][0].due is None
    assert store.take_due(1, 60) == [1]
    assert store.take_due(9, 60) == [3, 4, 2]
    assert store.load([2, 3, 4]) == [SECOND, FIRST, SECOND]


def test_a_hint_of_a_product_whose_fetch_failed_waits_a_minute(
    store: SqliteWatchStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    store.add([1])
    assert store.take_due(9, 86_400) == [1]
    store.hint([Hint(1, "", "", 5)])
    assert store.take_due(9, 86_400) == []
    monkeypatch.setattr(time, "time", lambda: now + 120)
    assert store.take_due(9, 86_400) == [1]


def test_looks_that_are_due_are_taken_once(store: SqliteWatchStore) -> None:
    store.save_look("a page", "state", 0, {1: "row"})
    store.save_look("a later page", "other state", DELAY, {})
    assert store.take_looks(60) == ["a page"]
    assert store.take_looks(60) == []
    assert store.load_look("a page", [1, 2]) == ("state", ["row", ""])
    store.end_look("a page", "last state")
    number, states = store.looks(9)
    assert (number, sorted(states)) == (2, ["last state", "other state"])
