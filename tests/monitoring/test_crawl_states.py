from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from ali1688_spider.monitoring.crawl_states import CrawlDocument, crawl_states
from ali1688_spider.statistics.sums import LiveWorker, WorkerLine

NOW = datetime(2026, 11, 29, 10, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def document(pid: int = 1, **values: Any) -> dict[str, Any]:
    return {
        "_id": "whatever",
        "spider": "product",
        "host": "here",
        "pid": pid,
        "arguments": {"ids": "1,2"},
        "started_at": NOW - 100 * SECOND,
        "last_seen": NOW - 20 * SECOND,
        "stats": {
            "ali1688/calls": 9,
            "item_scraped_count": 5,
            "ali1688/items/stored": 5,
            "ali1688/items/unchanged": 5,
            "ali1688/items/rejected": 1,
            "ali1688/failed_calls": 2,
        },
        **values,
    }


def read(*documents: dict[str, Any]) -> list[CrawlDocument]:
    return [each for each in map(CrawlDocument.of, documents) if each is not None]


def live(pid: int = 1, spider: str = "product", **values: Any) -> LiveWorker:
    line = WorkerLine(
        spider=spider, host="here", pid=pid, started_at=NOW - 100 * SECOND, done=50, **values
    )
    return LiveWorker(line, 30.0)


def test_a_document_says_what_became_of_its_crawl() -> None:
    ended = NOW - 5 * SECOND
    [crawl] = crawl_states((), read(document(finished_at=ended, reason="shutdown")), NOW)
    assert (crawl.spider, crawl.worker, crawl.arguments) == ("product", "here:1", {"ids": "1,2"})
    assert (crawl.state, crawl.reason) == ("finished", "shutdown")
    assert (crawl.started_at, crawl.finished_at) == (NOW - 100 * SECOND, ended)
    assert (crawl.done, crawl.calls, crawl.failed) == (8, 9, 2)
    assert (crawl.total, crawl.ends_at) == (0, None)


@pytest.mark.parametrize(("age", "state"), [(90, "running"), (91, "silent")])
def test_a_crawl_of_which_nothing_is_heard_was_killed(age: int, state: str) -> None:
    last_seen = NOW - age * SECOND
    [crawl] = crawl_states((), read(document(last_seen=last_seen)), NOW)
    assert crawl.state == state
    assert crawl.finished_at == (last_seen if state == "silent" else None)


def test_the_line_of_a_crawl_is_younger_than_its_document() -> None:
    worker = live(total=400, seconds_left=60.0, calls=51, failed=3)
    [crawl] = crawl_states((worker,), read(document(last_seen=NOW - 200 * SECOND)), NOW)
    assert (crawl.state, crawl.done, crawl.total) == ("running", 50, 400)
    assert (crawl.calls, crawl.failed) == (51, 3)
    assert crawl.ends_at == NOW + 60 * SECOND
    assert crawl.arguments == {"ids": "1,2"}


def test_a_line_is_that_of_the_same_spider_and_process() -> None:
    workers = (live(1, "search"), live(2))
    ended = document(2, finished_at=NOW, reason="finished")
    crawls = crawl_states(workers, read(document(1), ended), NOW)
    assert [(crawl.spider, crawl.worker, crawl.done) for crawl in crawls] == [
        ("product", "here:1", 8),
        ("search", "here:1", 50),
        ("product", "here:2", 50),
        ("product", "here:2", 8),
    ]


def test_a_container_that_was_started_again_has_another_crawl() -> None:
    killed = document(1, started_at=NOW - 500 * SECOND, last_seen=NOW - 200 * SECOND)
    crawls = crawl_states((live(1),), read(killed), NOW)
    assert [(crawl.state, crawl.done) for crawl in crawls] == [("running", 50), ("silent", 8)]


def test_without_documents_there_are_those_that_run() -> None:
    [crawl] = crawl_states((live(seconds_left=1e14),), [], NOW)
    assert (crawl.state, crawl.done, crawl.finished_at) == ("running", 50, None)
    assert crawl.ends_at == NOW + timedelta(seconds=10**8)


def test_those_that_run_come_first_and_the_latest_of_each() -> None:
    documents = [
        document(1, started_at=NOW - 50 * SECOND),
        document(2, started_at=NOW - 40 * SECOND),
        document(3, finished_at=NOW - 9 * SECOND),
        document(4, finished_at=NOW - 8 * SECOND),
        document(5, last_seen=NOW - 99 * SECOND),
    ]
    crawls = crawl_states((live(6),), read(*documents), NOW)
    assert [int(crawl.worker[-1]) for crawl in crawls] == [2, 1, 6, 4, 3, 5]


@pytest.mark.parametrize(
    "changes",
    [
        {"spider": None},
        {"host": 7},
        {"pid": "many"},
        {"started_at": "yesterday"},
        {"last_seen": None},
        {"started_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))},
        {"arguments": [1]},
        {"stats": "none"},
    ],
)
def test_what_is_no_such_document_is_left_out(changes: dict[str, Any]) -> None:
    assert read(document(**changes), {}) == []


def test_documents_of_other_versions() -> None:
    least = {name: document()[name] for name in ("spider", "host", "pid", "started_at")}
    stats = {"ali1688/calls": "many", "item_scraped_count": None}
    more = {"last_seen": NOW, "stats": stats, "to come": 1, "reason": "\x1b[31mred\nline"}
    [crawl] = crawl_states((), read({**least, **more}), NOW)
    assert (crawl.done, crawl.calls, crawl.arguments) == (0, 0, {})
    assert crawl.reason == "[31mred line"
