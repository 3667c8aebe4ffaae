"""Closes a crawl early, and cancels what waits when a crawl closes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Self, TypeVar

from scrapy.crawler import Crawler
from scrapy.exceptions import CloseSpider, IgnoreRequest

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

POLL_SECONDS = 0.2

INCOMPLETE = "incomplete"
"""The close reason of a crawl whose work is done, and not all of it was successful."""


@dataclass(frozen=True, slots=True)
class CloseReason:
    """Why a crawl ended.

    Attributes:
        meaning: What happened, as a sentence.
        exit_code: Of ``scrapy crawl``.
        advice: What to do, where the crawl ended before its work did; else empty.
    """

    meaning: str
    exit_code: int = 0
    advice: str = ""


_SCRAPYS = "The limit of Scrapy's setting `CLOSESPIDER_{}` was reached."
CLOSE_REASONS = {
    "finished": CloseReason("The work is done, or the worker has been idle for as long as asked."),
    INCOMPLETE: CloseReason(
        "The work is done, and something is missing: calls were given up, ids were unreadable, a "
        "file could not be written, or nothing was collected.",
        exit_code=1,
    ),
    "bad_credentials": CloseReason(
        "The platform refuses the app key, the signature or the authorization.",
        exit_code=1,
        advice="correct ALI1688_APP_KEY, ALI1688_APP_SECRET and the tokens: scrapy doctor",
    ),
    "permission_denied": CloseReason(
        "The app may not use the API.",
        exit_code=1,
        advice="ask for the API's permission, or choose another: scrapy doctor",
    ),
    "quota_exhausted": CloseReason(
        "The calls of the day are used up. What is left stays queued if Redis is used.",
        exit_code=1,
        advice="start it again on the next day (GMT+8), or raise ALI1688_DAILY_QUOTA",
    ),
    "database_unavailable": CloseReason(
        "MongoDB was away when the crawl had to end.",
        exit_code=1,
        advice="start MongoDB, or correct MONGO_URI; then start the crawl again",
    ),
    "queue_failed": CloseReason(
        "The task that talks to the queue failed: a defect, whose traceback is in the log.",
        exit_code=1,
        advice="look at the crawl's log; then start it again",
    ),
    "shutdown": CloseReason(
        "The crawl was asked to end, by Ctrl-C, SIGTERM or Scrapyd. The exit code is 1 when work "
        "was lost by it, which happens without Redis only."
    ),
    "cancelled": CloseReason("A component asked for the end without a reason; as `shutdown`."),
    "closespider_itemcount": CloseReason(_SCRAPYS.format("ITEMCOUNT")),
    "closespider_pagecount": CloseReason(_SCRAPYS.format("PAGECOUNT")),
    "closespider_timeout": CloseReason(_SCRAPYS.format("TIMEOUT")),
}
"""All close reasons that there are, but for those of other settings of Scrapy, with exit code 1."""

ENDED_EARLY = {name: reason.advice for name, reason in CLOSE_REASONS.items() if reason.advice}
"""Those of crawls that ended before their work did, and what to do."""


class CrawlClosingError(IgnoreRequest):
    """The crawl closes before the call could be made; the call is given back, not lost."""


@dataclass(frozen=True, slots=True)
class CrawlOutcome:
    """What became of what a crawl wanted, as far as this process knows.

    Attributes:
        wanted: Products that it was given or found, each to be called for; 0 where that is not
            known beforehand: for rows of searches, and for workers.
        collected: Products that arrived, rows of searches among them.
        gone: Products of which the platform said that they are gone.
        rejected: Responses that failed validation.
        given_up: Calls that were given up.
        unreadable: Entries that are no product id.
        is_alone: Whether no other worker collects what this crawl wants.
        wants_rows: Whether it is a search that should bring rows.
        is_read: Whether all that the crawl was given has been read.
    """

    wanted: int
    collected: int
    gone: int
    rejected: int
    given_up: int
    unreadable: int
    is_alone: bool
    wants_rows: bool
    is_read: bool

    @classmethod
    def of(cls, crawler: Crawler) -> Self:
        """Return the outcome of a crawl so far."""

        def count(name: str) -> int:
            number: int = crawler.stats.get_value(name, 0)
            return number

        gone = count("ali1688/items/gone")
        wanted = count("ali1688/wanted")
        source = getattr(crawler.spider, "source", None)
        return cls(
            wanted=wanted,
            collected=count("item_scraped_count") - gone,
            gone=gone,
            rejected=count("ali1688/items/rejected"),
            given_up=count("ali1688/failed_calls"),
            unreadable=count("ali1688/ids/unreadable"),
            is_alone=not crawler.settings.get("REDIS_URL"),
            wants_rows=getattr(crawler.spider, "has_search", False),
            is_read=not (wanted and source) or source.is_read,
        )

    @property
    def done(self) -> int:
        """How many products, rows and calls have an outcome in this process."""
        return self.collected + self.gone + self.rejected + self.given_up

    @property
    def numbers(self) -> dict[str, int]:
        """What :meth:`__str__` says, by name; all others add up to ``wanted`` where it is known."""
        return {
            "wanted": self.wanted + self.unreadable,
            "collected": self.collected,
            "gone": self.gone,
            "rejected": self.rejected,
            "given_up": self.given_up,
            "unreadable": self.unreadable,
            "rest": self.rest,
        }

    @property
    def rest(self) -> int:
        """How many of the wanted products have no outcome in this process."""
        return max(0, self.wanted - self.done)

    @property
    def is_left(self) -> bool:
        """Whether something was wanted that is neither done nor queued for others."""
        return self.is_alone and (bool(self.rest) or not self.is_read)

    @property
    def is_incomplete(self) -> bool:
        """Whether something that was wanted was not collected."""
        wants = bool(self.wanted or self.wants_rows)
        is_empty = wants and self.is_alone and not self.collected + self.gone
        return is_empty or bool(self.given_up or self.unreadable)

    def __str__(self) -> str:
        """Return ``400 wanted: 396 collected, 3 gone, 1 given up (scrapy failed list)``."""
        rest = "not done" if self.is_alone else "by other workers, or still queued"
        parts = [
            (self.gone, "gone"),
            (self.rejected, "rejected"),
            (self.given_up, "given up (scrapy failed list)"),
            (self.unreadable, "unreadable"),
            (self.rest, rest),
        ]
        told = [f"{self.collected:,} collected"]
        told += [f"{number:,} {words}" for number, words in parts if number]
        wanted = self.wanted + self.unreadable
        more = "" if self.is_read else " and more"
        return (f"{wanted:,}{more} wanted: " if wanted else "") + ", ".join(told)


class Shutdown:
    """The end of one crawl.

    Scrapy waits for every running request before it closes: what may wait for long (for a quota,
    for a database) waits through :meth:`or_cancelled`. Scrapy 2.19 has no signal for the moment
    when closing begins (``spider_closed`` and all hooks of components come after that wait), and
    SIGTERM or a ``CloseSpider`` of any component begin it inside the engine; so what waits polls
    the engine.

    Attributes:
        has_lost: Something that was wanted is neither collected nor kept anywhere.
        checks: Called when all work seems done; they may set ``has_lost``.
        finisher: Does what is left to do when the work of all workers is done, and may set
            ``has_lost``; None for nothing.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.has_lost = False
        self.checks: list[Callable[[], object]] = []
        self.finisher: Callable[[], Awaitable[None]] | None = None
        self._crawler = crawler
        self._closing: asyncio.Task[None] | None = None

    def is_incomplete(self) -> bool:
        """Return whether something that was wanted was not collected, or is not where it should."""
        for check in self.checks:
            check()
        return self.has_lost or CrawlOutcome.of(self._crawler).is_incomplete

    def end_incomplete(self) -> None:
        """Raise ``CloseSpider`` with :data:`INCOMPLETE` if something was not collected."""
        if self.is_incomplete():
            raise CloseSpider(INCOMPLETE)

    async def finish(self) -> str:
        """Do what is left to do when the work of all workers is done; return the close reason."""
        if self.finisher is not None:
            await self.finisher()
        return INCOMPLETE if self.is_incomplete() else "finished"

    @property
    def in_progress(self) -> bool:
        """Whether the crawl is closing.

        One that only begins is not: at ``spider_opened`` the engine does not run yet.
        """
        engine = self._crawler.engine
        slot = engine._slot  # noqa: SLF001  # nothing public says that a spider is being closed
        is_open = slot is not None and slot.closing is None
        is_stopping = engine._stopping  # noqa: SLF001  # likewise
        return self._closing is not None or is_stopping or not is_open

    def close(self, reason: str, explanation: str) -> None:
        """Close the crawl with *reason*; log *explanation* once, as something to act on."""
        if self.in_progress:
            return
        logger.error("%s", explanation)
        closing = self._crawler.engine.close_spider_async(reason=reason)
        self._closing = asyncio.get_running_loop().create_task(closing)

    async def or_cancelled(self, awaited: Coroutine[object, object, _T]) -> _T:
        """Return the result of *awaited*; cancel it when the crawl closes first.

        Raises:
            CrawlClosingError: The crawl is closing.
        """
        task = asyncio.get_running_loop().create_task(awaited)
        try:
            while not self.in_progress:
                await asyncio.wait({task}, timeout=POLL_SECONDS)
                if task.done():
                    return task.result()
        finally:
            task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            raise CrawlClosingError("the crawl is closing")
        return task.result()
