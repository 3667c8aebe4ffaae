from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scrapy.utils.test import get_crawler

from ali1688_spider import settings
from ali1688_spider.addon import context_of
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest
from ali1688_spider.spiders.product import ProductSpider

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scrapy.crawler import Crawler


@pytest.fixture
def crawler_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Crawler]:
    """Return what makes a crawler with the project's settings, whose crawl has not begun."""
    monkeypatch.chdir(tmp_path)

    def make(spider_class: type[Any] = ProductSpider, **changes: Any) -> Crawler:
        values = {name: value for name, value in vars(settings).items() if name.isupper()}
        values |= {
            "TWISTED_REACTOR_ENABLED": False,
            "ALI1688_APP_KEY": "1000000",
            "ALI1688_APP_SECRET": "test123",
            "ALI1688_PROTOCOL": "router",
            "ALI1688_GATEWAY": "https://gateway.example/router/json",
            "REDIS_URL": "",
            "MONGO_URI": "",
        }
        crawler = get_crawler(spider_class, values | changes)
        crawler.spider = spider_class.from_crawler(crawler)
        return crawler

    return make


@pytest.fixture
def request_for() -> Callable[[Crawler, int], ApiRequest]:
    """Return what makes the request for a product, as spiders do."""

    def make(crawler: Crawler, product_id: int) -> ApiRequest:
        call = ApiCall.product(product_id)
        return ApiRequest(context_of(crawler).client.address(call), call=call, method="POST")

    return make
