"""Answers in a file, for one machine without Redis."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

from ali1688_spider.private_files import make_private_database

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, expires REAL, data BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_expires ON answers (expires);
"""


class DiskAnswerStore:
    """A SQLite file of the user's alone; crawls that run at the same time may share it."""

    def __init__(self, path: Path) -> None:
        make_private_database(path)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            path, timeout=30, isolation_level=None, check_same_thread=False
        )
        # A cache may lose its last moments when the machine dies, so it need not wait for the disk.
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.executescript(_SCHEMA)
        self._connection.execute("DELETE FROM answers WHERE expires <= ?", (time.time(),))

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what is kept under each key and has not expired."""
        wanted = ",".join("?" * len(keys))
        query = f"SELECT key, data FROM answers WHERE expires > ? AND key IN ({wanted})"  # noqa: S608  # only question marks
        with self._lock:
            kept: dict[str, bytes] = dict(self._connection.execute(query, (time.time(), *keys)))
        return [kept.get(key) for key in keys]

    def put_many(self, answers: Mapping[str, bytes], seconds: float) -> None:
        """Keep the answers for so many seconds."""
        expires = time.time() + seconds
        rows = [(key, expires, data) for key, data in answers.items()]
        with self._lock, closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.executemany("REPLACE INTO answers VALUES (?, ?, ?)", rows)
            cursor.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
