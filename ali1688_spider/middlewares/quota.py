"""Lets a call pass when the shared quota has a slot for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from scrapy import signals

from ali1688_spider.addon import context_of
from ali1688_spider.http import ApiRequest
from ali1688_spider.quota.exceptions import DailyQuotaExhaustedError
from ali1688_spider.shutdown import CrawlClosingError

if TYPE_CHECKING:
    from typing import Self

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.statscollectors import StatsCollector

    from ali1688_spider.context import CrawlContext

logger = logging.getLogger(__name__)


class QuotaMiddleware:
    """Waits for a slot; a day without any left ends the crawl, and its calls stay to be made.

    A spider that ``outlasts_quota`` waits for the next day instead.
    """

    def __init__(
        self, context: CrawlContext, stats: StatsCollector, *, outlasts_quota: bool
    ) -> None:
        self._context = context
        self._stats = stats
        self._outlasts_quota = outlasts_quota
        self._is_told = False
        config = context.config
        self._unlimited = config.qps == 0 and config.daily_quota == 0

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the middleware."""
        outlasts_quota = getattr(crawler.spider, "outlasts_quota", False)
        middleware = cls(context_of(crawler), crawler.stats, outlasts_quota=outlasts_quota)
        crawler.signals.connect(middleware.close, signals.spider_closed)
        return middleware

    async def process_request(self, request: Request) -> None:
        """Return when the call may be made.

        Raises:
            CrawlClosingError: The crawl ends before.
        """
        quota = self._context.quota
        if not isinstance(request, ApiRequest) or (self._unlimited and not quota.is_paused):
            return
        closing = self._context.shutdown
        while True:
            try:
                await closing.or_cancelled(quota.slot())
            except DailyQuotaExhaustedError as error:
                if not self._outlasts_quota:
                    closing.close(
                        "quota_exhausted",
                        f"{self._explain(error)} Start the crawl again then, or raise the setting "
                        "to what the platform grants your app.",
                    )
                    raise CrawlClosingError(str(error)) from None
                if not self._is_told:
                    logger.warning("%s Calls wait until then.", self._explain(error))
                self._is_told = True
                await closing.or_cancelled(asyncio.sleep(error.reset_in))
            else:
                self._is_told = False
                request.quota_day = quota.day
                return

    def _explain(self, error: DailyQuotaExhaustedError) -> str:
        hours, minutes = divmod(int(error.reset_in) // 60, 60)
        return (
            f"ALI1688_DAILY_QUOTA ({self._context.config.daily_quota} calls) is used up; "
            f"the next day begins in {hours} h {minutes} min (GMT+8)."
        )

    async def close(self) -> None:
        """Give back the slots that were not used, and leave the statistics."""
        quota = self._context.quota
        await quota.close()
        statistics = quota.statistics
        self._stats.set_value("ali1688/quota/wait_seconds", round(statistics.waited_seconds, 3))
        self._stats.set_value("ali1688/quota/slots_used", statistics.granted)
        self._stats.set_value("ali1688/quota/slots_discarded", statistics.discarded)
