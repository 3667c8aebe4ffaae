"""Brings the platform's hints to ``watch``: asks for messages, and has products followed for them.

Of several workers one does each of the two, and another when that one is silent for
``ALI1688_LEASE_SECONDS``. The calls pass the middlewares and the quota like all others, and each of
the two takes no more than a share of them (:class:`CallShare`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured

from ali1688_spider.addon import context_of
from ali1688_spider.context import data_folder
from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.gateway.errors import ApiClosedError, CallError, ErrorAction
from ali1688_spider.gateway.messages import (
    MOST_LISTED,
    PAGE_SIZE,
    confirmation,
    following,
    listing,
    read_message,
    read_page,
    undelivered,
)
from ali1688_spider.shutdown import CrawlClosingError
from ali1688_spider.spiders.watch import WatchSpider
from ali1688_spider.watching.hints import (
    FOLLOWING_SHARE,
    POLLING_SHARE,
    ProblemLog,
    RedisHintStore,
    SqliteHintStore,
    keep_hints,
)
from ali1688_spider.watching.sqlite_store import FILE_NAME

if TYPE_CHECKING:
    from ali1688_spider.gateway.calls import ServiceCall
    from ali1688_spider.gateway.messages import PlatformMessage
    from ali1688_spider.watching.hints import Relation, Task

logger = logging.getLogger(__name__)

BURST = 100.0
"""Calls that a share may make at once after a time without any; they bring 10,000 messages."""

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 120.0
"""Seconds after an answer without messages, doubled with each further one."""

MOST_PAGES = 10
"""Pages of messages for other programs that are passed over in search of our own."""

LONGEST_REST = 600.0
"""Seconds after which products are looked for that became watched meanwhile."""

LOOKED_AT = 1000
"""Watched products that are looked at in one step."""

MOST_REFUSED = 20
"""Products refused one after another, after which no more are tried."""


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


class _TaskEndedError(Exception):
    """There is nothing left that the task could do."""


class _TaskOfOne:
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
        except (CrawlClosingError, _TaskEndedError) as error:
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


class MessagePoller(_TaskOfOne):
    """Asks for the messages that were not delivered, with ``ALI1688_MESSAGES=poll``.

    A page is asked for, kept and then confirmed, in this order: a worker that is killed in between
    loses none. Confirming moves the pages, so the same page is read again, at once when it was
    full. Messages of other topics are not confirmed, since they may be for another program of the
    same app; pages that hold nothing else are passed over.
    """

    task = "poller"
    share = POLLING_SHARE
    doing = "asking for the platform's messages"

    def __init__(self, spider: WatchSpider, crawler: Crawler) -> None:
        super().__init__(spider, crawler)
        self._page = 1
        self._pauses = 0
        self._problems = ProblemLog()
        self._has_warned = False

    @classmethod
    def is_wanted(cls, spider: WatchSpider, crawler: Crawler) -> bool:  # noqa: ARG003  # as the base has it
        """Return whether the setting says so."""
        return context_of(crawler).config.messages == "poll"

    async def step(self) -> float:
        """Take a page of messages."""
        rows, _ = read_page(await self.respond(undelivered(self._page)))
        self._stats.inc_value("ali1688/hints/polls")
        messages = self._read(rows)
        is_full = len(rows) >= PAGE_SIZE
        if not messages:
            return self._pass_over() if is_full else self._pause()
        brings_new = await self._keep(messages)
        if not brings_new:  # kept before, so that confirming seems to be in vain
            return self._pause()
        self._pauses = 0
        if is_full:
            return 0.0
        self._page = 1
        return FIRST_PAUSE

    async def _keep(self, messages: Sequence[PlatformMessage]) -> bool:
        """Keep messages, then confirm them; return whether one of them is new."""
        kept = await keep_hints(
            messages, "poll", self._store, self._spider.watcher.hint, self.on_store
        )
        for name, count in kept._asdict().items():
            self._stats.inc_value(f"ali1688/hints/{name}", count)
        message_ids = list(dict.fromkeys(each.message_id for each in messages))
        await self.respond(confirmation(message_ids))
        self._stats.inc_value("ali1688/hints/confirmed", len(message_ids))
        sentence = "%d messages of the platform name %d watched products"
        logger.info(sentence, kept.received, kept.watched)
        return bool(kept.received)

    def _read(self, rows: Sequence[Any]) -> list[PlatformMessage]:
        """Return the messages of our topics."""
        messages = []
        for row in rows:
            try:
                message = read_message(row)
            except MalformedMessageError as error:
                self._stats.inc_value("ali1688/hints/malformed")
                self._problems.note("", f"an undelivered message is none: {error}")
                continue
            if not message.is_known:
                self._stats.inc_value("ali1688/hints/other_topics")
                continue
            if message.problem:
                self._stats.inc_value("ali1688/hints/malformed")
                self._problems.note(message.topic, message.problem)
            messages.append(message)
        return messages

    def _pass_over(self) -> float:
        """Go on to the next page, since this one is full and holds nothing for us."""
        if self._page < MOST_PAGES:
            self._page += 1
            return 0.0
        if not self._has_warned:
            logger.warning(
                "More than %d messages of other topics wait undelivered, and those about products "
                "may stand behind them: have the program that they are for take them, or enter the "
                "address of scrapy receive for the products' topics in the open platform's console",
                MOST_PAGES * PAGE_SIZE,
            )
        self._has_warned = True
        return self._pause()

    def _pause(self) -> float:
        self._page = 1
        self._pauses += 1
        return min(FIRST_PAUSE * 2.0 ** min(self._pauses - 1, 9), LONGEST_PAUSE)

    def _why_closed(self, error: ApiClosedError) -> str:
        return (
            f"ALI1688_MESSAGES=poll is off now, products are watched without it: the app may not "
            f"ask for messages ({error}). Order cn.alibaba.open:push.query.messageList-1 and "
            "push.message.confirm-1 for it in the open platform's console, or set "
            "ALI1688_MESSAGES=off"
        )


class _Step(NamedTuple):
    """One of the relations that make the platform send messages, and how it is made."""

    relation: Relation
    call: Callable[[Sequence[int]], ServiceCall]
    most: int  # products of one call


_STEPS = (_Step("listed", listing, MOST_LISTED), _Step("followed", following, 1))


class ProductFollower(_TaskOfOne):
    """Has the watched products followed, with ``-a follow=1``, each once.

    First they are put on the listing list, 20 with a call: it makes the platform tell of changes,
    delisting and deletion. Stock and prices are told only of products that are followed one by one,
    as the pages of those topics say. An app may lack the permission for either; then the other is
    done alone. A product that is refused is not tried again.
    """

    task = "follower"
    share = FOLLOWING_SHARE
    doing = "following products"

    def __init__(self, spider: WatchSpider, crawler: Crawler) -> None:
        super().__init__(spider, crawler)
        self._steps = deque(_STEPS)
        self._batches: deque[list[int]] = deque()
        self._cursor = 0
        self._has_found = False
        self._rests = 0
        self._refused: list[int] = []  # one after another; kept when it turns out not to be all
        self._has_warned = False

    @classmethod
    def is_wanted(cls, spider: WatchSpider, crawler: Crawler) -> bool:  # noqa: ARG003  # as the base has it
        """Return whether the argument says so."""
        return spider.arguments.follow

    async def step(self) -> float:
        """Follow some products, or look for those that are not followed."""
        if not self._batches:
            return await self._look()
        step, batch = self._steps[0], self._batches[0]
        try:
            await self.respond(step.call(batch))
        except ApiClosedError as error:
            return self._end_relation(f"{error}. {error.advice}")
        except CallError as error:
            if not _is_about_products(error):
                raise
            self._batches.popleft()
            return await self._take_apart(batch, error)
        self._batches.popleft()
        self._stats.inc_value(f"ali1688/hints/{step.relation}", len(batch))
        await self._remember([*self._refused, *batch])
        return 0.0

    async def _look(self) -> float:
        """Look for products to follow; rest when there is none of either relation."""
        step = self._steps[0]
        found, self._cursor = await self.on_store(
            self._store.without, step.relation, self._cursor, LOOKED_AT
        )
        firsts = range(0, len(found), step.most)
        self._batches.extend(found[first : first + step.most] for first in firsts)
        self._has_found = self._has_found or bool(found)
        if found or self._cursor:
            return 0.0
        self._steps.rotate(-1)
        if step.relation != _STEPS[-1].relation and len(self._steps) > 1:
            return 0.0
        self._rests = 0 if self._has_found else self._rests + 1
        self._has_found = False
        return min(FIRST_PAUSE * 2.0 ** min(max(0, self._rests - 1), 9), LONGEST_REST)

    async def _take_apart(self, batch: list[int], error: CallError) -> float:
        """Try the products of a refused call without those that are named, or in halves."""
        if len(batch) == 1:
            return await self._refuse(batch, error)
        named = [each for each in batch if str(each) in error.message]
        others = [each for each in batch if each not in named]
        middle = len(batch) // 2
        parts = [others, *([each] for each in named)] if named else [batch[:middle], batch[middle:]]
        self._batches.extendleft(part for part in reversed(parts) if part)
        return 0.0

    async def _refuse(self, batch: list[int], error: CallError) -> float:
        self._refused += batch
        self._stats.inc_value("ali1688/hints/follow_refused")
        if len(self._refused) >= MOST_REFUSED:
            self._refused.clear()
            return self._end_relation(f"{MOST_REFUSED} products one after another: {error}")
        level = logging.DEBUG if self._has_warned else logging.WARNING
        sentence = "The platform does not follow product %d (%s); it is watched all the same"
        logger.log(level, sentence, batch[0], error)
        self._has_warned = True
        return 0.0

    def _end_relation(self, why: str) -> float:
        """Do without the present relation, which the app may not make, or without any."""
        step = self._steps.popleft()
        self._batches.clear()
        self._cursor = 0
        logger.warning(
            "Products are not %s any more, the platform refuses: %s They are watched all the same; "
            "order the API for the app in the open platform's console, or leave out -a follow=1",
            step.relation,
            why,
        )
        if not self._steps:
            raise _TaskEndedError("neither relation can be made")
        return 0.0

    async def _remember(self, product_ids: Sequence[int]) -> None:
        await self.on_store(self._store.relate, self._steps[0].relation, product_ids)
        self._refused.clear()


def _is_about_products(error: CallError) -> bool:
    """Whether the platform has looked at the products and refuses them."""
    return bool(error.max_attempts) or error.action in {ErrorAction.GIVE_UP, ErrorAction.GONE}
