"""Lets a call pass when the shared quota has a slot for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from scrapy import signals

from ali1688_spider.addon import account_of
from ali1688_spider.closing import CallReleasedError
from ali1688_spider.quota.exceptions import DailyQuotaExhaustedError
from ali1688_spider.requests import ApiRequest

if TYPE_CHECKING:
    from typing import Self

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.statscollectors import StatsCollector

    from ali1688_spider.account import Account

logger = logging.getLogger(__name__)


class QuotaMiddleware:
    """Waits for a slot; a day without any left ends the crawl, and its calls stay to be made."""

    def __init__(self, account: Account, stats: StatsCollector) -> None:
        self._account = account
        self._stats = stats
        configuration = account.configuration
        self._unlimited = configuration.qps == 0 and configuration.daily_quota == 0

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the middleware."""
        middleware = cls(account_of(crawler), crawler.stats)
        crawler.signals.connect(middleware.close, signals.spider_closed)
        return middleware

    async def process_request(self, request: Request) -> None:
        """Return when the call may be made.

        Raises:
            CallReleasedError: The crawl ends before.
        """
        if self._unlimited or not isinstance(request, ApiRequest):
            return
        closing = self._account.closing
        try:
            await closing.unless_closing(self._account.quota.slot())
        except DailyQuotaExhaustedError as error:
            hours, minutes = divmod(int(error.reset_in) // 60, 60)
            closing.close(
                "quota_exhausted",
                f"ALI1688_DAILY_QUOTA ({self._account.configuration.daily_quota} calls) is used "
                f"up; the next day begins in {hours} h {minutes} min (GMT+8). Start the crawl "
                "again then, or raise the setting to what the platform grants your app.",
            )
            raise CallReleasedError(str(error)) from None

    async def close(self) -> None:
        """Give back the slots that were not used, and leave the statistics."""
        quota = self._account.quota
        await quota.close()
        statistics = quota.statistics
        self._stats.set_value("ali1688/quota/wait_seconds", round(statistics.waited_seconds, 3))
        self._stats.set_value("ali1688/quota/slots_used", statistics.granted)
        self._stats.set_value("ali1688/quota/slots_discarded", statistics.discarded)
