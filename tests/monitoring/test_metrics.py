"""What ``/metrics`` tells Prometheus, of states that are made by hand."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import ali1688_spider
from ali1688_spider.monitoring.metrics import descriptions, metrics_text
from ali1688_spider.monitoring.problems import PROBLEM_NAMES
from ali1688_spider.monitoring.state import (
    CrawlState,
    FailedCallsState,
    OutboxState,
    Problem,
    QuotaState,
    ServerState,
    State,
    TokenState,
    WatchState,
)
from ali1688_spider.monitoring.state_metrics import REASONS
from ali1688_spider.scheduling.steering import Pause, QueueCounts, QueueStatus, WorkerStatus
from ali1688_spider.statistics.sums import GAUGES, LiveWorker, WorkerLine

PACKAGE = Path(ali1688_spider.__file__).parent
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def queue(*, messages: int = 0, oldest: float | None = None, pause: bool = False) -> QueueStatus:
    workers = (
        WorkerStatus("a:1", "a", 1, 2, 0.5, is_alive=True),
        WorkerStatus("a:2", "a", 2, 1, 90.0, is_alive=False),
    )
    counts = QueueCounts(messages=messages, ready=7, delayed=5, leased=3, next_due=None)
    return QueueStatus(counts, oldest, Pause() if pause else None, workers)


def line(pid: int, spider: str = "product", **values: object) -> LiveWorker:
    given = {"host": "a", "version": "1", "started_at": NOW, "job": f"job-{pid}"} | values
    return LiveWorker(WorkerLine.model_validate({"spider": spider, "pid": pid, **given}), 30.0)


def crawl(
    state: str, reason: str = "", *, minutes_ago: int = 0, spider: str = "product"
) -> CrawlState:
    ended_at = NOW - timedelta(minutes=minutes_ago) if state != "running" else None
    began_at = NOW - timedelta(hours=1, minutes=minutes_ago)
    return CrawlState(spider, "a:1", state, reason, began_at, ended_at, {}, 1, 1, 0)


STATE = State(
    at=NOW,
    version="1.2",
    redis=ServerState("Redis"),
    mongo=ServerState("MongoDB"),
    queues={"product": queue(messages=4, oldest=61.0), "search": queue(pause=True)},
    workers=(
        line(1, memory_bytes=100, in_flight=3, rate_per_second=1.5, waits_for="MongoDB"),
        line(2, memory_bytes=50, in_flight=1, gauges={"ali1688/clock/skew_seconds": -9.5}),
        line(3, "search", host="b"),
    ),
    crawls=(
        crawl("running"),
        crawl("finished", "finished", minutes_ago=2),
        crawl("finished", "finished", minutes_ago=1),
        crawl("finished", "closespider_timeout", minutes_ago=3),
        crawl("silent", minutes_ago=4),
        crawl("finished", "bad_credentials", minutes_ago=5, spider="search"),
    ),
    totals={
        "product": {
            "ali1688/calls": 12,
            "ali1688/errors/timeout": 2,
            "ali1688/errors/of_another_version": 1,
            "ali1688/items/stored": 9,
            "ali1688/items/new": 9,
            "ali1688/quota/wait_seconds": 1.25,
            "ali1688/of_another_version": 5,
            "spider_exceptions/count": 3,
            "spider_exceptions/ValueError": 3,
            "item_scraped_count": 10,
        }
    },
    quota=QuotaState(30, 100, NOW + timedelta(hours=4), NOW + timedelta(hours=1), 0.0, False),
    failed=FailedCallsState(6, 2),
    watch=WatchState(1000, 0.75),
    outboxes=OutboxState(3, 2, NOW - timedelta(seconds=90)),
    tokens=TokenState(NOW + timedelta(hours=1), NOW + timedelta(days=9), can_refresh=True),
    problems=(
        Problem("NoWorker", "", ""),
        Problem("NoWorker", "", ""),
        Problem("QuotaGone", "", ""),
    ),
)
AWAY = ServerState("Redis", "Connection refused")


def samples(state: State) -> dict[str, float]:
    """Return the metrics of a state, by name and labels: ``calls_total{spider=product}``."""
    found = {}
    for family in text_string_to_metric_families(metrics_text(state).decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            name = sample.name.removeprefix("ali1688_")
            found[f"{name}{{{labels}}}" if labels else name] = sample.value
    return found


def test_names_follow_the_guidelines_of_prometheus() -> None:
    described = list(descriptions())
    assert len({each.name for each in described}) == len(described)
    for each in described:
        assert re.fullmatch(r"ali1688_[a-z]+(_[a-z]+)*", each.name)
        assert each.name.endswith("_total") == (each.kind == "counter")
        assert not re.search(r"_(ms|milliseconds|minutes|hours|days|percent|kb|mb)\b", each.name)
        assert each.help.endswith(".")
        assert "|" not in each.help


def test_what_is_shown_is_described() -> None:
    described = {each.name: each for each in descriptions()}
    shown = set()
    for family in text_string_to_metric_families(metrics_text(STATE).decode()):
        for sample in family.samples:
            shown.add(sample.name)
            assert set(sample.labels) == set(described[sample.name].labels)
            assert described[sample.name].kind == family.type
    assert shown == set(described)


def test_counters_are_sums_by_spider() -> None:
    found = samples(STATE)
    assert found["calls_total{spider=product}"] == 12
    assert found["errors_total{class=timeout,spider=product}"] == 2
    assert found["errors_total{class=of_another_version,spider=product}"] == 1
    assert found["items_stored_total{spider=product}"] == 9
    assert found["items_total{outcome=new,spider=product}"] == 9
    assert "items_total{outcome=stored,spider=product}" not in found
    assert found["quota_wait_seconds_total{spider=product}"] == 1.25
    assert found["items_scraped_total{spider=product}"] == 10
    assert found["spider_exceptions_total{exception=ValueError,spider=product}"] == 3
    assert not any("count" in name or name.startswith("of_another") for name in found)


def test_counters_are_there_before_anything_is_counted() -> None:
    found = samples(replace(STATE, totals={}))
    assert found["calls_total{spider=search}"] == 0
    assert found["errors_total{class=flow_control,spider=product}"] == 0
    assert found["leases_total{event=expired,spider=product}"] == 0
    assert found["webhook_changes_total{result=failed,spider=product}"] == 0


def test_counters_do_not_fall_to_zero_while_redis_is_away() -> None:
    away = State(at=NOW, version="1", redis=AWAY, mongo=ServerState("MongoDB"))
    found = samples(away)
    assert found["server_up{server=redis}"] == 0
    assert found["server_up{server=mongodb}"] == 1
    assert not any("_total" in name for name in found)
    assert not any(name.startswith(("queue_", "workers", "quota_", "gateway_")) for name in found)


def test_what_mongodb_knows_is_missing_while_it_is_away() -> None:
    unknown = FailedCallsState(error="MongoDB is away")
    mongo = ServerState("MongoDB", "refused")
    away = replace(STATE, mongo=mongo, outboxes=None, failed=unknown)
    found = samples(away)
    assert found["crawls{spider=product,state=running}"] == 1
    assert not any(
        name.startswith(("crawls_ended", "crawl_last", "outbox", "webhook_w", "failed_calls_kept"))
        for name in found
    )
    assert "crawls{spider=product,state=silent}" not in found


def test_without_redis_there_are_no_counters_and_no_server() -> None:
    found = samples(State(at=NOW, version="1"))
    assert not any("_total" in name or name.startswith("server_up") for name in found)
    assert found["failed_calls_kept"] == 0


def test_queues_and_their_workers() -> None:
    found = samples(STATE)
    states = ("ready", "delayed", "leased")
    assert [found[f"queue_calls{{spider=product,state={each}}}"] for each in states] == [7, 5, 3]
    assert found["queue_messages{spider=product}"] == 4
    assert found["queue_oldest_waiting_seconds{spider=product}"] == 61
    assert found["queue_oldest_waiting_seconds{spider=search}"] == 0
    assert found["queue_paused{spider=product}"] == 0
    assert found["queue_paused{spider=search}"] == 1
    assert found["queue_workers{spider=product,state=alive}"] == 1
    assert found["queue_workers{spider=product,state=silent}"] == 1


def test_delayed_calls_that_are_due_are_ready() -> None:
    due = replace(STATE, queues={"watch": replace(queue(), overdue=2)})
    found = samples(due)
    states = ("ready", "delayed", "leased")
    assert [found[f"queue_calls{{spider=watch,state={each}}}"] for each in states] == [9, 3, 3]


def test_crawl_processes_are_added_up_by_host() -> None:
    found = samples(STATE)
    assert found["workers{host=a,spider=product,version=1}"] == 2
    assert found["workers{host=b,spider=search,version=1}"] == 1
    assert found["workers_memory_bytes{host=a,spider=product}"] == 150
    assert found["workers_in_flight{host=a,spider=product}"] == 4
    assert found["workers_products_per_second{host=a,spider=product}"] == 1.5
    assert found["workers_held_back{host=a,spider=product}"] == 1
    assert found["workers_clock_skew_seconds{host=a}"] == -9.5
    assert found["workers_clock_skew_seconds{host=b}"] == 0
    assert not any("job-1" in name for name in found)


def test_quota() -> None:
    found = samples(STATE)
    assert (found["quota_used_calls"], found["quota_limit_calls"]) == (30, 100)
    assert found["quota_reset_timestamp_seconds"] == (NOW + timedelta(hours=4)).timestamp()
    assert found["quota_exhaustion_timestamp_seconds"] == (NOW + timedelta(hours=1)).timestamp()
    assert found["gateway_up"] == 1

    lasting = QuotaState(30, 0, NOW, None, 2.5, is_gateway_away=True)
    found = samples(replace(STATE, quota=lasting))
    assert "quota_limit_calls" not in found
    assert found["quota_exhaustion_timestamp_seconds"] == inf
    assert found["quota_pause_seconds"] == 2.5
    assert found["gateway_up"] == 0

    gone = QuotaState(100, 100, NOW, None, 0.0, is_gateway_away=False)
    assert "quota_exhaustion_timestamp_seconds" not in samples(replace(STATE, quota=gone))


def test_what_waits_and_what_is_kept() -> None:
    found = samples(STATE)
    assert (found["failed_calls_kept"], found["failed_calls_kept_last_hour"]) == (6, 2)
    assert (found["watched_products"], found["watched_fresh_ratio"]) == (1000, 0.75)
    assert found["outbox_pending_products"] == 3
    assert found["webhook_waiting_changes"] == 2
    assert found["webhook_oldest_waiting_seconds"] == 90
    idle = samples(replace(STATE, outboxes=OutboxState(), watch=None))
    assert idle["webhook_oldest_waiting_seconds"] == 0
    assert "watched_products" not in idle


def test_tokens() -> None:
    found = samples(STATE)
    refresh_ends = (NOW + timedelta(days=9)).timestamp()
    assert found["token_expiry_timestamp_seconds{token=refresh}"] == refresh_ends
    assert found["authorization_expiry_timestamp_seconds"] == refresh_ends
    unknown = TokenState(None, None, can_refresh=True)
    assert not any("expiry" in name for name in samples(replace(STATE, tokens=unknown)))


def test_crawls() -> None:
    found = samples(STATE)
    states = ("running", "finished", "silent")
    assert [found[f"crawls{{spider=product,state={each}}}"] for each in states] == [1, 3, 1]
    assert found["crawls_ended{reason=finished,spider=product}"] == 2
    assert found["crawls_ended{reason=other,spider=product}"] == 1
    assert found["crawls_ended{reason=killed,spider=product}"] == 1
    assert found["crawls_ended{reason=killed,spider=search}"] == 0
    ends = {name: value for name, value in found.items() if name.startswith("crawl_last_end")}
    last = (NOW - timedelta(minutes=1)).timestamp()
    assert ends["crawl_last_end_timestamp_seconds{reason=finished,spider=product}"] == last
    assert len(ends) == 4
    began = (NOW - timedelta(hours=1)).timestamp()
    assert found["crawl_last_start_timestamp_seconds{spider=product}"] == began


def test_problems_by_name() -> None:
    found = samples(STATE)
    assert found["problems{name=NoWorker}"] == 2
    assert found["problems{name=QuotaGone}"] == 1
    assert sum(name.startswith("problems") for name in found) == len(PROBLEM_NAMES)
    assert found["problems{name=RedisAway}"] == 0


def test_all_problems_are_known_by_name() -> None:
    tree = ast.parse((PACKAGE / "monitoring" / "problems.py").read_text())
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Problem":
            name = ast.unparse(node.args[0]).strip("'\"")
            servers = {"RedisAway", "MongoDBAway"}
            names |= servers if name == "f'{server.name}Away" else {name}
    assert names == set(PROBLEM_NAMES)


def test_values_of_labels_stay_few_whatever_happens() -> None:
    one, many = (
        replace(
            STATE,
            workers=tuple(line(number) for number in range(count)),
            crawls=tuple(crawl("finished", f"reason {number}") for number in range(count)),
        )
        for count in (1, 100)
    )
    assert set(samples(one)) == set(samples(many))


@pytest.mark.parametrize("name", ['"', "\\", "\n", "保温杯", "a" * 300])
def test_any_name_of_a_spider_or_host_can_be_read_back(name: str) -> None:
    state = replace(STATE, totals={name: {"ali1688/calls": 1}}, workers=(line(1, host=name),))
    families = text_string_to_metric_families(metrics_text(state).decode())
    labels = [sample.labels for family in families for sample in family.samples]
    assert any(each.get("spider") == name for each in labels)
    shown = state.workers[0].line.host
    assert any(each.get("host") == shown for each in labels)


def test_gauges_of_the_crawls_are_gauges_here() -> None:
    shown = {"ali1688/watch/fraction_fresh": "watched_fresh_ratio"}
    shown["ali1688/clock/skew_seconds"] = "workers_clock_skew_seconds"
    assert set(shown) == GAUGES
    assert set(shown.values()) <= {name.partition("{")[0] for name in samples(STATE)}


def test_reasons_that_are_told_apart_are_those_of_the_contract() -> None:
    documented = {"finished", "incomplete", "bad_credentials", "quota_exhausted"}
    documented |= {"permission_denied", "database_unavailable"}
    assert documented <= set(REASONS)
