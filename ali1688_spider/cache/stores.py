"""Where cached responses are kept; the methods block, and may be called from any thread."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

from ali1688_spider.private_files import make_private_database

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

REDIS_PREFIX = "ali1688:cache:"

# A cache may lose its last moments when the machine dies, so it need not wait for the disk.
_PREPARE = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=OFF;
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, expires REAL, data BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_expires ON answers (expires);
"""


class DiskStore:
    """A SQLite file of the user's alone; crawls that run at the same time may share it."""

    def __init__(self, path: Path) -> None:
        make_private_database(path)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, 30, isolation_level=None, check_same_thread=False)
        self._connection.executescript(_PREPARE)
        self._connection.execute("DELETE FROM answers WHERE expires <= ?", (time.time(),))

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what is kept under each key and has not expired."""
        wanted = ",".join("?" * len(keys))
        query = f"SELECT key, data FROM answers WHERE expires > ? AND key IN ({wanted})"  # noqa: S608  # only question marks
        with self._lock:
            kept: dict[str, bytes] = dict(self._connection.execute(query, (time.time(), *keys)))
        return [kept.get(key) for key in keys]

    def put_many(self, responses: Mapping[str, bytes], seconds: float) -> None:
        """Keep the responses for this number of seconds."""
        expires = time.time() + seconds
        rows = [(key, expires, data) for key, data in responses.items()]
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("REPLACE INTO answers VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


class RedisStore:
    """A string ``ali1688:cache:<key>`` for each response, which Redis itself expires."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what is kept under each key, in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.get(REDIS_PREFIX + key)
        return list(pipeline.execute())

    def put_many(self, responses: Mapping[str, bytes], seconds: float) -> None:
        """Keep the responses for this number of seconds, in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for key, data in responses.items():
            pipeline.set(REDIS_PREFIX + key, data, px=max(1, int(seconds * 1000)))
        pipeline.execute()

    def close(self) -> None:
        """Do nothing: the client belongs to the crawl."""
