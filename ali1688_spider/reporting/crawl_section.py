"""The page's section on the crawls: how many calls, what came of them, what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.reporting.markup import element
from ali1688_spider.reporting.tables import Cell, table
from ali1688_spider.reporting.wording import NOTHING, count, duration, minute

if TYPE_CHECKING:
    from collections import Counter
    from xml.etree.ElementTree import Element

    from ali1688_spider.reporting.figures import Crawl, CrawlFigures, Report

COLUMNS = (
    "Ended (UTC)",
    "Spider",
    "Took#",
    "Reason",
    "Calls#",
    "Stored#",
    "Changed#",
    "Unchanged#",
    "Rejected#",
    "Errors#",
    "Retries#",
    "Given up#",
    "Waited#",
)

EXPECTED = {"finished", "shutdown", "idle", "cancelled"}
"""Reasons to end that nobody has to look into."""


def crawls(report: Report) -> Element:
    """Return the section on the crawls that ended in the period."""
    figures = report.crawls
    title = element("h2", "Crawls")
    if not figures.count:
        return element("section", title, element("p", "No crawl ended in this time."))
    caption = "Crawls"
    if len(figures.latest) < figures.count:
        caption = f"The last {len(figures.latest)} of {count(figures.count)} crawls"
    return element(
        "section",
        title,
        element("p", " ".join(sentences(figures, report.daily_quota))),
        _errors(figures.total.errors),
        table("crawls", caption, COLUMNS, map(_row, figures.latest)),
    )


def sentences(figures: CrawlFigures, daily_quota: int) -> list[str]:
    """Return the sum of all crawls in words."""
    numbers, waited = figures.total.numbers, figures.total.waited
    crawls = count(figures.count, "crawl", "crawls")
    quota = f"; the quota allows {count(daily_quota)} a day" if daily_quota else ""
    told = [f"{crawls} made {count(numbers['calls'], 'call', 'calls')}{quota}."]
    if hits := numbers["cache/hit"]:
        told.append(f"{count(hits, 'answer', 'answers')} came from the cache.")
    errors = figures.total.errors.total()
    share = f" ({100 * errors / numbers['calls']:.1f} %)" if numbers["calls"] else ""
    told.append(
        f"{count(errors, 'answer was an error', 'answers were errors')}{share}, "
        f"{count(numbers['retries'], 'call was', 'calls were')} tried again, "
        f"{count(numbers['failed_calls'])} given up."
        if errors or numbers["retries"] or numbers["failed_calls"]
        else "No call failed."
    )
    if waited >= 1:
        told.append(f"Calls waited {duration(waited)} for the quota.")
    return told


def _errors(errors: Counter[str]) -> Element | None:
    if not errors:
        return None
    total = errors.total()
    rows = [
        [Cell(name), Cell(count(number), number), Cell(f"{100 * number / total:.1f} %", number)]
        for name, number in errors.most_common()
    ]
    return table("errors", "Errors", ("Class", "Answers#", "Share#"), rows)


def _row(crawl: Crawl) -> list[Cell]:
    took = None
    if crawl.started_at and crawl.finished_at:
        took = (crawl.finished_at - crawl.started_at).total_seconds()
    numbers = crawl.numbers
    return [
        Cell(minute(crawl.finished_at)),
        Cell(crawl.spider),
        Cell(NOTHING if took is None else duration(took), -1 if took is None else took),
        Cell(crawl.reason or NOTHING, kind=None if crawl.reason in EXPECTED else "attention"),
        *(
            Cell(count(number), number)
            for number in (
                numbers["calls"],
                numbers["items/stored"],
                numbers["items/changed"],
                numbers["items/unchanged"],
                numbers["items/rejected"],
                crawl.errors.total(),
                numbers["retries"],
                numbers["failed_calls"],
            )
        ),
        Cell(duration(crawl.waited), crawl.waited),
    ]
