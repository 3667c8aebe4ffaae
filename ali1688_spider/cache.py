"""The cache of the gateway's responses: what is kept, under which key, and where."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from ali1688_spider.batching import BatchWriter
from ali1688_spider.private_files import make_private_database

CACHE_ERRORS = (RedisError, sqlite3.Error, OSError)
"""What a store raises that does not work."""

WRITE_GATHER_SECONDS, LOOK_UP_GATHER_SECONDS = 0.25, 0.02
"""Longest delay of a write and of a look-up, to do many in one round trip."""
MOST_WAITING = 1000
"""Responses that wait at most while the store is slow; further ones are not kept."""

REDIS_PREFIX = "ali1688:cache:"

# A cache may lose its last moments when the machine dies, so it need not wait for the disk.
_PREPARE = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=OFF;
CREATE TABLE IF NOT EXISTS responses (key TEXT PRIMARY KEY, expires REAL, data BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS responses_expires ON responses (expires);
"""


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """A response that was data, or that said that a product is gone.

    Attributes:
        body: Its JSON text, as it came.
        fetched_at: When it arrived (UTC).
        content_type: Its header ``Content-Type``, which may name the encoding; or empty.
    """

    body: bytes
    fetched_at: datetime
    content_type: str = ""

    def encode(self) -> bytes:
        """Return a line of JSON and the body, compressed; nothing of it is ever run."""
        header = {"fetched_at": self.fetched_at.timestamp(), "content_type": self.content_type}
        return zlib.compress(json.dumps(header).encode() + b"\n" + self.body, 1)

    @classmethod
    def decode(cls, data: bytes) -> CachedResponse | None:
        """Return the response of :meth:`encode`; None for anything else."""
        try:
            line, _, body = zlib.decompress(data).partition(b"\n")
            header = json.loads(line)
            fetched_at = datetime.fromtimestamp(float(header["fetched_at"]), UTC)
            return cls(body, fetched_at, str(header["content_type"]))
        except (zlib.error, ValueError, KeyError, TypeError, OverflowError):
            return None


def cache_key(account: str, api_name: str, params: Mapping[str, object]) -> str:
    """Return the key of a call: equal for equal calls of the same account.

    *account* identifies account and gateway, without the token; *params* are the call's own.
    """
    call = json.dumps([account, api_name, dict(params)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(call.encode()).hexdigest()[:32]


class DiskStore:
    """A SQLite file of the user's alone; crawls that run at the same time may share it."""

    def __init__(self, path: Path) -> None:
        make_private_database(path)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            path, timeout=30, isolation_level=None, check_same_thread=False
        )
        try:
            self._connection.executescript(_PREPARE)
            self._connection.execute("DELETE FROM responses WHERE expires <= ?", (time.time(),))
        except sqlite3.Error:
            self._connection.close()
            raise

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what is kept under each key and has not expired."""
        wanted = ",".join("?" * len(keys))
        query = f"SELECT key, data FROM responses WHERE expires > ? AND key IN ({wanted})"  # noqa: S608  # only question marks
        with self._lock:
            kept: dict[str, bytes] = dict(self._connection.execute(query, (time.time(), *keys)))
        return [kept.get(key) for key in keys]

    def put_many(self, responses: Mapping[str, bytes], seconds: float) -> None:
        """Keep the responses for this number of seconds."""
        rows = [(key, time.time() + seconds, data) for key, data in responses.items()]
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("REPLACE INTO responses VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


class RedisStore:
    """Responses, and where downloaded pictures are, which Redis itself expires.

    ``ali1688:cache:<digest>`` STRING with expiry
        A response as :meth:`CachedResponse.encode` writes it, under the digest of its call; or the
        JSON of a picture's file, under that of its address.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what is kept, in one round trip."""
        pipeline = self._client.pipeline(transaction=False)  # of a cluster, MGET takes one slot
        for key in keys:
            pipeline.get(REDIS_PREFIX + key)
        return list(pipeline.execute())

    def put_many(self, responses: Mapping[str, bytes], seconds: float) -> None:
        """Keep the responses, in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for key, data in responses.items():
            pipeline.set(REDIS_PREFIX + key, data, px=max(1, int(seconds * 1000)))
        pipeline.execute()

    def close(self) -> None:
        """Do nothing: the client belongs to the crawl."""


class ResponseCache:
    """The cache of one crawl; what many calls ask for at the same time is one round trip.

    The methods of *store* run in threads; a response is reused for *seconds*. *on_error* is called
    with each error because of which responses were not kept.
    """

    def __init__(
        self, store: DiskStore | RedisStore, seconds: float, on_error: Callable[[Exception], object]
    ) -> None:
        self._store = store
        self._seconds = seconds
        self._on_error = on_error
        self._look_ups = BatchWriter[str, CachedResponse | None](
            self._get_many, gather_seconds=LOOK_UP_GATHER_SECONDS
        )
        self._waiting: dict[str, CachedResponse] = {}
        self._writer: asyncio.Task[None] | None = None

    async def get(self, key: str) -> CachedResponse | None:
        """Return the response under *key*, or None; raise one of :data:`CACHE_ERRORS`."""
        return self._waiting.get(key) or await self._look_ups.put(key)

    def put(self, key: str, response: CachedResponse) -> None:
        """Keep *response* under *key*, soon: no call waits for it."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting[key] = response
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_waiting())

    async def close(self) -> None:
        """Write what waits to be written, then release the store."""
        if self._writer is not None:
            await self._writer
        await asyncio.to_thread(self._store.close)

    async def _get_many(self, keys: Sequence[str]) -> list[CachedResponse | Exception | None]:
        kept = await asyncio.to_thread(self._store.get_many, keys)
        return [None if data is None else CachedResponse.decode(data) for data in kept]

    async def _write_waiting(self) -> None:
        while self._waiting:
            await asyncio.sleep(WRITE_GATHER_SECONDS)
            encoded = {key: response.encode() for key, response in self._waiting.items()}
            self._waiting = {}
            try:
                await asyncio.to_thread(self._store.put_many, encoded, self._seconds)
            except CACHE_ERRORS as error:
                self._on_error(error)
        self._writer = None
