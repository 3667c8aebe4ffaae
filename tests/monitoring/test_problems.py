from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.monitoring.problems import problems
from ali1688_spider.monitoring.state import (
    CrawlState,
    FailedCallsState,
    OutboxState,
    QuotaState,
    ServerState,
    State,
    TokenState,
    WatchState,
)
from ali1688_spider.scheduling.steering import Pause, QueueCounts, QueueStatus, WorkerStatus
from ali1688_spider.shutdown import ENDED_EARLY
from ali1688_spider.statistics.sums import LiveWorker, Minute, WorkerLine

if TYPE_CHECKING:
    from ali1688_spider.monitoring.state import Problem

NOW = datetime(2026, 11, 29, 10, 30, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def found(**values: Any) -> list[Problem]:
    return list(problems(State(NOW, "0.1.0", **values)))


def names(**values: Any) -> list[str]:
    return [each.name for each in found(**values)]


def said(**values: Any) -> str:
    [problem] = found(**values)
    return f"{problem.text}: {problem.advice}"


def queue(
    ready: int = 0,
    waited: float | None = None,
    *,
    messages: int = 0,
    leased: int = 0,
    overdue: int = 0,
    pause: Pause | None = None,
    workers: tuple[WorkerStatus, ...] = (),
) -> dict[str, QueueStatus]:
    counts = QueueCounts(messages, ready, overdue, leased, None)
    return {"product": QueueStatus(counts, waited, pause, workers, overdue)}


def worker(pid: int = 1, leased: int = 0, *, is_alive: bool = True) -> WorkerStatus:
    return WorkerStatus(f"here:{pid}", "here", pid, leased, 1.0, is_alive)


def live(since: timedelta = HOUR, spider: str = "product", waits_for: str = "") -> LiveWorker:
    line = WorkerLine(
        spider=spider, host="here", pid=1, started_at=NOW - since, waits_for=waits_for
    )
    return LiveWorker(line, 30.0)


def minutes(count: int = 60, **counts: int) -> tuple[Minute, ...]:
    """Return minutes that all have these counts; the present one is the last."""
    numbers = {"products": 0, "calls": 0, "errors": 0, "failed": 0, "expired": 0, **counts}
    return tuple(Minute(NOW - n * MINUTE, **numbers) for n in reversed(range(count)))


def crawl(state: str = "finished", reason: str = "finished", **values: Any) -> CrawlState:
    defaults: dict[str, Any] = {
        "spider": "product",
        "worker": "here:1",
        "started_at": NOW - HOUR,
        "finished_at": None if state == "running" else NOW - 10 * MINUTE,
        "arguments": {},
        "done": 0,
        "calls": 0,
        "failed": 0,
    }
    return CrawlState(state=state, reason=reason, **{**defaults, **values})


def quota(used: int = 0, daily_quota: int = 1000, **values: Any) -> QuotaState:
    defaults: dict[str, Any] = {
        "resets_at": datetime(2026, 11, 29, 16, tzinfo=UTC),
        "ends_at": None,
        "paused_seconds": 0.0,
        "is_gateway_away": False,
    }
    return QuotaState(used, daily_quota, **{**defaults, **values})


def test_nothing_is_wrong_where_nothing_is() -> None:
    assert found() == []


def test_nothing_is_wrong_where_all_works() -> None:
    state = {
        "redis": ServerState("Redis"),
        "mongo": ServerState("MongoDB"),
        "queues": queue(500, 45.0, leased=40, workers=(worker(leased=40),)),
        "workers": (live(),),
        "crawls": (crawl("running", ""), crawl()),
        "minutes": minutes(products=100, calls=110, errors=2),
        "quota": quota(400),
        "failed": FailedCallsState(total=5),
        "watch": WatchState(100, 0.9),
        "outboxes": OutboxState(3, 5, NOW - MINUTE),
        "tokens": TokenState(NOW + HOUR, NOW + 90 * 24 * HOUR, can_refresh=True),
    }
    assert found(**state) == []


def test_a_server_is_away() -> None:
    assert said(redis=ServerState("Redis", "refused")) == (
        "Redis is away: refused: start it, or correct REDIS_URL; workers wait for it"
    )
    assert said(mongo=ServerState("MongoDB", "no answer within 6 s")) == (
        "MongoDB is away: no answer within 6 s: start it, or correct MONGO_URI; workers wait for it"
    )
    away = {"redis": ServerState("Redis", "x"), "mongo": ServerState("MongoDB", "x")}
    assert names(**away) == ["RedisAway", "MongoDBAway"]


def test_the_gateway_is_away() -> None:
    assert names(quota=quota(is_gateway_away=True)) == ["GatewayAway"]


def test_the_platform_asks_for_a_pause() -> None:
    assert names(quota=quota(paused_seconds=4.9)) == []
    assert said(quota=quota(paused_seconds=59.6)).startswith(
        "The platform asked for a pause, of which 60 s are left: lower ALI1688_QPS"
    )


def test_the_days_calls_are_used_up() -> None:
    assert said(quota=quota(1000)).startswith("Today's 1,000 calls are used up until 16:00 UTC")
    assert names(quota=quota(1200, ends_at=NOW)) == ["QuotaGone"]
    assert names(quota=quota(999)) == []
    assert names(quota=quota(5000, 0)) == []  # no limit


def test_the_days_calls_will_be_used_up() -> None:
    assert said(quota=quota(900, ends_at=NOW + HOUR)).startswith(
        "Today's calls will be used up at about 11:30 UTC"
    )


@pytest.mark.parametrize(
    ("access", "refresh", "can_refresh", "is_wrong"),
    [
        (HOUR, 90 * 24 * HOUR, True, False),
        (-HOUR, 90 * 24 * HOUR, True, False),  # it is refreshed when it is needed
        (HOUR, 23 * HOUR, True, True),
        (HOUR, -HOUR, True, True),
        (HOUR, None, True, False),
        (23 * HOUR, None, False, True),
        (25 * HOUR, None, False, False),
        (None, None, False, False),
    ],
)
def test_the_tokens_end(
    access: timedelta | None, refresh: timedelta | None, *, can_refresh: bool, is_wrong: bool
) -> None:
    ends = [None if each is None else NOW + each for each in (access, refresh)]
    tokens = TokenState(*ends, can_refresh=can_refresh)
    assert names(tokens=tokens) == ["TokenEnds"] * is_wrong


def test_the_end_of_the_tokens_is_named() -> None:
    assert said(tokens=TokenState(None, NOW + HOUR, can_refresh=True)) == (
        "The authorisation of the app ends at 2026-11-29 11:30 UTC: authorise it again: scrapy auth"
    )


@pytest.mark.parametrize(
    ("values", "is_wrong"),
    [
        ({"ready": 5, "waited": 60.0}, True),
        ({"ready": 5, "waited": 59.0}, False),
        ({"ready": 0}, False),
        ({"messages": 3}, True),
        ({"overdue": 3, "waited": 100.0}, True),
        ({"overdue": 3, "waited": 1.0}, False),
        ({"leased": 3}, False),
        ({"ready": 5, "waited": 60.0, "pause": Pause("me")}, False),
        ({"ready": 5, "waited": 60.0, "workers": (worker(),)}, False),
        ({"ready": 5, "waited": 60.0, "workers": (worker(is_alive=False),)}, True),
    ],
)
def test_calls_wait_and_no_worker_is_there(values: dict[str, Any], *, is_wrong: bool) -> None:
    assert names(queues=queue(**values)) == ["NoWorker"] * is_wrong


def test_how_many_calls_wait_is_named() -> None:
    assert said(queues=queue(1200, 70.0, messages=30, overdue=4)) == (
        "1,234 calls of product wait, and no worker is there: start one: scrapy crawl product"
    )


def test_workers_are_silent_and_hold_calls() -> None:
    silent = [worker(pid, leased=1, is_alive=False) for pid in range(7)]
    alive, idle = worker(8, leased=3), worker(9, is_alive=False)
    assert said(queues=queue(workers=(*silent, alive, idle))) == (
        "Workers of product are silent and hold calls: here:0, here:1, here:2, here:3, here:4: "
        "look at their logs; others take the calls over"
    )
    assert names(queues=queue(workers=(alive, idle))) == []


def stalled(**values: Any) -> dict[str, Any]:
    """Return a state in which nothing was stored, with *values* instead of some of it."""
    state = {
        "queues": queue(5, 700.0, workers=(worker(),)),
        "workers": (live(), live(MINUTE)),
        "minutes": minutes(calls=3),
    }
    return {**state, **values}


@pytest.mark.parametrize(
    "values",
    [
        {"minutes": (*minutes(59), Minute(NOW, 1, 1, 0, 0, 0))},
        {"minutes": (Minute(NOW - 10 * MINUTE, 1, 1, 0, 0, 0), *minutes(10))},
        {"queues": queue(5, 30.0, workers=(worker(),))},  # they were pushed just now
        {"queues": queue(0, workers=(worker(),))},
        {"queues": queue(5, 700.0, workers=(worker(),), pause=Pause("me"))},
        {"workers": (live(9 * MINUTE),)},
        {"workers": (live(spider="search"),)},
        {"quota": quota(1000)},
    ],
)
def test_something_was_stored_or_need_not_be(values: dict[str, Any]) -> None:
    assert "NothingStored" in names(**stalled())
    assert "NothingStored" not in names(**stalled(**values))


def test_nothing_was_stored_long_ago() -> None:
    old = (Minute(NOW - 11 * MINUTE, 1, 1, 0, 0, 0), *minutes(11))
    assert names(**stalled(minutes=old)) == ["NothingStored"]


def test_what_the_workers_wait_for_is_named() -> None:
    what = "Nothing was stored for 10 minutes, though calls wait: "
    assert said(**stalled()) == f"{what}look at the workers' logs"
    waiting = tuple(live(waits_for=each) for each in ("the proxy", "", "MongoDB", "MongoDB"))
    expected = f"{what}the workers wait for MongoDB; the proxy"
    assert said(**stalled(workers=waiting)) == expected


def test_a_crawl_was_killed() -> None:
    killed = crawl("silent", "")
    assert said(crawls=(killed,)) == (
        "The crawl product of here:1 was killed: start it again; what it had leased goes to others"
    )
    assert names(crawls=(crawl("silent", "", finished_at=NOW - 61 * MINUTE),)) == []
    # Somebody has started another one.
    assert names(crawls=(crawl("running", "", started_at=NOW - MINUTE), killed)) == []
    assert names(crawls=(crawl("finished", started_at=NOW - MINUTE), killed)) == []
    others = (crawl("running", "", started_at=NOW - MINUTE, spider="search"), crawl("running", ""))
    assert names(crawls=(*others, killed)) == ["CrawlKilled"]


@pytest.mark.parametrize("reason", ENDED_EARLY)
def test_a_crawl_ended_early(reason: str) -> None:
    ended = crawl(reason=reason, started_at=NOW - 21 * HOUR, finished_at=NOW - 20 * HOUR)
    [problem] = found(crawls=(ended,))
    assert problem.name == "CrawlEndedEarly"
    assert problem.text == f"The crawl product of here:1 ended as {reason}"
    assert problem.advice == ENDED_EARLY[reason]
    assert names(crawls=(crawl("running", "", started_at=NOW - HOUR), ended)) == []


@pytest.mark.parametrize("reason", ["finished", "incomplete", "shutdown", "whatever"])
def test_a_crawl_ended_as_it_should(reason: str) -> None:
    assert names(crawls=(crawl(reason=reason),)) == []


@pytest.mark.parametrize(
    ("calls", "errors", "is_wrong"),
    [(100, 6, True), (100, 5, False), (19, 19, False), (20, 20, True), (0, 0, False)],
)
def test_many_calls_fail(calls: int, errors: int, *, is_wrong: bool) -> None:
    spread = (*minutes(55), *(Minute(NOW, 1, calls // 5, errors // 5, 0, 0) for _ in range(4)))
    rest = Minute(NOW, 1, calls - 4 * (calls // 5), errors - 4 * (errors // 5), 0, 0)
    assert names(minutes=(*spread, rest)) == ["ErrorShare"] * is_wrong


def test_the_share_of_errors_is_named() -> None:
    assert said(minutes=minutes(products=1, calls=100, errors=25)).startswith(
        "25 % of the calls of the last 10 minutes failed"
    )
    before = minutes(calls=100, errors=100)[:-10]
    assert names(minutes=(*before, *minutes(10))) == []


def test_calls_were_given_up() -> None:
    assert said(failed=FailedCallsState(2000, 1500)).startswith(
        "1,500 calls were given up in the last hour"
    )
    assert names(failed=FailedCallsState(2000, 0)) == []
    assert names(failed=FailedCallsState(error="Redis is away")) == []


def test_changes_wait_for_the_webhook() -> None:
    assert said(outboxes=OutboxState(0, 1500, NOW - HOUR)).startswith(
        "1,500 changes wait for the webhook, the oldest since 2026-11-29 09:30 UTC"
    )
    assert names(outboxes=OutboxState(0, 1500, NOW - 10 * MINUTE)) == []
    assert names(outboxes=OutboxState(1500)) == []


def test_few_watched_products_are_fresh() -> None:
    assert said(watch=WatchState(100, 0.494)).startswith(
        "Only 49 % of the watched products are fresh"
    )
    assert names(watch=WatchState(100, 0.5)) == []
    assert names(watch=WatchState(100, None)) == []


def test_the_most_urgent_problem_is_the_first() -> None:
    state = {
        "redis": ServerState("Redis", "x"),
        "quota": quota(1000, paused_seconds=60.0, is_gateway_away=True),
        "tokens": TokenState(None, NOW, can_refresh=True),
        "queues": queue(5, 700.0, workers=(worker(leased=1, is_alive=False),)),
        "crawls": (crawl("silent", ""),),
        "failed": FailedCallsState(1, 1),
        "outboxes": OutboxState(0, 1, NOW - HOUR),
        "watch": WatchState(1, 0.0),
    }
    assert names(**state) == [
        *("RedisAway", "GatewayAway", "PlatformPause", "QuotaGone", "TokenEnds", "NoWorker"),
        *("LeasesExpire", "CrawlKilled", "CallsGivenUp", "WebhookWaits", "FreshnessLow"),
    ]
