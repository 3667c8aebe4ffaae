"""Closes a crawl early, and lets what waits for something know."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

from scrapy.exceptions import CloseSpider, IgnoreRequest

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from scrapy.crawler import Crawler

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

POLL_SECONDS = 0.2


INCOMPLETE = "incomplete"
"""The close reason of a crawl whose work is done, and not all of it was successful."""


class CrawlClosingError(IgnoreRequest):
    """The crawl ends before the call could be made; the call is given back, not lost."""


class Shutdown:
    """The end of one crawl.

    Attributes:
        has_lost: Something that was wanted is neither collected nor kept anywhere.

    Scrapy waits for every running request before it closes, and has no signal that it is about to:
    what may wait for long (for a quota, for a database) waits through :meth:`or_cancelled`.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._reason: str | None = None
        self._task: asyncio.Task[None] | None = None
        self.has_lost = False

    @property
    def is_incomplete(self) -> bool:
        """Whether something that was wanted was not collected."""
        return self.has_lost or bool(self._crawler.stats.get_value("ali1688/failed_calls"))

    def end_incomplete(self) -> None:
        """Say so when the work of a crawl is done and not all of it was successful.

        Raises:
            CloseSpider: With the reason :data:`INCOMPLETE`.
        """
        if self.is_incomplete:
            raise CloseSpider(INCOMPLETE)

    @property
    def in_progress(self) -> bool:
        """Whether the crawl is about to end."""
        engine = self._crawler.engine
        slot = engine._slot  # noqa: SLF001  # nothing public tells that a spider is being closed
        return not engine.running or slot is None or slot.closing is not None

    def close(self, reason: str, explanation: str) -> None:
        """Close the crawl with *reason*; say *explanation* once, as something to act on."""
        if self._reason is not None or self.in_progress:
            return
        self._reason = reason
        logger.error("%s", explanation)
        closing = self._crawler.engine.close_spider_async(reason=reason)
        self._task = asyncio.get_running_loop().create_task(closing)

    async def or_cancelled(self, awaited: Coroutine[object, object, _T]) -> _T:
        """Return what *awaited* returns; cancel it when the crawl ends first.

        Raises:
            CrawlClosingError: The crawl ends.
        """
        task = asyncio.ensure_future(awaited)
        try:
            while not task.done():
                if self.in_progress or self._reason is not None:
                    raise CrawlClosingError("the crawl ends")
                await asyncio.wait({task}, timeout=POLL_SECONDS)
            return task.result()
        finally:
            task.cancel()
