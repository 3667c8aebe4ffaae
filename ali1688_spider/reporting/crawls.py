"""What the stored crawls tell: calls, results, errors, waiting."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ali1688_spider.reporting.figures import Crawl, CrawlFigures

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "ali1688/"
ERRORS = "errors/"
WAITED = "quota/wait_seconds"
NUMBERS = (
    "calls",
    "cache/hit",
    "retries",
    "failed_calls",
    "items/stored",
    "items/changed",
    "items/unchanged",
    "items/rejected",
)


def crawl_figures(documents: Iterable[dict[str, Any]], *, latest: int) -> CrawlFigures:
    """Sum up crawls.

    Args:
        documents: ``{spider, started_at, finished_at, reason, stats}``, the latest first.
        latest: How many of them are kept one by one.
    """
    figures = CrawlFigures()
    for document in documents:
        crawl = crawl_of(document)
        figures.count += 1
        figures.total.numbers.update(crawl.numbers)
        figures.total.errors.update(crawl.errors)
        figures.total.waited += crawl.waited
        if figures.count <= latest:
            figures.latest.append(crawl)
    return figures


def crawl_of(document: dict[str, Any]) -> Crawl:
    """Return a crawl from its document; a statistic that is missing is 0."""
    stats = {
        name.removeprefix(PREFIX): value
        for name, value in (document.get("stats") or {}).items()
        if name.startswith(PREFIX)
    }
    return Crawl(
        spider=document["spider"],
        started_at=document.get("started_at"),
        finished_at=document.get("finished_at"),
        reason=document.get("reason"),
        numbers=Counter({name: int(stats.get(name, 0)) for name in NUMBERS}),
        errors=Counter(
            {
                name.removeprefix(ERRORS): int(value)
                for name, value in stats.items()
                if name.startswith(ERRORS)
            }
        ),
        waited=float(stats.get(WAITED, 0)),
    )
