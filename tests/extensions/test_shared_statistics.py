from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import redis
from scrapy import signals
from scrapy.exceptions import NotConfigured
from scrapy.utils.test import get_crawler

from ali1688_spider import __version__
from ali1688_spider.addon import context_of
from ali1688_spider.extensions import shared_statistics
from ali1688_spider.extensions.shared_statistics import StatisticsSharing
from ali1688_spider.spiders.product import ProductSpider
from ali1688_spider.statistics.sums import StatisticsReader
from tests.harness import eventually
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scrapy.crawler import Crawler

    from ali1688_spider.statistics.sums import WorkerLine

    MakeCrawler = Callable[..., Crawler]

CALLS = "ali1688/calls"
LEASE_SECONDS = 60.0


@pytest.fixture
def crawler_of() -> Iterator[Callable[..., Crawler]]:
    """Returns a crawl whose spider is open, with a *worker* as one has with Redis."""
    from ali1688_spider import settings as module

    defaults = {name: getattr(module, name) for name in dir(module) if name.isupper()}
    made: list[Crawler] = []

    def make(redis_url: str, worker: object = None, **settings: Any) -> Crawler:
        own = {
            "ALI1688_APP_KEY": "1000000",
            "ALI1688_APP_SECRET": "test123",
            "REDIS_URL": redis_url,
            "MONGO_URI": "",
        }
        crawler = get_crawler(ProductSpider, {**defaults, **own, **settings})
        scheduler = SimpleNamespace(worker=worker)
        crawler._engine = SimpleNamespace(scheduler=scheduler)  # type: ignore[assignment]
        crawler.spider = crawler._create_spider()
        made.append(crawler)
        return crawler

    yield make
    for crawler in made:
        if (client := context_of(crawler).redis) is not None:
            client.close()


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(shared_statistics, "time", clock)
    return clock


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def lines(server: redis.Redis) -> list[WorkerLine]:
    return [worker.line for worker in StatisticsReader(server).read().workers]


def totals(server: redis.Redis) -> dict[str, dict[str, float]]:
    return StatisticsReader(server).read().totals


def scripts_run(server: redis.Redis) -> int:
    """Return how many scripts this Redis has run, those of others included."""
    statistics: Any = server.info("commandstats")
    names = ("cmdstat_evalsha", "cmdstat_eval")
    return sum(statistics[name]["calls"] for name in names if name in statistics)


def test_without_redis_nothing_is_shared(crawler_of: MakeCrawler) -> None:
    crawler = crawler_of("")
    assert crawler.get_extension(StatisticsSharing) is None
    with pytest.raises(NotConfigured):
        StatisticsSharing.from_crawler(crawler)
    assert not crawler.stats.get_stats()


async def test_a_line_says_who_it_is_and_how_far(
    redis_url: str, server: redis.Redis, monkeypatch: pytest.MonkeyPatch, crawler_of: MakeCrawler
) -> None:
    monkeypatch.setenv("SCRAPY_JOB", "job 1")
    worker = SimpleNamespace(queued=40, in_flight=3, pause=None)
    crawler = crawler_of(redis_url, worker)
    sharing = StatisticsSharing.from_crawler(crawler)
    counts = {CALLS: 12, "ali1688/failed_calls": 2, "item_scraped_count": 9, "ali1688/wanted": 50}
    for name, number in counts.items():
        crawler.stats.set_value(name, number)
    crawler.stats.set_value("ali1688/clock/skew_seconds", -3.5)
    monkeypatch.setattr(context_of(crawler), "waits", lambda: iter(["one thing", "another"]))
    await sharing._share()
    assert totals(server) == {"product": counts}
    [line] = lines(server)
    assert (line.spider, line.host, line.pid) == ("product", socket.gethostname(), os.getpid())
    assert (line.job, line.version) == ("job 1", __version__)
    assert (line.calls, line.failed, line.done, line.total) == (12, 2, 11, 50)
    assert (line.in_flight, line.waiting) == (3, 40)
    assert line.memory_bytes > 1_000_000
    assert line.waits_for == "one thing; another"
    assert line.gauges == {"ali1688/clock/skew_seconds": -3.5}


async def test_a_crawl_without_the_progress_has_a_line(
    redis_url: str, server: redis.Redis, crawler_of: MakeCrawler
) -> None:
    progress = "ali1688_spider.extensions.progress.Progress"
    crawler = crawler_of(redis_url, EXTENSIONS={progress: None})
    await StatisticsSharing.from_crawler(crawler)._share()
    assert len(lines(server)) == 1


async def test_a_worker_with_nothing_to_do_renews_its_line_twice_in_a_lease(
    redis_url: str, server: redis.Redis, clock: Clock, crawler_of: MakeCrawler
) -> None:
    crawler = crawler_of(redis_url, SimpleNamespace(queued=0, in_flight=0, pause=None))
    sharing = StatisticsSharing.from_crawler(crawler)
    crawler.stats.set_value(CALLS, 1)
    await sharing._share()
    before = scripts_run(server)
    for second in range(5, 601, 5):
        clock.now += 5
        # What changes by itself.
        crawler.stats.set_value("ali1688/watch/fraction_fresh", second / 1000)
        crawler.stats.inc_value("log_count/INFO")
        crawler.stats.set_value("memusage/max", second)
        await sharing._share()
    assert scripts_run(server) - before == 2 * 600 / LEASE_SECONDS


