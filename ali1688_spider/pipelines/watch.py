"""Decides, after a watched product is stored, when it is collected again."""

from __future__ import annotations

from typing import Any, Self

from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.statscollectors import StatsCollector

from ali1688_spider.items import Product
from ali1688_spider.spiders.watch import WatchSpider


class WatchPipeline:
    """Passes what each fetch found to the schedule of ``watch``; off for other spiders."""

    def __init__(self, spider: WatchSpider, stats: StatsCollector) -> None:
        self._spider = spider
        self._stats = stats

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the pipeline."""
        if not isinstance(crawler.spider, WatchSpider):
            raise NotConfigured
        return cls(crawler.spider, crawler.stats)

    async def process_item(self, item: Any) -> Any:
        """Return the product as it is, once its next fetch is decided."""
        if isinstance(item, Product):
            outcome, delay = await self._spider.watcher.fetched(item)
            if self._spider.file_store is None:
                self._spider.delays[item.product_id] = delay
            self._stats.inc_value(f"ali1688/watch/{outcome.value}")
        return item
