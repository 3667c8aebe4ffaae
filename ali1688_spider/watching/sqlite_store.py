"""Watched products in a file, for one process without Redis."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ali1688_spider.private_files import make_private_database
from ali1688_spider.watching.schedule import FIRST_PRIORITY
from ali1688_spider.watching.watched_product import Hint, NextFetch, WatchedProduct

FILE_NAME = "watch.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS watched (
    product_id INTEGER PRIMARY KEY,
    entry TEXT NOT NULL DEFAULT '',
    due REAL NOT NULL,
    was_due REAL, -- while it is being fetched, and when the fetch failed
    priority INTEGER, -- of a first fetch, or of one that a hint asks for
    shop TEXT
);
CREATE INDEX IF NOT EXISTS watched_due ON watched (due);
CREATE TABLE IF NOT EXISTS looks (
    call TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    due REAL, -- NULL when it is not made again
    was_due REAL -- while it is made, and when it failed
);
CREATE TABLE IF NOT EXISTS page_rows (product_id INTEGER PRIMARY KEY, row TEXT NOT NULL);
"""
_ADDED_COLUMNS = {"priority": "INTEGER", "shop": "TEXT"}  # to files of the version before
_ADDED_INDEXES = """
CREATE INDEX IF NOT EXISTS watched_priority ON watched (priority) WHERE priority IS NOT NULL;
CREATE INDEX IF NOT EXISTS watched_shop ON watched (shop) WHERE shop IS NOT NULL;
"""

_WAITING = "SELECT product_id FROM watched WHERE priority IS NOT NULL AND was_due IS NULL"

AFTER_HINT_SECONDS = 60.0
"""How long a hint waits for a fetch that is under way, or has failed, which looks the same."""


