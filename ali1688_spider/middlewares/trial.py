"""Holds the calls of a crawl back until the first ones have shown that the gateway takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.addon import account_of
from ali1688_spider.requests import ApiRequest

if TYPE_CHECKING:
    from typing import Self

    from scrapy import Request
    from scrapy.crawler import Crawler

    from ali1688_spider.account import Account


class TrialMiddleware:
    """Waits for the end of the :class:`~ali1688_spider.trial.Trial`, before a slot is taken."""

    def __init__(self, account: Account) -> None:
        self._account = account

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the middleware."""
        return cls(account_of(crawler))

    async def process_request(self, request: Request) -> None:
        """Return when the call may go on; one whose error was mended is part of the trial.

        Raises:
            CallReleasedError: The crawl ends before, because of the first calls.
        """
        if not isinstance(request, ApiRequest) or request.healed:
            return
        trial = self._account.trial
        if not trial.take_part():
            await self._account.closing.unless_closing(trial.over())
