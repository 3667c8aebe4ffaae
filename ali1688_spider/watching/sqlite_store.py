"""Watched products in a file, for one process without Redis."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ali1688_spider.private_files import make_private_database
from ali1688_spider.watching.schedule import NextFetch, WatchedProduct

FILE_NAME = "watch.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS watched (
    product_id INTEGER PRIMARY KEY,
    entry TEXT NOT NULL DEFAULT '',
    due REAL NOT NULL,
    was_due REAL, -- while it is being fetched, and when the fetch failed
    priority INTEGER -- of a fetch that a hint asks for
);
CREATE INDEX IF NOT EXISTS watched_due ON watched (due);
"""
_HINTED_INDEX = (
    "CREATE INDEX IF NOT EXISTS watched_hinted ON watched (priority) WHERE priority IS NOT NULL"
)

AFTER_HINT_SECONDS = 60.0
"""How long a hint waits for a fetch that is under way, or has failed, which looks the same."""


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
        columns = {row[1] for row in self._connection.execute("PRAGMA table_info(watched)")}
        if "priority" not in columns:  # a file of an earlier version
            self._connection.execute("ALTER TABLE watched ADD COLUMN priority INTEGER")
        self._connection.execute(_HINTED_INDEX)

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
        """Return products that are due, those of hints first, then the longest due first.

        Until their fetch is saved, they are due again in *away* seconds: a call that fails does
        not end the watch.
        """
        now = time.time()
        with self._lock, self._connection as connection:
            hinted = connection.execute(
                "SELECT product_id FROM watched WHERE priority IS NOT NULL AND was_due IS NULL "
                "ORDER BY priority DESC LIMIT ?",
                (most,),
            ).fetchall()
            due = connection.execute(
                "SELECT product_id FROM watched WHERE due <= ? ORDER BY due LIMIT ?", (now, most)
            ).fetchall()
            taken = list(dict.fromkeys(product_id for (product_id,) in hinted + due))[:most]
            # When this process is killed, those of hints are due at once.
            connection.executemany(
                "UPDATE watched SET was_due = CASE WHEN priority IS NULL THEN due ELSE 0 END, "
                "priority = NULL, due = ? WHERE product_id = ?",
                [(now + away, product_id) for product_id in taken],
            )
        return taken

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
        """Keep id and state of products that are still watched, and when they are due (seconds).

        A hint that came while a product was fetched stays: the response may be older.
        """
        now = time.time()
        with self._lock, self._connection as connection:
            connection.executemany(
                "UPDATE watched SET entry = ? || CASE WHEN priority IS NULL THEN '' ELSE ? END, "
                "due = ?, was_due = NULL WHERE product_id = ?",
                [(text, int(now), now + delay, each) for each, text, delay in states],
            )

    def hint(self, priorities: Mapping[int, int | None]) -> int:
        """Note that these products have changed; return how many of them are watched.

        Those with a priority are fetched at once, as are those that are fetched at this moment.
        """
        now, ids = time.time(), list(priorities)
        with self._lock, self._connection as connection:
            known = sum(
                connection.execute(
                    "UPDATE watched SET "
                    "entry = entry || CASE WHEN entry LIKE '%]' THEN ? ELSE '' END, "
                    "priority = max(coalesce(priority, ?), coalesce(?, priority)), "
                    "due = CASE WHEN was_due IS NULL THEN due ELSE min(due, ?) END "
                    "WHERE product_id = ?",
                    (int(now), priorities[each], priorities[each], now + AFTER_HINT_SECONDS, each),
                ).rowcount
                for each in ids
            )
            connection.executemany(
                "UPDATE watched SET priority = coalesce(priority, 0) "
                "WHERE product_id = ? AND was_due IS NOT NULL",
                [(each,) for each in ids],
            )
        return known

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
        query = (
            "SELECT product_id, CASE WHEN priority IS NULL THEN coalesce(was_due, due) ELSE 0 END "
            "AS at, entry FROM watched ORDER BY at"
        )
        with self._lock:
            (watched,) = self._connection.execute("SELECT count(*) FROM watched").fetchone()
            rows = self._connection.execute(f"{query} LIMIT ?", (most,)).fetchall()
        decode = WatchedProduct.decode
        return watched, [NextFetch(each, due or None, decode(text)) for each, due, text in rows]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
