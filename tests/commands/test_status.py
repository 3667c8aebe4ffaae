"""``scrapy status`` on screens, in pipes, as JSON, and where there is nothing to show."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.commands import status
from ali1688_spider.monitoring.problems import problems
from ali1688_spider.monitoring.state import (
    CrawlState,
    FailedCallsState,
    FailureReason,
    OutboxState,
    QuotaState,
    ServerState,
    State,
    TokenState,
    WatchState,
)
from ali1688_spider.scheduling.steering import Pause, QueueCounts, QueueStatus, WorkerStatus
from ali1688_spider.statistics.sums import LiveWorker, Minute, WorkerLine
from tests.harness import ROOT
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 29, 10, 30, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)
BIG = 2**27
CREDENTIALS = {"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "test123"}
NOWHERE = {"REDIS_URL": "", "MONGO_URI": ""}


def worker(pid: int, **values: Any) -> LiveWorker:
    line = WorkerLine(spider="product", host="worker-3", pid=pid, started_at=NOW - HOUR, **values)
    return LiveWorker(line, 30.0)


def crawl(pid: int, **values: Any) -> CrawlState:
    running: dict[str, Any] = {"state": "running", "reason": "", "finished_at": None}
    started_at = NOW - HOUR
    fields = {**running, "arguments": {}, "calls": 0, "failed": 0, **values}
    return CrawlState("product", f"worker-3:{pid}", started_at=started_at, **fields)


STATE = State(
    at=NOW,
    version="0.1.0",
    redis=ServerState("Redis"),
    mongo=ServerState("MongoDB"),
    queues={
        "product": QueueStatus(
            QueueCounts(messages=3, ready=1200, delayed=40, leased=64, next_due=5.0),
            oldest_waiting=3 * 60.0,
            pause=None,
            workers=(WorkerStatus("worker-3:71", "worker-3", 71, 64, 1.0, is_alive=True),),
            overdue=2,
        ),
        "watch": QueueStatus(
            QueueCounts(0, 0, 0, 0, None), None, Pause("me@here", reason="stocktaking"), ()
        ),
    },
    workers=(
        worker(
            71, job="job-9", rate_per_second=1.5, waiting=1267, in_flight=32, memory_bytes=2**27
        ),
        worker(72, rate_per_second=2.0, waits_for="MongoDB, which is away since 10:29:00"),
    ),
    crawls=(
        crawl(71, done=396, total=4000, failed=1, ends_at=NOW + HOUR / 2),
        crawl(72, done=10),
        crawl(70, done=5000, state="finished", reason="shutdown", finished_at=NOW - 15 * HOUR),
        crawl(69, done=7, state="silent", finished_at=NOW - HOUR / 2),
    ),
    totals={"product": {"ali1688/calls": 5.0}},
    minutes=(Minute(NOW, 200, 210, 1, 0, 0), Minute(NOW, 7, 8, 0, 0, 0)),
    quota=QuotaState(40_000, 100_000, NOW + HOUR, NOW + HOUR / 3, 0.0, is_gateway_away=False),
    failed=FailedCallsState(
        7, 2, (FailureReason("refused: 服务超时", 7, NOW - HOUR, "610000000001"),), 7
    ),
    watch=WatchState(1000, 0.934),
    outboxes=OutboxState(4, 12, NOW - HOUR),
    tokens=TokenState(NOW + 9 * HOUR, NOW + 80 * 24 * HOUR, can_refresh=True),
)
STATE = replace(STATE, problems=tuple(problems(STATE)))
EMPTY = State(NOW, "0.1.0")
SCREEN = Path(__file__).with_name("status_screen.txt")
"""What STATE looks like."""


def shown(state: State, capsys: pytest.CaptureFixture[str]) -> list[str]:
    status._print(state)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_all_of_it_on_a_usual_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert shown(STATE, capsys) == SCREEN.read_text().splitlines()


def test_nothing_is_lost_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = shown(STATE, capsys)
    tables = lines[lines.index("Queues") :]
    assert max(map(len, tables)) <= 60
    monkeypatch.setenv("COLUMNS", "200")
    wide = shown(STATE, capsys)
    tables_of_both = ["".join(sorted("".join(each).replace(" ", ""))) for each in (lines, wide)]
    assert tables_of_both[0] == tables_of_both[1]


def test_in_a_pipe_each_row_is_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    error = "a long reason, in many words " * 30
    failed = FailedCallsState(1, 0, (FailureReason(error, 1, NOW, "1"),), 1)
    lines = shown(replace(EMPTY, failed=failed), capsys)
    assert f"1      {error.strip()}" in lines[-1]


def test_where_there_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(EMPTY, capsys) == [
        "ali1688_spider 0.1.0, 2026-11-29 10:30:20; all times are UTC",
        "All is well.",
        "",
        "Given up: 0 calls, 0 of them in the last hour",
    ]


def test_what_is_unknown_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = replace(
        EMPTY,
        failed=FailedCallsState(error="Redis is away"),
        quota=QuotaState(5, 0, NOW, None, 0.0, is_gateway_away=False),
        watch=WatchState(5, None),
        tokens=TokenState(None, None, can_refresh=False),
        crawls=(crawl(1, done=0),),
    )
    assert shown(unknown, capsys)[3:7] == [
        "Quota:    5 calls used today",
        "Given up: unknown: Redis is away",
        "Watched:  5 products",
        "Tokens:   access token without a known end, none to refresh it",
    ]
    ended = replace(EMPTY, tokens=TokenState(NOW - HOUR, None, can_refresh=True))
    assert shown(ended, capsys)[-1] == (
        "Tokens:   access token at its end, the one to refresh it without a known end"
    )


def test_delayed_calls_that_are_due_are_ready(capsys: pytest.CaptureFixture[str]) -> None:
    counts = QueueCounts(messages=0, ready=1, delayed=3, leased=0, next_due=0.0)
    due = QueueStatus(counts, 100.0, None, (), overdue=2)
    lines = shown(replace(EMPTY, queues={"watch": due}), capsys)
    assert lines[-1].split() == ["watch", "3", "100", "s", "1", "0", "0"]


def test_long_tables_end_somewhere(capsys: pytest.CaptureFixture[str]) -> None:
    many = [crawl(pid, done=1, state="finished", reason="x", finished_at=NOW) for pid in range(50)]
    lines = shown(replace(EMPTY, crawls=tuple(many)), capsys)
    assert "Crawls that ended within a day (the first 20 of 50)" in lines
    assert sum(line.startswith("product") for line in lines) == 20


def test_the_state_as_json() -> None:
    values = STATE.as_json()
    assert json.loads(json.dumps(values)) == values
    assert values["at"] == "2026-11-29T10:30:20Z"
    assert values["quota"]["ends_at"] == "2026-11-29T10:50:20Z"
    assert values["crawls"][0]["finished_at"] is None
    assert [problem["name"] for problem in values["problems"]] == [
        *("QuotaGoneEarly", "CrawlKilled", "CallsGivenUp", "WebhookWaits")
    ]
    assert values["problems"][1] == {
        "name": "CrawlKilled",
        "text": "The crawl product of worker-3:69 was killed",
        "advice": "start it again; what it had leased goes to others",
    }


def names(value: Any) -> set[str]:
    """Return the names of all fields."""
    if isinstance(value, dict):
        return {*value}.union(*map(names, value.values()))
    return set().union(*map(names, value)) if isinstance(value, list) else set()


def test_the_document_names_every_field() -> None:
    document = (ROOT / "docs" / "reference" / "status.md").read_text()
    latest = {"id": "x", "spider": "", "call": "", "error": "", "attempts": 1, "at": NOW}
    values = replace(STATE, failed=replace(STATE.failed, latest=(latest,))).as_json()
    values["queues"] = [*values["queues"].values()]
    values["totals"] = {}
    assert names(values) - {*re.findall(r"\w+", document)} == set()


def test_without_servers_all_is_well(
    run_command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("status", **CREDENTIALS, **NOWHERE) == 0
    assert "All is well." in capsys.readouterr().out
    assert run_command("status", "--json", **CREDENTIALS, **NOWHERE) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["redis"], values["mongo"], values["problems"]) == (None, None, [])


def test_a_server_that_is_away_is_exit_code_1(
    run_command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    assert run_command("status", **CREDENTIALS, **NOWHERE | {"REDIS_URL": url}) == 1
    out, err = capsys.readouterr()
    assert "WRONG: Redis is away: Error 111" in out
    assert err == ""


def test_a_machine_without_settings_gets_one_sentence(
    run_command: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run_command("status", ALI1688_APP_KEY="", **NOWHERE) == 1
    out, err = capsys.readouterr()
    assert out == ""
    [line] = err.splitlines()
    assert line.startswith("Error: ALI1688_APP_KEY is missing: put it into .env")
    assert list(tmp_path.iterdir()) == []


def test_an_argument_is_refused(
    run_command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("status", "product", **CREDENTIALS, **NOWHERE) == 1
    assert capsys.readouterr().err == "Error: 'product' is not understood: scrapy status -h.\n"
