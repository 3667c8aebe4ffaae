"""Adds what a crawl counts to the sums of all crawls in Redis, for ``scrapy status`` and others."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from redis.exceptions import RedisError
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.utils.asyncio import run_in_thread

from ali1688_spider import __version__
from ali1688_spider.addon import context_of
from ali1688_spider.extensions.progress import Progress, ProgressFigures
from ali1688_spider.statistics.sums import GAUGES, StatisticsWriter, WorkerLine
from ali1688_spider.storage.outbox import wait

if TYPE_CHECKING:
    from ali1688_spider.scheduling.worker import QueueWorker

logger = logging.getLogger(__name__)

SECONDS = 5.0
"""How often statistics are added; a process that is killed loses those that came since."""
CLOSING_SECONDS = 5.0
"""Grace period, when the crawl ends, for a Redis that does not answer."""


class StatisticsSharing:
    """Adds a crawl's statistics to those in Redis, every five seconds and when it closes.

    With them goes the line of this process, which says who it is and how far; it expires as its
    leases do. A worker with nothing to do sends nothing but that line, twice in the time of a
    lease. Without ``REDIS_URL`` nothing is shared.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._context = context_of(crawler)
        lease_seconds = self._context.config.lease_seconds
        self._interval = min(SECONDS, lease_seconds / 3)
        self._renewal = lease_seconds / 2
        self._spider = crawler.spidercls.name
        self._writer = StatisticsWriter(self._context.redis, self._spider, lease_seconds)
        self._started_at = datetime.now(UTC)
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._written_at = -math.inf
        self._written: tuple[object, ...] = ()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the extension and begin when the spider does."""
        if not context_of(crawler).config.redis_url:
            raise NotConfigured
        extension = cls(crawler)
        crawler.signals.connect(extension.begin, signals.spider_opened)
        # Other components count when the spider is closed.
        crawler.signals.connect(extension.end, signals.engine_stopped)
        return extension

    def begin(self) -> None:
        """Share the statistics from now on."""
        self._task = asyncio.create_task(self._share_often())

    async def end(self) -> None:
        """Add what is left, and take the line away."""
        self._closing.set()
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                if self._task is not None:
                    await asyncio.wait({self._task})
                await self._write(None)
        except (RedisError, TimeoutError) as error:
            reason = str(error) or f"no answer within {CLOSING_SECONDS:.0f} s"
            logger.warning("The last statistics of this crawl are not in Redis: %s", reason)

    async def _share_often(self) -> None:
        while not self._closing.is_set():
            try:
                await self._share()
            except RedisError as error:  # they are added with the next ones
                logger.debug("Statistics not shared: %s", error)
            except Exception:
                # Nobody awaits this task: without this they would be missing without a word.
                logger.exception("The statistics of this crawl are not shared any further")
                return
            await wait(self._closing, self._interval)

    async def _share(self) -> None:
        """Write, unless nothing has happened and the line stays for long enough."""
        line = self._line()
        # What stays as it is while there is nothing to do.
        shown = (line.in_flight, line.waiting, line.rate_per_second > 0, line.waits_for)
        now = time.monotonic()
        if (
            self._writer.has_grown(self._crawler.stats.get_stats())
            or shown != self._written
            or now - self._written_at >= self._renewal
        ):
            self._written_at = -math.inf  # until it is confirmed
            await self._write(line)
            self._written_at, self._written = now, shown

    async def _write(self, line: WorkerLine | None) -> None:
        statistics = dict(self._crawler.stats.get_stats())
        await run_in_thread(self._writer.write, statistics, line)

    def _line(self) -> WorkerLine:
        crawler = self._crawler
        worker: QueueWorker | None = getattr(crawler.engine.scheduler, "worker", None)
        progress = crawler.get_extension(Progress)  # None where the settings leave it out
        figures = ProgressFigures(0, 0, 0, 0.0, None) if progress is None else progress.figures()
        stats = crawler.stats.get_stats()
        return WorkerLine(
            spider=self._spider,
            host=socket.gethostname(),
            pid=os.getpid(),
            job=os.environ.get("SCRAPY_JOB", ""),
            version=__version__,
            started_at=self._started_at,
            memory_bytes=_memory_bytes(),
            in_flight=0 if worker is None else worker.in_flight,
            calls=stats.get("ali1688/calls", 0),
            failed=stats.get("ali1688/failed_calls", 0),
            done=figures.done,
            total=figures.total,
            waiting=figures.waiting,
            rate_per_second=figures.rate_per_second,
            seconds_left=figures.seconds_left,
            waits_for="; ".join(self._context.waits()),
            gauges={name: stats[name] for name in GAUGES if name in stats},
        )


def _memory_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not say (not Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
