"""Answers in Redis, shared by all workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREFIX = "ali1688:cache:"


class RedisAnswerStore:
    """One string for each answer, under ``ali1688:cache:<key>``, which Redis itself expires."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return what is kept under each key, in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.get(PREFIX + key)
        kept: list[bytes | None] = pipeline.execute()
        return kept

    def put_many(self, answers: Mapping[str, bytes], seconds: float) -> None:
        """Keep the answers for so many seconds, in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for key, data in answers.items():
            pipeline.set(PREFIX + key, data, px=max(1, int(seconds * 1000)))
        pipeline.execute()

    def close(self) -> None:
        """Do nothing: the client belongs to the crawl."""
