from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from scrapy.exceptions import NotConfigured
from scrapy.utils.test import get_crawler

from ali1688_spider.items import Product
from ali1688_spider.pipelines.watch import WatchPipeline
from ali1688_spider.spiders.product import ProductSpider
from ali1688_spider.spiders.watch import WatchSpider

if TYPE_CHECKING:
    from pathlib import Path

    from scrapy.crawler import Crawler

SETTINGS = {
    "ADDONS": {"ali1688_spider.addon.Ali1688Addon": 100},
    "ALI1688_APP_KEY": "1000000",
    "ALI1688_APP_SECRET": "test123",
    "ALI1688_PROTOCOL": "router",
    "ALI1688_SIGN_METHOD": "md5",
    "ALI1688_HTTP_METHOD": "POST",
    "ALI1688_QPS": "0",
    "ALI1688_DAILY_QUOTA": "0",
    "ALI1688_CACHE_TTL": "60",
    "ALI1688_MAX_ATTEMPTS": "5",
    "ALI1688_LEASE_SECONDS": "60",
    "ALI1688_HISTORY_DAYS": "0",
    "MONGO_DATABASE": "ali1688",
}


@pytest.fixture
def crawler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crawler:
    monkeypatch.chdir(tmp_path)
    crawler = get_crawler(WatchSpider, SETTINGS)
    crawler.spider = crawler._create_spider(min_interval="7")
    return crawler


def product(second: int, **fields: object) -> Product:
    at = datetime(2026, 10, 10, 8, 0, second, tzinfo=UTC)
    return Product(product_id=1, name="杯", source_api="test", fetched_at=at, **fields)


def test_it_is_off_for_other_spiders() -> None:
    crawler = get_crawler(ProductSpider, SETTINGS)
    crawler.spider = crawler._create_spider(ids="1")
    with pytest.raises(NotConfigured):
        WatchPipeline.from_crawler(crawler)


async def test_it_counts_what_fetches_found(crawler: Crawler) -> None:
    pipeline = WatchPipeline.from_crawler(crawler)
    spider = crawler.spider
    assert isinstance(spider, WatchSpider)
    assert spider.file_store is not None
    spider.file_store.add([1])
    found = [
        product(1, stock=3),
        product(2, stock=3),
        product(3, stock=4),
        product(4, status="removed"),
    ]
    assert [await pipeline.process_item(each) for each in found] == found
    names = ("unchanged", "changed", "removed")
    counts = [crawler.stats.get_value(f"ali1688/watch/{name}") for name in names]
    assert counts == [2, 1, 1]
    await spider.watcher.close()


async def test_other_items_pass_untouched(crawler: Crawler) -> None:
    item = {"product_id": 1}
    assert await WatchPipeline.from_crawler(crawler).process_item(item) is item
