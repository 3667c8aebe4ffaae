from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.exceptions import NotConfigured
from scrapy.utils.test import get_crawler

from ali1688_spider.context import data_folder
from ali1688_spider.extensions import progress
from ali1688_spider.extensions.progress import (
    Freshness,
    Progress,
    ProgressFigures,
    RecentSpeed,
)
from ali1688_spider.items import Product
from ali1688_spider.scheduling.steering import Pause
from ali1688_spider.spiders.product import ProductSpider
from ali1688_spider.spiders.watch import WatchSpider
from ali1688_spider.watching.sqlite_store import FILE_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from scrapy import Spider
    from scrapy.crawler import Crawler

    from ali1688_spider.watching.sqlite_store import SqliteWatchStore

FRACTION = "ali1688/watch/fraction_fresh"


def crawler_of(spider: type[Spider], worker: object = None, **changes: str) -> Crawler:
    """Return a crawl whose spider is open, with a *worker* as one has with Redis."""
    from ali1688_spider import settings

    defaults = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
    own = {"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "test123", "REDIS_URL": ""}
    crawler = get_crawler(spider, {**defaults, **own, **changes})
    scheduler = SimpleNamespace(worker=worker)
    crawler._engine = SimpleNamespace(scheduler=scheduler)  # type: ignore[assignment]
    crawler.spider = crawler._create_spider()
    return crawler


@pytest.fixture
def crawler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crawler:
    monkeypatch.chdir(tmp_path)
    return crawler_of(WatchSpider)


class Clock:
    """The time that the progress sees."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def collect(crawler: Crawler, clock: Clock, extension: Progress, per_second: int) -> None:
    """Let a minute pass, and more, at this speed."""
    for _ in range(90):
        clock.now += 1
        crawler.stats.inc_value("item_scraped_count", per_second)
        extension._sample()


def test_a_crawl_alone_knows_what_is_left(clock: Clock) -> None:
    crawler = crawler_of(ProductSpider)
    extension = Progress.from_crawler(crawler)
    assert extension.figures() == ProgressFigures(0, 0, 0, 0.0, None)  # before anything is known
    extension._sample()
    crawler.stats.set_value("ali1688/wanted", 4000)
    collect(crawler, clock, extension, 20)
    for name in ("items/gone", "items/rejected", "failed_calls"):
        crawler.stats.set_value(f"ali1688/{name}", 10)
    figures = extension.figures()
    assert (figures.done, figures.total, figures.waiting) == (1820, 4000, 2180)
    assert figures.rate_per_second == pytest.approx(1220 / 60)
    assert figures.seconds_left == pytest.approx(2180 * 60 / 1220)
    line = extension._text()
    assert line.startswith("1,790 of 4,000 products, 2,180 waiting, 20.3/s, done at about ")
    assert line.endswith(", 10 gone, 10 rejected, 10 given up, 0 calls")


def test_the_hours_that_a_worker_has_waited_do_not_count(clock: Clock) -> None:
    worker = SimpleNamespace(queued=0, pause=None)
    crawler = crawler_of(ProductSpider, worker)
    extension = Progress.from_crawler(crawler)
    extension._sample()
    clock.now += 7200
    collect(crawler, clock, extension, 0)
    assert extension._text() == "0 products, 0 waiting, 0.0/s, 0 calls"
    worker.queued = 6000
    collect(crawler, clock, extension, 50)
    worker.queued = 3000
    assert extension.figures() == ProgressFigures(4500, 0, 3000, 50.0, 60.0)
    worker.pause = Pause(by="me")
    assert extension._text().startswith(
        "waits for scrapy queue resume (paused by me) | 4,500 products, 3,000 waiting, 50.0/s, done"
    )


def test_a_watch_has_no_end(clock: Clock) -> None:
    worker = SimpleNamespace(queued=1_000_000, due=40, pause=None)
    crawler = crawler_of(WatchSpider, worker)
    extension = Progress.from_crawler(crawler)
    extension._sample()
    crawler.stats.set_value("ali1688/search/found", 240)
    collect(crawler, clock, extension, 2)
    worker.due = 20
    assert extension.figures() == ProgressFigures(180, 0, 20, 2.0, None)
    assert extension._text() == "180 products, 20 waiting, 2.0/s, 0 calls"


@pytest.mark.parametrize(
    ("log_format", "wanted", "on_a_terminal", "elsewhere"),
    [
        ("text", "auto", True, False),
        ("text", "off", False, False),
        ("text", "on", True, True),
        ("json", "auto", False, False),
        ("json", "off", False, False),
        ("json", "on", True, True),
    ],
)
def test_where_the_line_is_shown(
    log_format: str,
    wanted: str,
    *,
    on_a_terminal: bool,
    elsewhere: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"ALI1688_LOG_FORMAT": log_format, "ALI1688_PROGRESS": wanted}
    for is_terminal, shown in ((True, on_a_terminal), (False, elsewhere)):
        monkeypatch.setattr(sys.stderr, "isatty", lambda is_terminal=is_terminal: is_terminal)
        assert Progress(crawler_of(ProductSpider, **settings))._has_line is shown


def test_asking_changes_no_figure(clock: Clock) -> None:
    asked, left_alone = crawler_of(ProductSpider), crawler_of(ProductSpider)
    figures, samples = [], []
    for crawler in (asked, left_alone):
        clock.now = 1000.0
        extension = Progress.from_crawler(crawler)
        crawler.stats.set_value("ali1688/wanted", 4000)
        extension._sample()
        for second in range(90):
            clock.now += 0.5
            for _ in range(3 if crawler is asked else 0):
                extension.figures()
            clock.now += 0.5
            crawler.stats.inc_value("item_scraped_count", second)
            extension._sample()
        figures.append(extension.figures())
        samples.append(list(extension._speed._samples))
    assert figures[0] == figures[1]
    assert samples[0] == samples[1]
    assert figures[0].rate_per_second == sum(range(30, 90)) / 60


def test_the_end_is_expected_by_the_speed_since_most_waited() -> None:
    speed = RecentSpeed()
    assert (speed.rate(0, 0), speed.seconds_left(0, 10)) == (0.0, None)
    for now, waiting in enumerate((1, 500, 1000, 990, 980)):  # it is queued, then collected
        speed.sample(now, 0, waiting)
    assert speed.seconds_left(4, 980) == 98
    assert speed.seconds_left(4, 1000) is None
    assert speed.seconds_left(4, 0) is None


async def test_samples_are_taken_while_the_crawl_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SAMPLE_SECONDS", 0.01)
    crawler = crawler_of(ProductSpider)
    extension = Progress.from_crawler(crawler)
    extension.begin()
    async with asyncio.timeout(30):
        while len(extension._speed._samples) < 3:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
    extension.end()


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
