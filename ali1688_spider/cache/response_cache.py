"""The cache of the gateway's responses: what is kept, and under which key."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ali1688_spider.batching import BatchWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ali1688_spider.cache.stores import DiskStore, RedisStore

CACHE_ERRORS = (RedisError, sqlite3.Error, OSError)
"""What a store raises that does not work."""

WRITE_GATHER_SECONDS = 0.05
LOOK_UP_GATHER_SECONDS = 0.01
"""Longest delay of a write and of a look-up, to do many in one round trip."""
MOST_WAITING = 1000
"""Responses that wait at most while the store is slow; further ones are not kept."""


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

    *account* identifies account and gateway, without the token, which changes; *params* are the
    call's own parameters, without timestamp and signature.
    """
    call = json.dumps([account, api_name, dict(params)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(call.encode()).hexdigest()[:32]


class ResponseCache:
    """The cache of one crawl; what many calls ask for at the same time is one round trip.

    Args:
        store: Where the responses are kept; its methods are run in threads.
        lifetime: Seconds for which a response is reused.
        on_error: Called with each error because of which responses were not kept.
    """

    def __init__(
        self,
        store: DiskStore | RedisStore,
        lifetime: float,
        on_error: Callable[[Exception], object],
    ) -> None:
        self._store = store
        self._lifetime = lifetime
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
        """Keep *response* under *key* for the lifetime, soon: no call waits for it."""
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
                await asyncio.to_thread(self._store.put_many, encoded, self._lifetime)
            except CACHE_ERRORS as error:
                self._on_error(error)
        self._writer = None