async def test_what_happens_is_shared_within_five_seconds(
    redis_url: str, server: redis.Redis, clock: Clock, crawler_of: MakeCrawler
) -> None:
    worker = SimpleNamespace(queued=0, in_flight=0, pause=None)
    crawler = crawler_of(redis_url, worker)
    sharing = StatisticsSharing.from_crawler(crawler)
    assert sharing._interval == 5
    await sharing._share()
    clock.now += 5
    worker.in_flight = 1
    await sharing._share()
    assert lines(server)[0].in_flight == 1
    crawler.stats.inc_value(CALLS)
    await sharing._share()
    assert totals(server) == {"product": {CALLS: 1}}
    context_of(crawler).next_day_at = time.monotonic() + 3600
    await sharing._share()
    assert lines(server)[0].waits_for.startswith("the next day's calls")


async def test_what_redis_did_not_take_comes_as_soon_as_it_is_back(
    redis_url: str, server: redis.Redis, clock: Clock, crawler_of: MakeCrawler
) -> None:
    crawler = crawler_of(redis_url)
    sharing = StatisticsSharing.from_crawler(crawler)
    await sharing._share()
    execute = context_of(crawler).redis.execute_command

    def refuse(*_: object, **__: object) -> None:
        raise redis.ConnectionError("away")

    context_of(crawler).redis.execute_command = refuse
    crawler.stats.set_value(CALLS, 5)
    clock.now += 5
    with pytest.raises(redis.ConnectionError):
        await sharing._share()
    context_of(crawler).redis.execute_command = execute
    clock.now += 5
    await sharing._share()
    assert totals(server) == {"product": {CALLS: 5}}


async def test_the_end_adds_what_came_last_and_takes_the_line_away(
    redis_url: str, server: redis.Redis, crawler_of: MakeCrawler
) -> None:
    crawler = crawler_of(redis_url)
    sharing = StatisticsSharing.from_crawler(crawler)
    sharing.begin()
    await asyncio.to_thread(eventually, lambda: lines(server))
    crawler.stats.set_value(CALLS, 7)
    await sharing.end()
    assert totals(server) == {"product": {CALLS: 7}}
    assert lines(server) == []
    assert sharing._task is not None
    assert sharing._task.done()


async def test_what_others_count_when_the_spider_closes_is_added(
    redis_url: str, server: redis.Redis, crawler_of: MakeCrawler
) -> None:
    crawler = crawler_of(redis_url)  # which has its own

    async def count_late() -> None:
        await asyncio.sleep(0.05)
        crawler.stats.inc_value(CALLS)

    crawler.signals.connect(count_late, signals.spider_closed)
    for signal in (signals.spider_closed, signals.engine_stopped):
        await crawler.signals.send_catch_log_async(signal, spider=crawler.spider, reason="")
    assert totals(server)["product"][CALLS] == 1


async def test_a_crawl_that_could_not_open_adds_what_it_counted(
    redis_url: str, server: redis.Redis, crawler_of: MakeCrawler
) -> None:
    crawler = crawler_of(redis_url)
    crawler.stats.inc_value("log_count/ERROR")
    await StatisticsSharing.from_crawler(crawler).end()
    assert totals(server) == {"product": {"log_count/ERROR": 1}}


async def test_a_redis_that_is_away_at_the_end_is_one_warning(
    caplog: pytest.LogCaptureFixture, crawler_of: MakeCrawler
) -> None:
    crawler = crawler_of(f"redis://:s3cret-word@127.0.0.1:{free_port()}/0")
    sharing = StatisticsSharing.from_crawler(crawler)
    sharing.begin()
    await asyncio.sleep(0)
    caplog.set_level(logging.INFO)
    await sharing.end()
    [message] = caplog.messages
    assert message.startswith("The last statistics of this crawl are not in Redis: Error 111")
    assert "s3cret" not in message


async def test_a_redis_that_hangs_at_the_end_is_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, crawler_of: MakeCrawler
) -> None:
    monkeypatch.setattr(shared_statistics, "CLOSING_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        params = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "protocol": 3}
        crawler = crawler_of(f"redis://127.0.0.1:{port}/0", REDIS_PARAMS=params)
        sharing = StatisticsSharing.from_crawler(crawler)
        sharing.begin()
        await asyncio.sleep(0)
        await sharing.end()
    [message] = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert message == "The last statistics of this crawl are not in Redis: no answer within 0 s"


async def test_a_defect_is_logged_once_and_the_end_adds_all(
    redis_url: str,
    server: redis.Redis,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    crawler_of: MakeCrawler,
) -> None:
    crawler = crawler_of(redis_url)
    sharing = StatisticsSharing.from_crawler(crawler)
    monkeypatch.setattr(sharing, "_line", lambda: 1 / 0)
    crawler.stats.set_value(CALLS, 7)
    sharing.begin()
    assert sharing._task is not None
    await sharing._task
    await sharing.end()
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.message == "The statistics of this crawl are not shared any further"
    assert totals(server) == {"product": {CALLS: 7}}
