from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.watching.product import WatchedProduct
from ali1688_spider.watching.sqlite_store import SqliteWatchStore
from ali1688_spider.watching.totals import Totals
from tests.watching.stores import (
    AGAIN,
    FETCHED,
    TEXT,
    TEXT_AGAIN,
    assert_sums,
    first_fetch,
    second_fetch,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
    assert store.next_due() is None
    assert store.add([3, 1]) == 2
    assert store.add([1, 2]) == 1
    assert store.next_due() == 0
    assert store.load([1, 9]) == ["", ""]
    other = SqliteWatchStore(path)
    assert other.take_due(2, 60) == [3, 1]
    assert other.take_due(2, 60) == [2]
    assert other.take_due(2, 60) == []
    other.close()


def test_what_is_fetched_is_due_later(store: SqliteWatchStore) -> None:
    store.add([1, 2])
    assert store.take_due(9, 60) == [1, 2]
    store.save([first_fetch(1), first_fetch(2, delay=0)])
    assert store.take_due(9, 60) == [2]
    assert store.load([1, 2]) == [TEXT, TEXT]
    assert_sums(store.totals(), Totals.of([FETCHED, FETCHED]))
    store.save([second_fetch(1)])
    assert store.load([1]) == [TEXT_AGAIN]
    assert_sums(store.totals(), Totals.of([FETCHED, AGAIN]))
    assert store.sample(9) in ([FETCHED, AGAIN], [AGAIN, FETCHED])


def test_a_fetch_whose_product_changed_meanwhile_changes_nothing(store: SqliteWatchStore) -> None:
    store.add([1])
    store.save([first_fetch(1), first_fetch(1), first_fetch(8)])
    assert_sums(store.totals(), Totals.of([FETCHED]))
    assert store.load([8]) == [""]


def test_what_a_process_left_is_due_again(store: SqliteWatchStore) -> None:
    store.add([1, 2, 3])
    store.take_due(9, 86_400)
    store.save([first_fetch(2, delay=5000)])
    store.resume(100_000)
    assert store.take_due(9, 86_400) == [1, 3]
    assert store.next_due() == pytest.approx(5000, abs=60)
    store.resume(0)
    assert store.take_due(9, 86_400) == [1, 3, 2]


def test_a_product_not_watched_any_longer(store: SqliteWatchStore) -> None:
    store.add([1, 2])
    store.save([first_fetch(1), first_fetch(2)])
    assert store.remove([2, 7]) == 1
    assert_sums(store.totals(), Totals.of([FETCHED]))
    store.save([second_fetch(2)])  # it was under way
    assert store.load([2]) == [""]
    assert store.remove([1]) == 1
    assert_sums(store.totals(), Totals(0))
    assert store.next_due() is None
    assert store.add([2]) == 1


def test_an_entry_that_cannot_be_read_is_begun_anew(
    store: SqliteWatchStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.add([1])
    connection = sqlite3.connect(path)
    connection.execute("UPDATE watched SET entry = 'nonsense'")
    connection.commit()
    connection.close()
    assert store.sample(1) == [WatchedProduct()]
    assert "What is kept of a watched product is begun anew" in caplog.text
    assert store.remove([1]) == 1


def test_threads_and_processes_at_once(store: SqliteWatchStore, path: Path) -> None:
    others = [SqliteWatchStore(path) for _ in range(2)]

    def work(worker: int) -> None:
        each = (store, store, *others)[worker]
        for number in range(worker * 100, worker * 100 + 50):
            each.add([number])
            each.save([first_fetch(number)])
            if number % 2:
                each.remove([number])

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert_sums(store.totals(), Totals.of([FETCHED] * 100))
