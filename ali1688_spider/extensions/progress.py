"""What a running crawl shows: how far it is, and how fresh the watched products are."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from redis.exceptions import RedisError
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.statscollectors import StatsCollector
from scrapy.utils.asyncio import create_looping_call

from ali1688_spider.addon import context_of
from ali1688_spider.context import clock_time
from ali1688_spider.extensions.complete_feeds import Feeds
from ali1688_spider.logs import tell
from ali1688_spider.shutdown import INCOMPLETE, CrawlClosingError, CrawlOutcome
from ali1688_spider.spiders.watch import WatchSpider

if TYPE_CHECKING:
    from ali1688_spider.scheduling.worker import QueueWorker

logger = logging.getLogger(__name__)

LINE_SECONDS = 0.5
LOG_SECONDS = 60.0
FRESHNESS_SECONDS = 30.0
"""Interval of the line on the terminal, of that in the log, and of the measurement of freshness."""
SPEED_SECONDS = 60.0
"""How far back the rate and the expected end look."""
SAMPLE_SECONDS = 1.0
"""Interval of the samples that they are made of."""
_CLEARED = "\r\x1b[K"


@dataclass(frozen=True, slots=True)
class ProgressFigures:
    """How far a crawl is, as far as this process knows.

    Attributes:
        done: Products, rows and calls that have an outcome in this process: collected, gone,
            rejected or given up.
        total: Products that the crawl will have called for, as it seems; 0 when unknown, as for a
            worker that takes what is queued, and for a watch, which has no end.
        waiting: With Redis, calls that are queued or being made by any worker; of a watch, those
            that are due. Without Redis, what is left of *total*.
        rate_per_second: How much this process did per second in the last minute.
        seconds_left: Seconds until nothing waits, by how fast that became less in the last minute;
            None when unknown, and when nothing waits.
    """

    done: int
    total: int
    waiting: int
    rate_per_second: float
    seconds_left: float | None


class RecentSpeed:
    """How fast a crawl went in the last minute, by samples; whoever asks changes nothing.

    Moments are those of a monotonic clock, in seconds.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()

    def sample(self, now: float, done: int, waiting: int) -> None:
        """Note how much is done and how much waits at present; forget what is too old."""
        self._samples.append((now, done, waiting))
        while len(self._samples) > 1 and now - self._samples[1][0] >= SPEED_SECONDS:
            self._samples.popleft()

    def rate(self, now: float, done: int) -> float:
        """Return how much was done per second."""
        if not self._samples:
            return 0.0
        since, before, _ = self._samples[0]
        return (done - before) / (now - since) if now > since else 0.0

    def seconds_left(self, now: float, waiting: int) -> float | None:
        """Return the seconds until nothing waits, by the speed since most did; None if unknown."""
        if not self._samples:
            return None
        since, _, most = max(self._samples, key=lambda sample: sample[2])
        if not waiting or most <= waiting or now <= since:
            return None
        return waiting * (now - since) / (most - waiting)


