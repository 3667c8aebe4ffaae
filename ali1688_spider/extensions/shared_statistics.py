"""Adds what a crawl counts to the sums of all crawls in Redis, for ``scrapy status`` and others."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
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
from ali1688_spider.extensions.progress import Progress
from ali1688_spider.statistics.sums import GAUGES, StatisticsWriter, WorkerLine

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
    leases do. Without ``REDIS_URL`` nothing is shared.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._context = context_of(crawler)
        lease_seconds = self._context.config.lease_seconds
        self._interval = min(SECONDS, lease_seconds / 3)
        assert crawler.spider is not None
        self._writer = StatisticsWriter(self._context.redis, crawler.spider.name, lease_seconds)
        self._started_at = datetime.now(UTC)
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the extension and begin when the spider does."""
        if not context_of(crawler).config.redis_url:
            raise NotConfigured
        extension = cls(crawler)
        crawler.signals.connect(extension.begin, signals.spider_opened)
        crawler.signals.connect(extension.stop, signals.spider_closed)
        # Other components count when the spider is closed.
        crawler.signals.connect(extension.end, signals.engine_stopped)
        return extension

    def begin(self) -> None:
        """Share the statistics from now on."""
        self._task = asyncio.create_task(self._share_often())

    async def stop(self) -> None:
        """Share no more until the end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def end(self) -> None:
        """Add what is left, and take the line away."""
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._write(None)
        except (RedisError, TimeoutError) as error:
            logger.warning("The last statistics of this crawl are not in Redis: %s", error)

    async def _share_often(self) -> None:
        while True:
            try:
                await self._write(self._line())
            except RedisError as error:  # they are added with the next ones
                logger.debug("Statistics not shared: %s", error)
            await asyncio.sleep(self._interval)

    async def _write(self, line: WorkerLine | None) -> None:
        statistics = dict(self._crawler.stats.get_stats())
        await run_in_thread(lambda: self._writer.write(statistics, line))

    def _line(self) -> WorkerLine:
        crawler = self._crawler
        assert crawler.spider is not None
        worker: QueueWorker | None = getattr(crawler.engine.scheduler, "worker", None)
        progress = crawler.get_extension(Progress)
        assert progress is not None
        figures = progress.figures()
        stats = crawler.stats.get_stats()
        return WorkerLine(
            spider=crawler.spider.name,
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
