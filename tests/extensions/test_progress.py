from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.exceptions import NotConfigured
from scrapy.utils.test import get_crawler

from ali1688_spider.context import data_folder
from ali1688_spider.extensions import progress
from ali1688_spider.extensions.progress import Freshness
from ali1688_spider.items import Product
from ali1688_spider.spiders.product import ProductSpider
from ali1688_spider.spiders.watch import WatchSpider
from ali1688_spider.watching.sqlite_store import FILE_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from scrapy.crawler import Crawler

    from ali1688_spider.watching.sqlite_store import SqliteWatchStore

FRACTION = "ali1688/watch/fraction_fresh"


@pytest.fixture
def crawler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crawler:
    from ali1688_spider import settings

    monkeypatch.chdir(tmp_path)
    defaults = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
    own = {"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "test123", "REDIS_URL": ""}
    crawler = get_crawler(WatchSpider, {**defaults, **own})
    crawler.spider = crawler._create_spider()
    return crawler


def fetched(product_id: int) -> Product:
    at = datetime.now(UTC)
    return Product(product_id=product_id, name="杯", source_api="test", fetched_at=at)


def store_of(spider: WatchSpider) -> SqliteWatchStore:
    assert spider.file_store is not None
    return spider.file_store


def test_it_is_off_for_other_spiders() -> None:
    crawler = get_crawler(ProductSpider)
    crawler.spider = crawler._create_spider(ids="1")
    with pytest.raises(NotConfigured):
        Freshness.from_crawler(crawler)


async def test_it_measures_while_the_crawl_runs_and_at_its_end(
    crawler: Crawler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "FRESHNESS_SECONDS", 0.01)
    caplog.set_level(logging.INFO)
    extension = Freshness.from_crawler(crawler)
    spider: Any = crawler.spider
    store_of(spider).add([1, 2])
    await spider.watcher.fetched(fetched(1))
    extension.begin()
    async with asyncio.timeout(30):
        while crawler.stats.get_value(FRACTION) is None:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
    assert crawler.stats.get_value(FRACTION) == 0.5
    await spider.watcher.fetched(fetched(2))
    await extension.end()
    assert crawler.stats.get_value(FRACTION) == 1.0
    assert caplog.messages[-1] == "About 100 % of the watched products are fresh"


async def test_a_schedule_that_cannot_be_read_is_no_error(
    crawler: Crawler, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    extension = Freshness.from_crawler(crawler)
    spider: Any = crawler.spider
    store_of(spider)
    with closing(sqlite3.connect(data_folder() / FILE_NAME)) as file:
        file.execute("DROP TABLE watched")
    await extension.end()
    assert crawler.stats.get_value(FRACTION) is None
    assert "Freshness not measured: no such table: watched" in caplog.text