class SqliteWatchStore:
    """A SQLite file; it also knows when each product is due.

    Args:
        lock_seconds: Longest wait for another process that writes into the file.
    """

    def __init__(self, path: Path, lock_seconds: float = 30.0) -> None:
        make_private_database(path)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=lock_seconds, check_same_thread=False)
        try:
            self._prepare()
        except sqlite3.Error:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        # Nothing is lost when the process is killed; when the machine dies, the last moments, and a
        # product is fetched once more than needed.
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)
        columns = {row[1] for row in self._connection.execute("PRAGMA table_info(watched)")}
        for name in _ADDED_COLUMNS.keys() - columns:
            self._connection.execute(
                f"ALTER TABLE watched ADD COLUMN {name} {_ADDED_COLUMNS[name]}"
            )
        self._connection.executescript(_ADDED_INDEXES)

    def add(self, product_ids: Iterable[int]) -> int:
        """Watch these products too, due at once; return how many were not watched before."""
        rows = [(product_id, time.time(), FIRST_PRIORITY) for product_id in product_ids]
        with self._lock, self._connection as connection:
            before = connection.total_changes
            connection.executemany(
                "INSERT OR IGNORE INTO watched (product_id, due, priority) VALUES (?, ?, ?)", rows
            )
            return connection.total_changes - before

    def take_due(self, most: int, away: float) -> list[int]:
        """Return products that are due: those with a priority first, then the longest due first.

        Those with a priority below 0 come when nothing else is due.

        Until their fetch is saved, they are due again in *away* seconds: a call that fails does
        not end the watch.
        """
        now = time.time()
        with self._lock, self._connection as connection:
            taken: dict[int, None] = {}
            for query, values in (
                (f"{_WAITING} AND priority > 0 ORDER BY priority DESC, due, product_id", ()),
                ("SELECT product_id FROM watched WHERE due <= ? ORDER BY due, product_id", (now,)),
                (f"{_WAITING} AND priority <= 0 ORDER BY priority DESC, due, product_id", ()),
            ):
                left = most - len(taken)
                rows = connection.execute(f"{query} LIMIT ?", (*values, left)) if left > 0 else ()
                taken |= dict.fromkeys(product_id for (product_id,) in rows)
            # When this process is killed, those of hints are due at once.
            connection.executemany(
                "UPDATE watched SET was_due = CASE WHEN priority IS NULL THEN due ELSE 0 END, "
                "priority = NULL, due = ? WHERE product_id = ?",
                [(now + away, product_id) for product_id in taken],
            )
        return list(taken)

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
            connection.execute(
                "UPDATE looks SET due = was_due, was_due = NULL WHERE was_due IS NOT NULL"
            )
            connection.execute("UPDATE looks SET due = ? WHERE due > ?", (latest, latest))

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
        hint = f"{now:.0f},{now:.0f},0,0"  # it is counted
        with self._lock, self._connection as connection:
            connection.executemany(
                "UPDATE watched SET "
                "entry = ? || CASE WHEN priority IS NULL OR was_due IS NULL THEN '' ELSE ? END, "
                "priority = CASE WHEN was_due IS NULL THEN NULL ELSE priority END, "
                "due = ?, was_due = NULL WHERE product_id = ?",
                [(text, hint, now + delay, product_id) for product_id, text, delay in states],
            )

    def hint(self, hints: Sequence[Hint]) -> tuple[int, list[int]]:
        """Keep that these products have changed, and have them fetched.

        One that is fetched at this moment is fetched once more. Returns how many are watched, and
        those whose state has changed meanwhile, of which nothing is kept.
        """
        latest, changed, watched = time.time() + AFTER_HINT_SECONDS, [], 0
        with self._lock, self._connection as connection:
            for product_id, before, state, priority in hints:
                kept = connection.execute(
                    "UPDATE watched SET entry = ?, priority = max(coalesce(priority, ?), ?), "
                    "due = CASE WHEN was_due IS NULL THEN due ELSE min(due, ?) END "
                    "WHERE product_id = ? AND entry = ?",
                    (state, priority, priority, latest, product_id, before),
                ).rowcount
                watched += kept
                query = "SELECT 1 FROM watched WHERE product_id = ?"
                if not kept and connection.execute(query, (product_id,)).fetchone():
                    changed.append(product_id)
        return watched, changed

    def take_looks(self, away: float) -> list[str]:
        """Return the calls of the looks that are due; until they are saved, again in *away* s."""
        now = time.time()
        with self._lock, self._connection as connection:
            query = "SELECT call FROM looks WHERE due <= ? ORDER BY due, call"
            calls = [call for (call,) in connection.execute(query, (now,))]
            connection.executemany(
                "UPDATE looks SET was_due = due, due = ? WHERE call = ?",
                [(now + away, call) for call in calls],
            )
        return calls

    def load_look(self, call: str, product_ids: Sequence[int]) -> tuple[str, list[str]]:
        """Return the state of the look at a page, and what is known of the products' rows."""
        with self._lock:
            query = "SELECT state FROM looks WHERE call = ?"
            look = self._connection.execute(query, (call,)).fetchone()
            query = "SELECT row FROM page_rows WHERE product_id = ?"
            rows = [self._connection.execute(query, (each,)).fetchone() for each in product_ids]
        return look[0] if look else "", [row[0] if row else "" for row in rows]

    def save_look(self, call: str, state: str, delay: float, rows: Mapping[int, str]) -> None:
        """Keep the state of a look, and what is known of rows; have it made in *delay* seconds."""
        self._save_look(call, state, time.time() + delay, rows)

    def end_look(self, call: str, state: str) -> None:
        """Keep the state of a look that is not made again."""
        self._save_look(call, state, None, {})

    def _save_look(self, call: str, state: str, due: float | None, rows: Mapping[int, str]) -> None:
        with self._lock, self._connection as connection:
            connection.execute(
                "INSERT OR REPLACE INTO looks (call, state, due) VALUES (?, ?, ?)",
                (call, state, due),
            )
            connection.executemany("INSERT OR REPLACE INTO page_rows VALUES (?, ?)", rows.items())

    def looks(self, most: int) -> tuple[int, list[str]]:
        """Return how many looks there are, and the states of some, drawn without preference."""
        query = "SELECT state FROM looks ORDER BY random() LIMIT ?"
        with self._lock:
            (number,) = self._connection.execute("SELECT count(*) FROM looks").fetchone()
            return number, [text for (text,) in self._connection.execute(query, (most,))]

    def join_shops(self, members: Sequence[tuple[str, int | None]]) -> list[int]:
        """Keep which watched products shops have, each a shop and one; return how many it has."""
        query = "SELECT count(*) FROM watched WHERE shop = ?"
        with self._lock, self._connection as connection:
            connection.executemany(
                "UPDATE watched SET shop = ? WHERE product_id = ? AND shop IS NOT ?",
                [(shop, each, shop) for shop, each in members],
            )
            return [connection.execute(query, (shop,)).fetchone()[0] for shop, _ in members]

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
