"""What crawls count together, and ``scrapy status``, on a real cluster that is killed meanwhile."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.statistics.sums import StatisticsReader, counted
from tests.harness import Cluster, eventually, products
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ali1688_spider.statistics.sums import StatisticsReading
    from tests.harness import Process

CALLS, ITEMS = "ali1688/calls", "item_scraped_count"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def read(cluster: Cluster) -> StatisticsReading:
    return StatisticsReader(cluster.redis).read()


def totals(cluster: Cluster, spider: str = "product") -> dict[str, float]:
    return read(cluster).totals.get(spider, {})


def counts_of(workers: Iterable[Process]) -> dict[str, Any]:
    """Return what workers that have ended say of themselves, added up."""
    sums: Counter[str] = Counter()
    for worker in workers:
        sums.update(dict(counted(worker.stats, {})))
    return {name: pytest.approx(number, rel=1e-9) for name, number in sums.items()}


def lines(cluster: Cluster) -> set[int]:
    """Return the processes that have a line."""
    return {worker.line.pid for worker in read(cluster).workers}


def test_the_sums_are_what_the_gateway_has_seen(
    cluster: Cluster, mongo_uri: str, mongo_database: str
) -> None:
    cluster.settings = {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    cluster.gateway.set(latency=20)
    cluster.gateway.fail(faults="500,html", rate=0.1, times=1)
    workers = [cluster.start() for _ in range(3)]
    ids = products(300)
    cluster.produce(ids)
    cluster.gateway.wait_for(100)
    eventually(lambda: lines(cluster) == {worker.pid for worker in workers})
    assert workers[0].stop() == 0  # it gives back what it has not done
    eventually(lambda: cluster.done)
    assert [worker.stop() for worker in workers[1:]] == [0, 0]

    sums = totals(cluster)
    assert sums[CALLS] == cluster.gateway.calls > len(ids)
    assert sums[ITEMS] == sums["ali1688/items/stored"] == len(ids)
    assert sums == counts_of(workers)
    assert sum(minute.calls for minute in read(cluster).minutes) == sums[CALLS]
    assert sum(minute.products for minute in read(cluster).minutes) == len(ids)
    assert lines(cluster) == set()


def test_what_is_counted_while_a_crawl_closes_is_added_too(
    cluster: Cluster, mongo_uri: str, mongo_database: str
) -> None:
    cluster.settings = {
        "ALI1688_CACHE_TTL": "0",
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": mongo_database,
        "ALI1688_WEBHOOK_URL": f"http://127.0.0.1:{free_port()}/",
        "ALI1688_WEBHOOK_SECRET": "the-webhook-secret",
    }
    [product_id] = products(1)
    first = cluster.start(f"ids={product_id}")
    assert first.wait() == 0
    cluster.gateway.product(product_id, price="1.23")
    second = cluster.start(f"ids={product_id}")
    assert second.wait() == 0
    assert second.stats["ali1688/webhook/failed"] >= 1
    assert totals(cluster) == counts_of([first, second])


def test_jobs_of_few_seconds_are_counted(cluster: Cluster) -> None:
    cluster.settings = {"ALI1688_CACHE_TTL": "0"}
    first, second = products(2)
    jobs = [
        cluster.start(f"ids={first}", SCRAPY_JOB="job-1"),
        cluster.start(f"ids={first},{second}", SCRAPY_JOB="job-2"),
        cluster.start("keyword=杯", "max_pages=1", spider="search", SCRAPY_JOB="job-3"),
    ]
    assert [job.wait() for job in jobs] == [0, 0, 0]
    reading = read(cluster)
    assert sum(sums[CALLS] for sums in reading.totals.values()) == cluster.gateway.calls
    assert reading.totals["product"] == counts_of(jobs[:2])
    assert reading.totals["search"] == counts_of(jobs[2:])
    assert reading.workers == ()


def test_what_killed_workers_had_added_stays(cluster: Cluster) -> None:
    cluster.settings = {"ALI1688_QPS": "60", "ALI1688_LEASE_SECONDS": "1"}
    cluster.produce(products(3000))
    before: dict[str, float] = {}

    def has_grown(by: float) -> bool:
        """Whether calls have come in; no sum ever falls."""
        nonlocal before
        sums = totals(cluster)
        assert {name for name, number in before.items() if sums.get(name, 0) < number} == set()
        before = sums
        return sums.get(CALLS, 0) >= by

    living = cluster.start()
    for _ in range(3):
        goal = before.get(CALLS, 0) + 30
        killed = cluster.start()
        eventually(lambda: killed.pid in lines(cluster))  # noqa: B023
        eventually(lambda: has_grown(goal))  # noqa: B023
        killed.kill()
        assert has_grown(goal)
        eventually(lambda: killed.pid not in lines(cluster))  # noqa: B023
        assert has_grown(goal)
    assert lines(cluster) == {living.pid}
    assert living.stop() == 0
    sums = totals(cluster)
    assert has_grown(0)
    # The killed ones lack what they did since they last added.
    assert living.stats[CALLS] < sums[CALLS] <= cluster.gateway.calls


@pytest.mark.parametrize("appendonly", ["yes", "no"])
def test_workers_that_live_on_are_counted_once_when_redis_is_killed(
    tmp_path: Path, appendonly: str
) -> None:
    settings = {"ALI1688_CACHE_TTL": "0"}
    arguments = ["--appendonly", appendonly]
    with Cluster(tmp_path, settings, redis_arguments=arguments) as cluster:
        workers = [cluster.start(), cluster.start()]
        eventually(lambda: all(worker.has_opened for worker in workers))
        for _ in range(3):
            seen = cluster.gateway.calls
            cluster.produce(products(40))
            cluster.gateway.wait_for(seen + 40)
            eventually(lambda: cluster.done)
            eventually(lambda: totals(cluster).get(CALLS) == cluster.gateway.calls)
            cluster.kill_redis()
            cluster.restart_redis()
        eventually(lambda: len(lines(cluster)) == 2)
        assert [worker.stop() for worker in workers] == [0, 0]
        assert totals(cluster) == counts_of(workers)
        assert totals(cluster)[CALLS] == cluster.gateway.calls == 120


def status(cluster: Cluster, *arguments: str, **settings: str) -> Process:
    process = cluster.run("status", *arguments, **settings)
    process.finish()
    return process


def test_the_state_of_a_cluster(cluster: Cluster, mongo_uri: str, mongo_database: str) -> None:
    cluster.settings = {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    gone, *ids = products(40)
    cluster.gateway.fail(product_id=gone, faults=["isv"])
    cluster.queue.steering.pause("me@here")
    worker = cluster.start(SCRAPY_JOB="job-1")
    eventually(lambda: worker.pid in lines(cluster))
    cluster.produce([gone, *ids])
    eventually(lambda: cluster.counts.messages == 0)
    shown = status(cluster)
    assert shown.exit_code == 0, shown.stdout
    assert "All is well." in shown.stdout
    assert "by me@here" in shown.stdout
    assert f":{worker.pid} job-1" in shown.stdout

    cluster.queue.steering.resume()
    eventually(lambda: cluster.done)
    eventually(lambda: totals(cluster).get(ITEMS) == len(ids))
    in_json = status(cluster, "--json")
    assert in_json.exit_code == 1
    state = json.loads(in_json.stdout)
    assert state["totals"]["product"][ITEMS] == len(ids)
    assert [problem["name"] for problem in state["problems"]] == ["CallsGivenUp"]
    assert state["workers"][0]["line"]["pid"] == worker.pid
    assert state["workers"][0]["line"]["done"] == len(ids) + 1
    assert [crawl["state"] for crawl in state["crawls"]] == ["running"]
    assert state["quota"]["used"] == cluster.gateway.calls
    assert "WRONG: 1 calls were given up in the last hour" in status(cluster).stdout

    worker.kill()
    eventually(lambda: not lines(cluster))
    state = json.loads(status(cluster, "--json").stdout)
    assert state["workers"] == []
    assert state["totals"]["product"][ITEMS] == len(ids)


@pytest.mark.parametrize("name", ["REDIS_URL", "MONGO_URI"])
def test_a_server_that_hangs_is_away(cluster: Cluster, name: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        start = "redis://" if name == "REDIS_URL" else "mongodb://user"
        process = status(cluster, "--json", **{name: f"{start}:s3cret-word@127.0.0.1:{port}/"})
    assert process.exit_code == 1
    state = json.loads(process.stdout)
    server = "Redis" if name == "REDIS_URL" else "MongoDB"
    assert [problem["name"] for problem in state["problems"]] == [f"{server}Away"]
    assert "s3cret" not in process.stdout + process.log
    assert process.log == ""


def test_cron_has_ascii_alone(cluster: Cluster) -> None:
    failed = {
        "spider": "product",
        "call": "610000000001",
        "api": "x",
        "params": {},
        "attempts": 5,
        "error": "服务超时 \U0001f600",
        "at": f"{datetime.now(UTC):%FT%TZ}",
    }
    cluster.redis.zadd("ali1688:failed_calls", {json.dumps(failed): time.time() * 1000})
    ascii_only = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}

    def run(*options: str) -> str:
        command = [sys.executable, "-m", "scrapy", "status", *options]
        process = subprocess.run(
            command,
            capture_output=True,
            env=environment(cluster, **ascii_only),
            cwd=cluster.folder,
            check=False,
        )
        assert (process.returncode, process.stderr) == (1, b"")
        return process.stdout.decode("ascii")

    assert r"\u670d\u52a1\u8d85\u65f6 \U0001f600" in run()
    state = json.loads(run("--json"))
    assert state["failed"]["latest"][0]["error"] == "服务超时 \U0001f600"


def test_watching_in_a_pipe(cluster: Cluster) -> None:
    process = cluster.run("status", "--watch", "--json")
    eventually(lambda: process.stdout.count("\n") >= 2)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait() == 0
    assert process.log == ""
    states = [json.loads(line) for line in process.stdout.splitlines()]
    assert states[0]["at"] < states[1]["at"]


def test_watching_ends_with_its_reader(cluster: Cluster) -> None:
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "scrapy", "status", "--watch", "--json"]
    process = subprocess.Popen(
        command,
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment(cluster),
        cwd=cluster.folder,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        json.loads(pipe.readline())
    assert process.communicate(timeout=60) == (None, b"")
    assert process.returncode == 128 + signal.SIGPIPE


def test_watching_on_a_terminal(cluster: Cluster) -> None:
    cluster.redis.set("ali1688:failed_calls", "unreadable")
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "scrapy", "status", "--watch"]
    process = subprocess.Popen(
        command,
        stdout=terminal,
        stderr=subprocess.PIPE,
        env=environment(cluster, COLUMNS="60"),
        cwd=cluster.folder,
    )
    os.close(terminal)
    with os.fdopen(master, "rb", buffering=0) as screen:
        shown = b""
        while shown.count(b"\x1b[2J") < 2:
            shown += screen.read(4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    text = shown.decode().split("\x1b[2J")[1]
    assert "All is well." in text
    assert "Given up: unknown: WRONGTYPE" in text
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def environment(cluster: Cluster, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "SCRAPY_SETTINGS_MODULE": "ali1688_spider.settings",
        **cluster._environment,
        **more,
    }
