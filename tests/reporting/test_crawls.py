from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ali1688_spider.reporting.crawl_section import sentences
from ali1688_spider.reporting.crawls import crawl_figures

ENDED = datetime(2026, 11, 23, tzinfo=UTC)


def crawl(**stats: float) -> dict[str, Any]:
    names = {f"ali1688/{name.replace('__', '/')}": value for name, value in stats.items()}
    return {
        "_id": 1,
        "spider": "product",
        "started_at": ENDED,
        "finished_at": ENDED,
        "reason": "finished",
        "stats": {"log_count/INFO": 5, **names},
    }


def test_crawls_are_summed_up() -> None:
    figures = crawl_figures(
        [
            crawl(calls=100, errors__rate_limit=3, quota__wait_seconds=1.5, items__stored=90),
            crawl(calls=50, errors__rate_limit=1, errors__item_gone=2, retries=4),
            crawl(),
            {"spider": "watch", "finished_at": ENDED},
        ],
        latest=2,
    )
    assert (figures.count, len(figures.latest)) == (4, 2)
    assert figures.total.numbers["calls"] == 150
    assert figures.total.numbers["items/stored"] == 90
    assert figures.total.errors == {"rate_limit": 4, "item_gone": 2}
    assert figures.total.waited == 1.5
    assert figures.latest[1].errors == {"rate_limit": 1, "item_gone": 2}


def test_crawls_in_words() -> None:
    documents = [
        crawl(calls=1000, errors__rate_limit=20, retries=1, failed_calls=2, cache__hit=1),
        crawl(calls=1000, quota__wait_seconds=11520),
    ]
    assert sentences(crawl_figures(documents, latest=1), 100_000) == [
        "2 crawls made 2,000 calls; the quota allows 100,000 a day.",
        "1 answer came from the cache.",
        "20 answers were errors (1.0 %), 1 call was tried again, 2 given up.",
        "Calls waited 3 h 12 min for the quota.",
    ]


def test_crawls_without_failure_or_quota() -> None:
    assert sentences(crawl_figures([crawl(calls=1)], latest=1), 0) == [
        "1 crawl made 1 call.",
        "No call failed.",
    ]
