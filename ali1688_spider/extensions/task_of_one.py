"""What one worker of several does for all of a watch, beside the crawl.

Another one takes over when that worker is silent for ``ALI1688_LEASE_SECONDS``. The calls pass the
middlewares and the quota like all others, and take no more than a share of them
(:class:`CallShare`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

from ali1688_spider.addon import context_of
from ali1688_spider.context import data_folder
from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.gateway.errors import ApiClosedError, CallError
from ali1688_spider.shutdown import CrawlClosingError
from ali1688_spider.spiders.watch import WatchSpider
from ali1688_spider.watching.hints import RedisHintStore, SqliteHintStore
from ali1688_spider.watching.sqlite_store import FILE_NAME

if TYPE_CHECKING:
    from ali1688_spider.gateway.calls import ServiceCall
    from ali1688_spider.watching.hints import Task

logger = logging.getLogger(__name__)

BURST = 100.0
"""Calls that a share may make at once after a time without any; they bring 10,000 messages."""

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 120.0
"""Seconds after an answer without messages, doubled with each further one."""

_STARTING_SECONDS = 0.05  # between looks whether the engine runs
_FASTEST = 1e6  # calls per second, where there is no limit


class CallShare:
    """Bounds the calls of one purpose to a share of those that watching may make.

    What is not used adds up, to :data:`BURST` calls.

    Args:
        calls_per_second: The share; infinite without a limit.
        clock: Returns seconds of a clock that never jumps.
    """

    def __init__(
        self, calls_per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = min(calls_per_second, _FASTEST)
        self._clock = clock
        self._left, self._at = BURST, clock()

    def spend(self) -> None:
        """Note that a call was made."""
        now = self._clock()
        self._left = min(BURST, self._left + (now - self._at) * self._rate) - 1
        self._at = now

    @property
    def wait_seconds(self) -> float:
        """Seconds until a call may be made."""
        return max(0.0, (1 - self._left) / self._rate - (self._clock() - self._at))


class TaskEndedError(Exception):
    """There is nothing left that the task could do."""


class TaskOfOne(ABC):
    """What one worker of several does for all, step by step, while the spider is open."""

    task: ClassVar[Task]
    share: ClassVar[float]
    doing: ClassVar[str]  # for log lines

    def __init__(self, spider: WatchSpider, crawler: Crawler) -> None:
        self._spider = spider
        self._crawler = crawler
        self._context = context_of(crawler)
        self._stats = crawler.stats
        self._share = CallShare(self.share * spider.budget.calls_per_second)
        self._backoff = Backoff(cap=LONGEST_PAUSE)
        self._failures = 0
        self._worker = secrets.token_hex(8)
        self._has_task = asyncio.Event()
        self._running: list[asyncio.Task[None]] = []

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the extension; it is off for other spiders, and when it is not asked for."""
        spider = crawler.spider
        if not isinstance(spider, WatchSpider) or not cls.is_wanted(spider, crawler):
            raise NotConfigured
        extension = cls(spider, crawler)
        crawler.signals.connect(extension.begin, signals.spider_opened)
        crawler.signals.connect(extension.end, signals.spider_closed)
        return extension

    @classmethod
    @abstractmethod
    def is_wanted(cls, spider: WatchSpider, crawler: Crawler) -> bool:
        """Return whether the user asks for it."""

    @abstractmethod
    async def step(self) -> float:
        """Do a part of the work; return the seconds until the next one.

        Raises:
            CallError: A call has failed: the step is repeated, or with ApiClosedError none follows.
        """

    def begin(self) -> None:
        """Begin the task, or wait until the worker that has it is gone."""
        context = self._context
        if context.redis:
            self._store: RedisHintStore | SqliteHintStore = RedisHintStore(context.redis)
        else:
            assert self._spider.file_store is not None  # which makes the file
            self._store = SqliteHintStore(data_folder() / FILE_NAME)
        self._running = [
            asyncio.create_task(self._until_closing(each)) for each in (self._hold, self._work)
        ]

    async def end(self) -> None:
        """End the task, and leave it to another worker."""
        if not self._running:  # the spider was never opened
            return
        for running in self._running:
            running.cancel()
        await asyncio.wait(self._running)
        try:
            await asyncio.to_thread(self._store.let_go, self.task, self._worker)
        except Exception as error:  # noqa: BLE001  # whatever the store raises: the lease runs out
            logger.debug("The task of the %s is left to others later: %s", self.task, error)
        await asyncio.to_thread(self._store.close)

    async def respond(self, call: ServiceCall) -> Any:
        """Return the data of the response to *call*, which counts in the share."""
        self._share.spend()
        return await self._spider.respond(call)

    async def on_store(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Run a method of the store in a thread; wait while Redis is away."""
        return await self._context.redis_retry.run(lambda: asyncio.to_thread(method, *arguments))

    async def _until_closing(self, work: Callable[[], Awaitable[None]]) -> None:
        # Its signal engine_started comes before it runs.
        while not self._crawler.engine.running:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(_STARTING_SECONDS)
        try:
            await work()
        except (CrawlClosingError, TaskEndedError) as error:
            logger.debug("No more %s: %s", self.doing, error)
        except Exception:
            # A defect of ours must not end silently what the user has switched on.
            logger.exception("No more %s, the watch goes on without", self.doing)

    async def _hold(self) -> None:
        seconds = self._context.config.lease_seconds
        while True:
            if await self.on_store(self._store.hold, self.task, self._worker, seconds):
                self._has_task.set()
            else:
                self._has_task.clear()
            await asyncio.sleep(seconds / 3)

    async def _work(self) -> None:
        while not self._context.shutdown.in_progress:
            await self._has_task.wait()
            try:
                delay = await self.step()
                self._failures = 0
            except ApiClosedError as error:
                # The task stays this worker's, so that no other tries in vain, too.
                logger.warning("%s", self._why_closed(error))
                return
            except CallError as error:
                delay = self._delay_after(error, f"{error}. {error.advice}", error.retry_after)
            except (sqlite3.Error, OSError) as error:
                delay = self._delay_after(error, f"the watch's file cannot be used: {error}")
            await asyncio.sleep(max(delay, self._share.wait_seconds))

    def _delay_after(self, error: Exception, text: str, not_before: float | None = None) -> float:
        """Log a failure, louder when it stays; return the seconds until the next try."""
        self._failures += 1
        is_lasting = self._failures == self._context.config.max_attempts
        delay = self._backoff.delay(self._failures, not_before=not_before or 0.0)
        self._stats.inc_value(f"ali1688/hints/{self.task}_failures")
        logger.log(
            logging.WARNING if is_lasting else logging.INFO,
            "%s failed (%s); trying again in %.0f s. %s",
            self.doing.capitalize(),
            type(error).__name__,
            delay,
            text,
        )
        return delay

    def _why_closed(self, error: ApiClosedError) -> str:
        """Return one sentence that says what is off now, and what to do."""
        return f"No more {self.doing}: {error}. {error.advice}"
