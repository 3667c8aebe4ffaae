"""The cache of answers: what is kept, under which key, and where."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from ali1688_spider.batching import BatchWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    RunInThread = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer that was data, or that a product is gone.

    Attributes:
        body: Its JSON text, as it came.
        fetched_at: When it arrived (UTC).
    """

    body: bytes
    fetched_at: datetime

    def encode(self) -> bytes:
        """Return the answer as compressed JSON; nothing of it is ever run."""
        record = {
            "fetched_at": self.fetched_at.timestamp(),
            # Bytes 0-255 as the characters of these numbers: any body can be kept as JSON text.
            "body": self.body.decode("latin-1"),
        }
        return zlib.compress(json.dumps(record, ensure_ascii=False).encode(), 1)

    @classmethod
    def decode(cls, data: bytes) -> CachedAnswer | None:
        """Return the answer of :meth:`encode`; None for anything else."""
        try:
            record = json.loads(zlib.decompress(data))
            return cls(
                str(record["body"]).encode("latin-1"),
                datetime.fromtimestamp(float(record["fetched_at"]), UTC),
            )
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
    """

    def __init__(self, store: AnswerStore, lifetime: float, run: RunInThread) -> None:
        self._store = store
        self._lifetime = lifetime
        self._run = run
        self._gets: BatchWriter[str, CachedAnswer | None] = BatchWriter(self._get_many)
        self._puts: BatchWriter[tuple[str, CachedAnswer], None] = BatchWriter(self._put_many)

    async def get(self, key: str) -> CachedAnswer | None:
        """Return the answer under *key*, or None."""
        return await self._gets.put(key)

    async def put(self, key: str, answer: CachedAnswer) -> None:
        """Keep *answer* under *key* for the lifetime."""
        await self._puts.put((key, answer))

    async def close(self) -> None:
        """Write what is still to be written, then release the store."""
        await self._puts.close()
        await self._run(self._store.close)

    async def _get_many(self, keys: Sequence[str]) -> list[CachedAnswer | Exception | None]:
        kept = await self._run(self._store.get_many, keys)
        return [None if data is None else CachedAnswer.decode(data) for data in kept]

    async def _put_many(
        self, answers: Sequence[tuple[str, CachedAnswer]]
    ) -> list[Exception | None]:
        encoded = {key: answer.encode() for key, answer in answers}
        await self._run(self._store.put_many, encoded, self._lifetime)
        return [None] * len(answers)
