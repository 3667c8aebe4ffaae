"""Failed calls in Redis, for a cluster without MongoDB."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from redis.client import NEVER_DECODE
from redis.exceptions import RedisError

from ali1688_spider.storage.errors import StoreUnavailableError
from ali1688_spider.storage.failed_call import FailedCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

logger = logging.getLogger(__name__)

KEY = "ali1688:failed_calls"
MOST = 100_000
_PAGE = 1000


class RedisFailedCallStore:
    """Keeps failed calls in the sorted set ``ali1688:failed_calls``, by their time.

    Redis holds everything in memory, so that beyond *most* the oldest are forgotten.

    Args:
        redis: A blocking client, as scrapy-redis makes it; who made it closes it.
        most: How many are kept.
    """

    def __init__(self, redis: Any, *, most: int = MOST) -> None:
        self.unreadable = 0
        self._redis = redis
        self._most = most
        self._removed = 0

    async def keep(self, failed: FailedCall) -> None:
        """Return when *failed* is stored.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        await self.keep_all([failed])

    async def keep_all(self, failed: Sequence[FailedCall]) -> None:
        """Return when all of *failed* are stored, by one pipeline.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        if not failed:
            return
        try:
            forgotten = await asyncio.to_thread(self._add, failed)
        except RedisError as error:
            raise StoreUnavailableError(f"Redis does not answer ({error})") from error
        if forgotten:
            logger.warning("More than %d calls have failed; the oldest is forgotten", self._most)

    async def list(self) -> AsyncIterator[FailedCall]:
        """Iterate over what is kept, the oldest first."""
        self.unreadable = 0
        passed, removed = 0, self._removed
        while texts := await asyncio.to_thread(self._page, passed - (self._removed - removed)):
            passed += len(texts)
            for text in texts:
                try:
                    failed = FailedCall.from_json(text)
                except ValueError:
                    self.unreadable += 1
                else:
                    yield failed

    async def remove(self, failed: Sequence[FailedCall]) -> None:
        """Forget these."""
        texts = [call.to_json() for call in failed]
        for start in range(0, len(texts), _PAGE):
            page = texts[start : start + _PAGE]
            self._removed += await asyncio.to_thread(self._redis.zrem, KEY, *page)

    async def close(self) -> None:
        """Do nothing: the client belongs to who made it."""

    def _add(self, failed: Sequence[FailedCall]) -> int:
        """Return how many had to be forgotten for them."""
        with self._redis.pipeline() as pipeline:
            pipeline.zadd(KEY, {call.to_json(): call.at.timestamp() * 1000 for call in failed})
            pipeline.zremrangebyrank(KEY, 0, -self._most - 1)
            _, forgotten = pipeline.execute()
        return int(forgotten)

    def _page(self, start: int) -> Sequence[bytes]:
        # What others wrote into Redis may be no text at all: it must not fail while it is read.
        raw = {NEVER_DECODE: True}
        page: Sequence[bytes] = self._redis.execute_command(
            "ZRANGE", KEY, start, start + _PAGE - 1, **raw
        )
        return page
