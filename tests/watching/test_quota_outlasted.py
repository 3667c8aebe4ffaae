from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy.utils.test import get_crawler

from ali1688_spider import settings as defaults
from ali1688_spider.addon import context_of
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest
from ali1688_spider.middlewares.quota import QuotaMiddleware
from ali1688_spider.quota.exceptions import DailyQuotaExhaustedError
from ali1688_spider.spiders.watch import WatchSpider

if TYPE_CHECKING:
    import pytest


class Days:
    """A quota with no call left on the first days, which are short."""

    def __init__(self, days: int) -> None:
        self.days = days

    day = 20_000
    is_paused = False

    async def slot(self) -> float:
        if self.days:
            self.days -= 1
            raise DailyQuotaExhaustedError(0.01)
        return 0.0


class Going:
    """A crawl that does not end."""

    async def or_cancelled(self, awaited: Any) -> Any:
        return await awaited


async def test_a_call_is_made_on_the_next_day_with_quota(caplog: pytest.LogCaptureFixture) -> None:
    values = {name: getattr(defaults, name) for name in dir(defaults) if name.isupper()}
    own = {"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "test123", "REDIS_URL": ""}
    crawler = get_crawler(WatchSpider, values | own)
    crawler.spider = crawler._create_spider()
    context = context_of(crawler)
    days = Days(3)
    context.__dict__["quota"], context.__dict__["shutdown"] = days, Going()
    middleware = QuotaMiddleware.from_crawler(crawler)
    request = ApiRequest("http://127.0.0.1/", call=ApiCall.product(1))
    await middleware.process_request(request)
    assert days.days == 0
    [message] = caplog.messages
    assert message.startswith("ALI1688_DAILY_QUOTA (100000 calls) is used up")
    assert message.endswith("Calls wait until then.")
