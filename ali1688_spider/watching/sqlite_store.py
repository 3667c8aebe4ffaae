"""Watched products in a file, for one process without Redis."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import TYPE_CHECKING

from ali1688_spider.watching.store import Entry
from ali1688_spider.watching.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ali1688_spider.watching.product import WatchedProduct
    from ali1688_spider.watching.store import Change

_SCHEMA = """
CREATE TABLE IF NOT EXISTS watched (
    product_id INTEGER PRIMARY KEY, entry TEXT NOT NULL DEFAULT '', due REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS watched_due ON watched (due);
CREATE TABLE IF NOT EXISTS sums (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
"""
_ADD_TO_SUM = """
INSERT INTO sums VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value
"""
_SAMPLE = "SELECT entry FROM watched WHERE entry != '' ORDER BY random() LIMIT ?"


class SqliteWatchStore:
    """A SQLite file; it also knows when each product is due."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
        self._connection.executescript(_SCHEMA)

    def add(self, product_ids: Iterable[int]) -> int:
        """Watch these products too, due at once; return how many were not watched before."""
        rows = [(product_id, time.time()) for product_id in product_ids]
        with self._lock, self._connection as connection:
            before = connection.total_changes
            connection.executemany(
                "INSERT OR IGNORE INTO watched (product_id, due) VALUES (?, ?)", rows
            )
            return connection.total_changes - before

    def take_due(self, most: int, away: float) -> list[int]:
        """Return products that are due, the longest due first.

        Until their fetch is saved, they are due again in *away* seconds: a crash, or a call that
        fails, does not end the watch.
        """
        now = time.time()
        with self._lock, self._connection as connection:
            rows = connection.execute(
                "SELECT product_id FROM watched WHERE due <= ? ORDER BY due LIMIT ?", (now, most)
            ).fetchall()
            connection.executemany(
                "UPDATE watched SET due = ? WHERE product_id = ?",
                [(now + away, product_id) for (product_id,) in rows],
            )
        return [product_id for (product_id,) in rows]

    def next_due(self) -> float | None:
        """Return the seconds until a product is due; None when none is watched."""
        with self._lock:
            (due,) = self._connection.execute("SELECT min(due) FROM watched").fetchone()
        return None if due is None else max(0.0, due - time.time())

    def load(self, product_ids: Sequence[int]) -> list[str]:
        """Return the text of each entry."""
        query = "SELECT entry FROM watched WHERE product_id = ?"
        with self._lock:
            rows = [self._connection.execute(query, (each,)).fetchone() for each in product_ids]
        return [row[0] if row else "" for row in rows]

    def save(self, changes: Sequence[Change]) -> None:
        """Keep the changes and when the products are due, in one transaction."""
        now = time.time()
        with self._lock, self._connection as connection:
            for change in changes:
                kept = connection.execute(
                    "UPDATE watched SET entry = ?, due = ? WHERE product_id = ? AND entry = ?",
                    (change.new, now + change.delay, change.product_id, change.old),
                )
                if kept.rowcount:
                    connection.executemany(_ADD_TO_SUM, change.differences.items())

    def totals(self) -> Totals:
        """Return the sums."""
        with self._lock:
            (watched,) = self._connection.execute("SELECT count(*) FROM watched").fetchone()
            sums = dict(self._connection.execute("SELECT name, value FROM sums"))
        return Totals(watched, sums)

    def sample(self, size: int) -> list[WatchedProduct]:
        """Return the states of some products."""
        with self._lock:
            rows = self._connection.execute(_SAMPLE, (size,)).fetchall()
        return [Entry.decode(entry).product for (entry,) in rows]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
