"""Closes a crawl early, and cancels what waits when a crawl closes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TypeVar

from scrapy.crawler import Crawler
from scrapy.exceptions import CloseSpider, IgnoreRequest

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

POLL_SECONDS = 0.2

INCOMPLETE = "incomplete"
"""The close reason of a crawl whose work is done, and not all of it was successful."""


class CrawlClosingError(IgnoreRequest):
    """The crawl closes before the call could be made; the call is given back, not lost."""


class Shutdown:
    """The end of one crawl.

    Scrapy waits for every running request before it closes: what may wait for long (for a quota,
    for a database) waits through :meth:`or_cancelled`. Scrapy 2.19 has no signal for the moment
    when closing begins (``spider_closed`` and all hooks of components come after that wait), and
    SIGTERM or a ``CloseSpider`` of any component begin it inside the engine; so what waits polls
    the engine.

    Attributes:
        has_lost: Something that was wanted is neither collected nor kept anywhere.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.has_lost = False
        self._crawler = crawler
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_incomplete(self) -> bool:
        """Whether something that was wanted was not collected."""
        return self.has_lost or bool(self._crawler.stats.get_value("ali1688/failed_calls"))

    def end_incomplete(self) -> None:
        """Raise ``CloseSpider`` with :data:`INCOMPLETE` if something was not collected."""
        if self.is_incomplete:
            raise CloseSpider(INCOMPLETE)

    @property
    def in_progress(self) -> bool:
        """Whether the crawl is closing."""
        engine = self._crawler.engine
        slot = engine._slot  # noqa: SLF001  # nothing public says that a spider is being closed
        is_open = engine.running and slot is not None and slot.closing is None
        return self._closing is not None or not is_open

    def close(self, reason: str, explanation: str) -> None:
        """Close the crawl with *reason*; log *explanation* once, as something to act on."""
        if self.in_progress:
            return
        logger.error("%s", explanation)
        closing = self._crawler.engine.close_spider_async(reason=reason)
        self._closing = asyncio.get_running_loop().create_task(closing)

    async def or_cancelled(self, awaited: Coroutine[object, object, _T]) -> _T:
        """Return the result of *awaited*; cancel it when the crawl closes first.

        Raises:
            CrawlClosingError: The crawl is closing.
        """
        task = asyncio.get_running_loop().create_task(awaited)
        try:
            while not self.in_progress:
                await asyncio.wait({task}, timeout=POLL_SECONDS)
                if task.done():
                    return task.result()
        finally:
            task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            raise CrawlClosingError("the crawl is closing")
        return task.result()
