"""Watched products in a file, for one process without Redis."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import TYPE_CHECKING

from ali1688_spider.private_files import make_private_database
from ali1688_spider.watching.store import Entry
from ali1688_spider.watching.totals import Totals, differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from ali1688_spider.watching.product import WatchedProduct
    from ali1688_spider.watching.store import Change

FILE_NAME = "watch.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS watched (
    product_id INTEGER PRIMARY KEY,
    entry TEXT NOT NULL DEFAULT '',
    due REAL NOT NULL,
    was_due REAL -- while it is being fetched, and when the fetch failed
);
CREATE INDEX IF NOT EXISTS watched_due ON watched (due);
CREATE TABLE IF NOT EXISTS sums (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
"""
_ADD_TO_SUM = """
INSERT INTO sums VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value
"""
_SAMPLE = "SELECT entry FROM watched ORDER BY random() LIMIT ?"


class SqliteWatchStore:
    """A SQLite file; it also knows when each product is due."""

    def __init__(self, path: Path) -> None:
        make_private_database(path)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
        # Nothing is lost when the process is killed; when the machine dies, the last moments, and a
        # product is fetched once more than needed.
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
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

        Until their fetch is saved, they are due again in *away* seconds: a call that fails does
        not end the watch.
        """
        now = time.time()
        with self._lock, self._connection as connection:
            rows = connection.execute(
                "SELECT product_id FROM watched WHERE due <= ? ORDER BY due LIMIT ?", (now, most)
            ).fetchall()
            connection.executemany(
                "UPDATE watched SET was_due = due, due = ? WHERE product_id = ?",
                [(now + away, product_id) for (product_id,) in rows],
            )
        return [product_id for (product_id,) in rows]

    def next_due(self) -> float | None:
        """Return the seconds until a product is due; None when none is watched."""
        with self._lock:
            (due,) = self._connection.execute("SELECT min(due) FROM watched").fetchone()
        return None if due is None else max(0.0, due - time.time())

    def resume(self, longest: float) -> None:
        """Take the watch up again, with no product due in more than *longest* seconds.

        What the process before had not fetched when it ended is due as it was.
        """
        latest = time.time() + longest
        with self._lock, self._connection as connection:
            connection.execute(
                "UPDATE watched SET due = was_due, was_due = NULL WHERE was_due IS NOT NULL"
            )
            connection.execute("UPDATE watched SET due = ? WHERE due > ?", (latest, latest))

    def load(self, product_ids: Sequence[int]) -> list[str]:
        """Return the text of each entry."""
        with self._lock:
            return [self._entry(product_id) or "" for product_id in product_ids]

    def save(self, changes: Sequence[Change]) -> None:
        """Keep the changes and when the products are due, in one transaction."""
        now = time.time()
        with self._lock, self._connection as connection:
            for change in changes:
                kept = connection.execute(
                    "UPDATE watched SET entry = ?, due = ?, was_due = NULL "
                    "WHERE product_id = ? AND entry = ?",
                    (change.new, now + change.delay, change.product_id, change.old),
                )
                if kept.rowcount:
                    self._add_to_sums(change.differences)

    def remove(self, product_ids: Sequence[int]) -> int:
        """Watch these products no longer, in one transaction."""
        removed = 0
        with self._lock, self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            for product_id in product_ids:
                entry = self._entry(product_id)
                if entry is not None:
                    connection.execute("DELETE FROM watched WHERE product_id = ?", (product_id,))
                    self._add_to_sums(differences(Entry.decode(entry).product, None))
                    removed += 1
        return removed

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

    def _entry(self, product_id: int) -> str | None:
        query = "SELECT entry FROM watched WHERE product_id = ?"
        row: tuple[str] | None = self._connection.execute(query, (product_id,)).fetchone()
        return row and row[0]

    def _add_to_sums(self, amounts: Mapping[str, float]) -> None:
        self._connection.executemany(_ADD_TO_SUM, amounts.items())