class Progress:
    """Shows how far the crawl is, what it waits for, and at its end what became of it all.

    On a terminal a line on standard error says so, rewritten twice a second below the log;
    ``ALI1688_PROGRESS`` switches it on elsewhere, and beside a log of JSON (``on``), or off
    (``off``). The log gets a line a minute, while there is something new. The last line, of the
    outcome, comes always.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._context = context_of(crawler)
        config = self._context.config
        fits = sys.stderr.isatty() and config.log_format == "text"
        self._has_line = config.progress == "on" or (config.progress == "auto" and fits)
        self._speed = RecentSpeed()
        self._logged = ""
        self._tickers: list[Any] = []

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the extension and begin when the spider does."""
        progress = cls(crawler)
        crawler.signals.connect(progress.begin, signals.spider_opened)
        crawler.signals.connect(progress.end, signals.spider_closed)
        crawler.signals.connect(progress.show_outcome, signals.engine_stopped)
        return progress

    def begin(self) -> None:
        """Show the progress from now on."""
        logger.info("Ready to collect")
        self._sample()
        self._tick(self._sample, SAMPLE_SECONDS)
        self._tick(self._log, LOG_SECONDS)
        if self._has_line:
            self._tick(self._show, LINE_SECONDS)
            for handler in logging.root.handlers:
                if getattr(handler, "stream", None) is sys.stderr:
                    handler.addFilter(_clear_line)

    def _tick(self, function: Callable[[], None], seconds: float) -> None:
        ticker = create_looping_call(function)
        ticker.start(seconds, now=False)
        self._tickers.append(ticker)

    def end(self) -> None:
        """Leave the last state standing."""
        for ticker in self._tickers:
            if ticker.running:
                ticker.stop()
        if self._has_line:
            self._show()
            sys.stderr.write("\n")

    def show_outcome(self) -> None:
        """Write what became of what was wanted, and where it is; also into a log elsewhere."""
        stats = self._crawler.stats
        if (
            stats.get_value("finish_reason") == "finished"
            and self._context.shutdown.is_incomplete()
        ):
            stats.set_value("finish_reason", INCOMPLETE)
        outcome = CrawlOutcome.of(self._crawler)
        tell(
            logger,
            logging.INFO,
            f"{outcome} {self._destination()}",
            self._crawler.settings,
            spider=self._crawler.spidercls.name,
            outcome={**outcome.numbers, "reason": stats.get_value("finish_reason")},
        )

    def figures(self) -> ProgressFigures:
        """Return how far the crawl is; once the spider is open, as often as anybody asks."""
        now = time.monotonic()
        done, total, waiting = self._count()
        return ProgressFigures(
            done=done,
            total=total,
            waiting=waiting,
            rate_per_second=self._speed.rate(now, done),
            seconds_left=None if self._is_watch else self._speed.seconds_left(now, waiting),
        )

    def _destination(self) -> str:
        feeds = self._crawler.get_extension(Feeds)
        places = [*(feeds.stored if feeds else ()), *self._context.destinations]
        if places:
            text = f"→ {', '.join(places)}"
        elif feeds is not None:
            text = "→ nowhere"
        else:
            text = "→ nowhere: add -O products.csv, or set MONGO_URI"
        if feeds is not None and feeds.unstored:
            text += f"; not written: {', '.join(feeds.unstored)}"
        return text

    def _show(self) -> None:
        columns = shutil.get_terminal_size().columns
        sys.stderr.write(_CLEARED + self._text()[: columns - 1])
        sys.stderr.flush()

    def _log(self) -> None:
        text = self._text()
        if text != self._logged and not self._has_line:
            logger.info("%s", text)
        self._logged = text

    def _text(self) -> str:
        """Return ``396 of 4,000 products, 3,603 waiting, 20.0/s, done at about 12:45:00, …``."""
        stats, outcome = self._crawler.stats, CrawlOutcome.of(self._crawler)
        figures = self.figures()
        of_all = f" of {figures.total:,}" if figures.total else ""
        parts = [f"{outcome.collected:,}{of_all} products"]
        worker = self._worker()
        if figures.waiting or worker is not None:
            parts.append(f"{figures.waiting:,} waiting")
        parts.append(f"{figures.rate_per_second:,.1f}/s")
        if figures.seconds_left is not None:
            parts.append(f"done at about {clock_time(figures.seconds_left)}")
        for number, label in (
            (outcome.gone, "gone"),
            (outcome.rejected, "rejected"),
            (stats.get_value("ali1688/retries", 0), "retries"),
            (outcome.given_up, "given up"),
        ):
            if number:
                parts.append(f"{number:,} {label}")
        parts.append(f"{stats.get_value('ali1688/calls', 0):,} calls")
        waits = [*self._context.waits()]
        if worker is not None and worker.pause is not None:
            waits.append(f"scrapy queue resume ({worker.pause})")
        text = ", ".join(parts)
        return f"waits for {'; '.join(waits)} | {text}" if waits else text

    def _sample(self) -> None:
        done, _, waiting = self._count()
        self._speed.sample(time.monotonic(), done, waiting)

    def _count(self) -> tuple[int, int, int]:
        """Return what is done, what the total is, and what waits; see :class:`ProgressFigures`."""
        done, total = CrawlOutcome.of(self._crawler).done, self._expected()
        worker = self._worker()
        if worker is None:
            return done, total, max(0, total - done)
        return done, total, worker.due if self._is_watch else worker.queued

    def _expected(self) -> int:
        """Return how many products the crawl will have called for, as it seems; 0 if unknown."""
        stats, spider = self._crawler.stats, self._crawler.spider
        if self._is_watch:
            return 0
        wanted: int = stats.get_value("ali1688/wanted", 0)
        if not wanted:
            found: int = stats.get_value("ali1688/search/found", 0)
            return found
        source = getattr(spider, "source", None)
        if source is not None and source.size and source.bytes_read:
            read_part: float = source.bytes_read / source.size
            return round(wanted / min(1.0, read_part))
        return wanted

    @property
    def _is_watch(self) -> bool:
        return isinstance(self._crawler.spider, WatchSpider)

    def _worker(self) -> QueueWorker | None:
        """Return what talks to the queue; None without Redis."""
        return getattr(self._crawler.engine.scheduler, "worker", None)


def _clear_line(_: logging.LogRecord) -> bool:
    sys.stderr.write(_CLEARED)
    return True


class Freshness:
    """Keeps the statistic ``ali1688/watch/fraction_fresh`` up to date, and logs it.

    It is the expected part, 0 to 1, of the watched products whose stored copy is what the platform
    shows, estimated on a sample.
    """

    def __init__(self, spider: WatchSpider, stats: StatsCollector) -> None:
        self._spider = spider
        self._stats = stats
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the extension; it is off for other spiders than ``watch``."""
        if not isinstance(crawler.spider, WatchSpider):
            raise NotConfigured
        freshness = cls(crawler.spider, crawler.stats)
        crawler.signals.connect(freshness.begin, signals.spider_opened)
        crawler.signals.connect(freshness.end, signals.spider_closed)
        return freshness

    def begin(self) -> None:
        """Measure from now on."""
        self._task = asyncio.create_task(self._measure_often())

    async def end(self) -> None:
        """Measure for the last time, and release the schedule."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._measure()
        await self._spider.watcher.close()

    async def _measure_often(self) -> None:
        while True:
            await asyncio.sleep(FRESHNESS_SECONDS)
            await self._measure()

    async def _measure(self) -> None:
        try:
            fraction = await self._spider.watcher.fraction_fresh()
        except (RedisError, sqlite3.Error, CrawlClosingError) as error:
            logger.debug("Freshness not measured: %s", error)
            return
        if fraction is not None:
            self._stats.set_value("ali1688/watch/fraction_fresh", round(fraction, 4))
            logger.info("About %.0f %% of the watched products are fresh", 100 * fraction)
