"""Crawls as the state shows them: what their documents say, and what living processes say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from ali1688_spider.items import Moment
from ali1688_spider.monitoring.state import CrawlState
from ali1688_spider.redis_server import printable
from ali1688_spider.storage.database import SEEN_SECONDS

if TYPE_CHECKING:
    from ali1688_spider.statistics.sums import LiveWorker, WorkerLine

SILENT_AFTER = timedelta(seconds=3 * SEEN_SECONDS)
SAME_START = timedelta(seconds=10)
MOST_SECONDS = 10**8
"""Until an end that is shown; what is later than in three years says nothing."""

Text = Annotated[str, AfterValidator(printable)]
_DONE = ("item_scraped_count", "ali1688/items/rejected", "ali1688/failed_calls")


class CrawlDocument(BaseModel):
    """A document of ``crawls``, as :class:`~ali1688_spider.extensions.results.CrawlRecord` has it.

    Attributes:
        finished_at: None while it runs, and when it was killed.
    """

    model_config = ConfigDict(frozen=True)  # other versions may write more fields

    spider: Text
    host: Text
    pid: int
    started_at: Moment
    last_seen: Moment
    finished_at: Moment | None = None
    reason: Text = ""
    arguments: dict[Text, Text] = {}
    stats: dict[str, Any] = {}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> CrawlDocument | None:
        """Read what is in MongoDB; None when it is no such document."""
        with suppress(ValidationError, OverflowError):
            return cls.model_validate(document)
        return None

    def state(self, now: datetime) -> CrawlState:
        """Return what is known of the crawl at *now*."""
        name, finished_at = "finished", self.finished_at
        if finished_at is None:
            name = "running"
            if now - self.last_seen > SILENT_AFTER:
                name, finished_at = "silent", self.last_seen
        return CrawlState(
            spider=self.spider,
            worker=f"{self.host}:{self.pid}",
            state=name,
            reason=self.reason,
            started_at=self.started_at,
            finished_at=finished_at,
            arguments=dict(self.arguments),
            done=sum(map(self._count, _DONE)),
            calls=self._count("ali1688/calls"),
            failed=self._count("ali1688/failed_calls"),
        )

    def _count(self, name: str) -> int:
        number = self.stats.get(name)
        return number if isinstance(number, int) else 0


def crawl_states(
    workers: Sequence[LiveWorker], documents: Iterable[CrawlDocument], now: datetime
) -> tuple[CrawlState, ...]:
    """Return the crawls of *documents*, those that run first, and those that have a line alone.

    Of a crawl with both, the line is younger.
    """
    lines = {(each.line.name, each.line.spider): each.line for each in workers}
    crawls = []
    for document in documents:
        crawl = document.state(now)
        line = lines.get((crawl.worker, crawl.spider))
        # In a container that was started again, another process has the same host and number.
        if (
            document.finished_at is None
            and line is not None
            and abs(line.started_at - crawl.started_at) < SAME_START
        ):
            crawl = replace(_of_line(line, now), arguments=crawl.arguments)
            del lines[crawl.worker, crawl.spider]
        crawls.append(crawl)
    crawls += [_of_line(line, now) for line in lines.values()]
    running = [each for each in crawls if each.state == "running"]
    ended = [each for each in crawls if each.state != "running"]
    running.sort(key=lambda each: each.started_at, reverse=True)
    ended.sort(key=lambda each: each.finished_at or each.started_at, reverse=True)
    return (*running, *ended)


def _of_line(line: WorkerLine, now: datetime) -> CrawlState:
    left = line.seconds_left
    return CrawlState(
        spider=line.spider,
        worker=line.name,
        state="running",
        reason="",
        started_at=line.started_at,
        finished_at=None,
        arguments={},
        done=line.done,
        calls=line.calls,
        failed=line.failed,
        total=line.total,
        ends_at=None if left is None else now + timedelta(seconds=min(left, MOST_SECONDS)),
    )
