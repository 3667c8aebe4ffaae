"""Waits while Redis is away, instead of losing what it should be told."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from scrapy.utils.asyncio import run_in_thread

from ali1688_spider.gateway.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.statscollectors import StatsCollector

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

SHORTEST_WAIT = 0.05


class Outage:
    """Repeats what failed until Redis answers; says once that it went, and once that it is back.

    Args:
        stats: Counts ``ali1688/redis/errors``.
        backoff: How long to wait each time.
    """

    def __init__(self, stats: StatsCollector, backoff: Backoff | None = None) -> None:
        self._stats = stats
        self._backoff = backoff or Backoff(base=0.2, cap=5.0)
        self._away_since: float | None = None
        self._back_since = -float("inf")

    @property
    def lasts(self) -> bool:
        """Whether Redis did not answer when it was last asked."""
        return self._away_since is not None

    def is_recent(self, seconds: float) -> bool:
        """Tell whether Redis is away, or came back not longer than *seconds* ago."""
        return self.lasts or time.monotonic() - self._back_since <= seconds

    async def patiently(self, operation: Callable[[], _T]) -> _T:
        """Return what *operation* returns, which talks to Redis and is run in a thread.

        While Redis is away, it is done again and again.
        """
        attempt = 0
        while True:
            try:
                result = await run_in_thread(operation)
            except RedisError as error:
                attempt += 1
                self._note_away(error)
                await asyncio.sleep(SHORTEST_WAIT + self._backoff.delay(attempt))
            else:
                self._note_back()
                return result

    def _note_away(self, error: Exception) -> None:
        self._stats.inc_value("ali1688/redis/errors")
        if self._away_since is not None:
            return
        self._away_since = time.monotonic()
        if isinstance(error, RedisConnectionError | RedisTimeoutError):
            logger.warning("Redis does not answer; waiting, nothing is lost (%s)", error)
        else:
            logger.error("Redis refuses; waiting until somebody mends it (%s)", error)

    def _note_back(self) -> None:
        if self._away_since is not None:
            self._back_since = time.monotonic()
            logger.info("Redis is back after %.1f s", self._back_since - self._away_since)
            self._away_since = None
