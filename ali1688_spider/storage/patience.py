"""Waiting for a database that is away, instead of losing what it should keep."""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.storage.errors import StoreUnavailableError, explain, is_outage, severity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

GIVE_UP_SECONDS = 5.0
_STEP = 0.5

_Result = TypeVar("_Result")


class Patience:
    """Repeats operations until the database answers; many may wait at the same time.

    The waits grow with full jitter, so that the workers of a cluster do not come back all at once.
    One line says that the database went, an ERROR when a person has to act; one that it is back.

    Args:
        closing: Tells whether the program wants to end. From then on operations are repeated for
            :data:`GIVE_UP_SECONDS` only.
        waited: Called at each wait, for a statistic.
        backoff: How long to wait each time.
        give_up_after: Seconds to go on for when closing.
    """

    def __init__(
        self,
        *,
        closing: Callable[[], bool] = lambda: False,
        waited: Callable[[], object] = lambda: None,
        backoff: Backoff | None = None,
        give_up_after: float = GIVE_UP_SECONDS,
    ) -> None:
        self._closing = closing
        self._waited = waited
        self._backoff = backoff or Backoff(base=0.1, cap=5.0)
        self._give_up_after = give_up_after
        self._away_since: float | None = None
        self._logged = logging.NOTSET
        self._deadline: float | None = None

    async def repeat(self, operation: Callable[[], Awaitable[_Result]]) -> _Result:
        """Await *operation()*, again and again while the database is away.

        The operation may have taken effect although it failed, so it must not matter how often it
        is done.

        Raises:
            StoreUnavailableError: The program is closing, and the database stayed away.
        """
        for attempt in count(1):
            if self._away_since is not None:
                self._check_deadline()
            try:
                result = await operation()
            except Exception as error:
                if not is_outage(error):
                    raise
                self._note_away(error)
            else:
                self._note_back()
                return result
            await self._wait(self._backoff.delay(attempt))
        raise AssertionError("an endless loop has ended")

    async def _wait(self, seconds: float) -> None:
        self._waited()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check_deadline()
            await asyncio.sleep(min(left, _STEP))

    def _check_deadline(self) -> None:
        if not self._closing():
            self._deadline = None
            return
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._give_up_after
        if now >= self._deadline:
            raise StoreUnavailableError("MongoDB stayed away while the crawl was closing")

    def _note_away(self, error: Exception) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
        level = severity(error)
        if level > self._logged:
            self._logged = level
            logger.log(level, "Storing waits; nothing is lost. %s", explain(error))

    def _note_back(self) -> None:
        if self._away_since is not None:
            seconds = time.monotonic() - self._away_since
            self._away_since, self._logged = None, logging.NOTSET
            logger.info("Storing goes on after %.1f seconds.", seconds)
