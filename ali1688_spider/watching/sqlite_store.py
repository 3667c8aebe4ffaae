"""Watched products in a file, for one process without Redis."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from ali1688_spider.private_files import make_private_database
from ali1688_spider.watching.schedule import NextFetch, WatchedProduct

FILE_NAME = "watch.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS watched (
    product_id INTEGER PRIMARY KEY,
    entry TEXT NOT NULL DEFAULT '',
    due REAL NOT NULL,
    was_due REAL -- while it is being fetched, and when the fetch failed
);
CREATE INDEX IF NOT EXISTS watched_due ON watched (due);
"""


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
        """Return the text of each product's state, empty for a product that has none."""
        query = "SELECT entry FROM watched WHERE product_id = ?"
        with self._lock:
            rows = [self._connection.execute(query, (each,)).fetchone() for each in product_ids]
        return [row[0] if row else "" for row in rows]

    def save(self, states: Sequence[tuple[int, str, float]]) -> None:
        """Keep id and state of products that are still watched, and when they are due (seconds)."""
        now = time.time()
        with self._lock, self._connection as connection:
            connection.executemany(
                "UPDATE watched SET entry = ?, due = ?, was_due = NULL WHERE product_id = ?",
                [(text, now + delay, product_id) for product_id, text, delay in states],
            )

    def remove(self, product_ids: Sequence[int]) -> int:
        """Watch these products no longer; return how many were watched."""
        with self._lock, self._connection as connection:
            return connection.executemany(
                "DELETE FROM watched WHERE product_id = ?", [(each,) for each in product_ids]
            ).rowcount

    def sample(self, size: int) -> tuple[int, list[str]]:
        """Return the number of products, and the states of some, drawn without preference."""
        query = "SELECT entry FROM watched ORDER BY random() LIMIT ?"
        with self._lock:
            (watched,) = self._connection.execute("SELECT count(*) FROM watched").fetchone()
            return watched, [text for (text,) in self._connection.execute(query, (size,))]

    def upcoming(self, most: int) -> tuple[int, list[NextFetch]]:
        """Return how many products are watched, and up to *most*, the next one first."""
        # While a product is fetched, ``due`` says when it would be fetched again.
        query = "SELECT product_id, coalesce(was_due, due) AS at, entry FROM watched ORDER BY at"
        with self._lock:
            (watched,) = self._connection.execute("SELECT count(*) FROM watched").fetchone()
            rows = self._connection.execute(f"{query} LIMIT ?", (most,)).fetchall()
        decode = WatchedProduct.decode
        return watched, [NextFetch(each, due, decode(text)) for each, due, text in rows]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
