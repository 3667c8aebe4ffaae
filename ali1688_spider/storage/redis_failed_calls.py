"""Failed calls in Redis, for a cluster without MongoDB."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from redis.exceptions import RedisError

from ali1688_spider.storage.errors import StoreUnavailableError
from ali1688_spider.storage.failed_call import FailedCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

KEY = "ali1688:failed_calls"
MOST = 100_000
_PAGE = 1000


class RedisFailedCallStore:
    """Keeps failed calls in the sorted set ``ali1688:failed_calls``, by their time.

    Redis holds everything in memory, so that beyond *most* the oldest are forgotten.

    Args:
        redis: The client, closed with the store.
        most: How many are kept.
    """

    def __init__(self, redis: Redis, *, most: int = MOST) -> None:
        self._redis = redis
        self._most = most

    async def keep(self, failed: FailedCall) -> None:
        """Return when *failed* is stored.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        await self.keep_all([failed])

    async def keep_all(self, failed: Sequence[FailedCall]) -> None:
        """Return when all of them are stored.

        Raises:
            StoreUnavailableError: Redis does not answer.
        """
        if not failed:
            return
        async with self._redis.pipeline() as pipeline:
            pipeline.zadd(KEY, {call.to_json(): call.at.timestamp() * 1000 for call in failed})
            pipeline.zremrangebyrank(KEY, 0, -self._most - 1)
            try:
                _, forgotten = await pipeline.execute()
            except RedisError as error:
                raise StoreUnavailableError(f"Redis does not answer ({error})") from error
        if forgotten:
            logger.warning("More than %d calls have failed; the oldest is forgotten", self._most)

    async def list(self) -> AsyncIterator[FailedCall]:
        """Iterate over what is kept, the oldest first."""
        start = 0
        while texts := await self._redis.zrange(KEY, start, start + _PAGE - 1):
            for text in texts:
                yield FailedCall.from_json(cast("bytes", text))  # a str or tuple with other options
            start += len(texts)

    async def remove(self, failed: Iterable[FailedCall]) -> None:
        """Forget these."""
        texts = [call.to_json() for call in failed]
        for start in range(0, len(texts), _PAGE):
            await self._redis.zrem(KEY, *texts[start : start + _PAGE])

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
