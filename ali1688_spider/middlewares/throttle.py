"""Lets a call go on when the gateway takes calls and the shared quota has a slot for it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Self

from scrapy import Request, signals
from scrapy.crawler import Crawler

from ali1688_spider.addon import context_of
from ali1688_spider.http import ApiRequest
from ali1688_spider.quota.limits import DailyQuotaExhaustedError
from ali1688_spider.shutdown import CrawlClosingError

logger = logging.getLogger(__name__)


class ThrottleMiddleware:
    """Waits for the circuit breaker, then for a slot of the quota.

    The errors middleware reports the outcome of each call to both. A day without calls left ends
    the crawl, whose calls stay queued; a spider that ``outlasts_quota`` waits for the next day.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._context = context_of(crawler)
        self._stats = crawler.stats
        self._outlasts_quota = getattr(crawler.spider, "outlasts_quota", False)
        self._waits_for_next_day = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the middleware."""
        middleware = cls(crawler)
        crawler.signals.connect(middleware.close, signals.spider_closed)
        return middleware

    async def process_request(self, request: Request) -> None:
        """Return when the call may be made.

        Raises:
            CrawlClosingError: The crawl is closing.
        """
        if not isinstance(request, ApiRequest):
            return
        context = self._context
        # A retry after a recovery keeps the place that it has: others may wait for it.
        if context.breaker.holds_back and not request.recoveries:
            request.probe = await context.shutdown.or_cancelled(context.breaker.enter())
        config = context.config
        if config.qps or config.daily_quota or context.quota.is_paused:
            request.quota_day = await self.wait_for_slot()
            self._set_statistics()

    async def wait_for_slot(self) -> int:
        """Return, once a call may be made, the day that it counts for.

        Raises:
            CrawlClosingError: The crawl is closing, for the day has no calls left perhaps.
        """
        shutdown = self._context.shutdown
        while True:
            try:
                day = await shutdown.or_cancelled(self._context.quota.acquire())
            except DailyQuotaExhaustedError as error:
                hours, minutes = divmod(int(error.reset_in) // 60, 60)
                explanation = (
                    f"ALI1688_DAILY_QUOTA ({self._context.config.daily_quota} calls) is used up; "
                    f"the next day begins in {hours} h {minutes} min (GMT+8)."
                )
                if not self._outlasts_quota:
                    way_out = "raise the setting to what the platform grants your app"
                    shutdown.close(
                        "quota_exhausted",
                        f"{explanation} Start the crawl again then, or {way_out}.",
                    )
                    raise CrawlClosingError(str(error)) from None
                if not self._waits_for_next_day:
                    logger.warning("%s Calls wait until then.", explanation)
                self._waits_for_next_day = True
                self._context.next_day_at = time.monotonic() + error.reset_in
                await shutdown.or_cancelled(asyncio.sleep(error.reset_in))
            else:
                self._waits_for_next_day = False
                return day

    async def close(self) -> None:
        """Give back the slots that were not used."""
        await self._context.quota.close()
        self._set_statistics()

    def _set_statistics(self) -> None:
        quota = self._context.quota
        self._stats.set_value("ali1688/quota/wait_seconds", round(quota.wait_seconds, 3))
        self._stats.set_value("ali1688/quota/slots_used", quota.slots_used)
        self._stats.set_value("ali1688/quota/slots_discarded", quota.slots_discarded)
