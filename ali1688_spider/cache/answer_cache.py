"""The cache of answers: what is kept, under which key, and where."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from redis.exceptions import RedisError

from ali1688_spider.batching import BatchWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    RunInThread = Callable[..., Awaitable[Any]]

CACHE_ERRORS = (RedisError, sqlite3.Error, OSError)
"""What a store raises that does not answer."""

GATHER_SECONDS = 0.05
"""So long an answer waits for others before they are written."""
LOOK_UP_SECONDS = 0.01
"""So long a look-up waits for others, to ask for all in one round trip."""
MOST_WAITING = 1000
"""Answers that wait at most while the store is slow; what comes then is not kept."""
SMALL = 1024
"""Bytes up to which compressing an answer costs more than it saves."""


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer that was data, or that a product is gone.

    Attributes:
        body: Its JSON text, as it came.
        fetched_at: When it arrived (UTC).
        content_type: Its header ``Content-Type``, which may name the encoding; or empty.
    """

    body: bytes
    fetched_at: datetime
    content_type: str = ""

    def encode(self) -> bytes:
        """Return a line of JSON and the body, compressed when large; nothing of it is ever run."""
        header = {"fetched_at": self.fetched_at.timestamp(), "content_type": self.content_type}
        data = json.dumps(header).encode() + b"\n" + self.body
        return data if len(data) <= SMALL else zlib.compress(data, 1)

    @classmethod
    def decode(cls, data: bytes) -> CachedAnswer | None:
        """Return the answer of :meth:`encode`; None for anything else."""
        try:
            text = data if data.startswith(b"{") else zlib.decompress(data)
            line, _, body = text.partition(b"\n")
            header = json.loads(line)
            fetched_at = datetime.fromtimestamp(float(header["fetched_at"]), UTC)
            return cls(body, fetched_at, str(header["content_type"]))
        except (zlib.error, ValueError, KeyError, TypeError, OverflowError):
            return None


class AnswerStore(Protocol):
    """Where answers are kept; the methods block, and are called from a thread."""

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what is kept under each key and has not expired."""

    def put_many(self, answers: Mapping[str, bytes], seconds: float) -> None:
        """Keep the answers for so many seconds."""

    def close(self) -> None:
        """Release what the store holds."""


def cache_key(account: str, api_name: str, params: Mapping[str, object]) -> str:
    """Return the key of a call: equal for equal calls of the same account.

    Args:
        account: What tells accounts and gateways apart; no token, which changes.
        api_name: The API's name.
        params: The call's own parameters; no timestamp and no signature.
    """
    call = json.dumps([account, api_name, dict(params)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(call.encode()).hexdigest()[:32]


class AnswerCache:
    """The cache of one crawl; what many calls ask for at the same time is one round trip.

    Args:
        store: Where the answers are kept.
        lifetime: Seconds for which an answer is reused.
        run: Runs a blocking function in a thread.
        failed: Is told why answers could not be kept.
    """

    def __init__(
        self,
        store: AnswerStore,
        lifetime: float,
        run: RunInThread,
        failed: Callable[[Exception], object],
    ) -> None:
        self._store = store
        self._lifetime = lifetime
        self._run = run
        self._failed = failed
        self._gets = BatchWriter[str, CachedAnswer | None](
            self._get_many, gather_seconds=LOOK_UP_SECONDS
        )
        self._waiting: dict[str, CachedAnswer] = {}
        self._writer: asyncio.Task[None] | None = None

    async def get(self, key: str) -> CachedAnswer | None:
        """Return the answer under *key*, or None."""
        return self._waiting.get(key) or await self._gets.put(key)

    def put(self, key: str, answer: CachedAnswer) -> None:
        """Keep *answer* under *key* for the lifetime, soon: nobody has to wait for it."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting[key] = answer
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_waiting())

    async def close(self) -> None:
        """Write what is still to be written, then release the store."""
        if self._writer is not None:
            await self._writer
        await self._run(self._store.close)

    async def _get_many(self, keys: Sequence[str]) -> list[CachedAnswer | Exception | None]:
        kept = await self._run(self._store.get_many, keys)
        return [None if data is None else CachedAnswer.decode(data) for data in kept]

    async def _write_waiting(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(GATHER_SECONDS)
                answers, self._waiting = self._waiting, {}
                await self._put_many(answers)
        finally:
            self._writer = None

    async def _put_many(self, answers: Mapping[str, CachedAnswer]) -> None:
        encoded = {key: answer.encode() for key, answer in answers.items()}
        try:
            await self._run(self._store.put_many, encoded, self._lifetime)
        except CACHE_ERRORS as error:
            self._failed(error)
