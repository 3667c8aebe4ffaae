"""The units, run by a real systemd: ``make images``, whose worker it runs."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.deployment.booted import SYSTEMD, Booted
from tests.harness import Cluster, products
from tests.integration.scrapyd_server import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.deployment.images import Container

pytestmark = [
    pytest.mark.images,
    pytest.mark.skipif(
        not SYSTEMD.exists(), reason="units are run by systemd: apt install systemd"
    ),
]

WORKER = "ali1688-worker@1.service"
# So that five attempts take seconds.
QUICK = "[Unit]\nStartLimitIntervalSec=30s\n[Service]\nRestartSec=100ms\n"


@pytest.fixture
def booted(worker: Container, settings: dict[str, str], cluster: Cluster) -> Iterator[Booted]:
    with Booted(worker.tree, {"ali1688-worker@.service": QUICK}) as booted:
        booted.configure(settings | {"REDIS_URL": cluster.redis_url})
        yield booted


def test_a_worker_is_stopped_in_time(
    booted: Booted, cluster: Cluster, settings: dict[str, str], stored: Any
) -> None:
    settings |= {"ALI1688_QPS": "1", "REDIS_URL": cluster.redis_url}
    booted.configure(settings)
    started = booted.systemctl("start", WORKER)
    assert started.returncode == 0, started.stderr + booted.log
    pushed = booted.scrapy("push", "product", *map(str, products(50)))
    assert pushed.returncode == 0, pushed.stderr
    eventually(lambda: stored.count_documents({}) >= 2, lambda: booted.log)
    pid = booted.state(WORKER, "MainPID")["MainPID"]
    lines = (booted.root / "proc" / pid / "status").read_text().splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    assert status["NoNewPrivs"] == ["1"]
    assert status["CapEff"] == ["0" * 16]
    assert status["Seccomp"] == ["2"]
    assert cluster.counts.leased > 0
    assert booted.systemctl("stop", WORKER).returncode == 0
    state = booted.state(WORKER, "ActiveState", "Result", "ExecMainStatus")
    assert state == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    assert "Closing spider (shutdown)" in booted.log
    assert cluster.counts.leased == 0
    assert cluster.counts.calls + stored.count_documents({}) == 50


def test_a_worker_that_fails_again_and_again_waits_for_the_next_day(
    booted: Booted, cluster: Cluster, settings: dict[str, str], stored: Any
) -> None:
    cluster.produce(products(1))
    booted.configure(settings | {"REDIS_URL": cluster.redis_url, "ALI1688_APP_SECRET": "wrong"})
    booted.systemctl("start", WORKER)
    eventually(lambda: booted.state(WORKER, "ActiveState") == {"ActiveState": "failed"}, str)
    assert booted.state(WORKER, "NRestarts") == {"NRestarts": "5"}
    assert "bad_credentials" in booted.log
    booted.configure(settings | {"REDIS_URL": cluster.redis_url})

    def begins() -> bool:
        booted.systemctl("start", "ali1688-new-day.service")
        return booted.state(WORKER, "ActiveState") == {"ActiveState": "active"}

    eventually(begins, lambda: booted.log)
    eventually(lambda: stored.distinct("_id") == products(1), lambda: booted.log)


def test_the_dashboard_is_served(booted: Booted) -> None:
    assert booted.systemctl("start", "ali1688-dashboard.service").returncode == 0

    def answers() -> bool:
        try:
            with urllib.request.urlopen("http://127.0.0.1:8088/healthz", timeout=5) as response:
                return bool(response.read() == b"ok\n")
        except OSError:
            return False

    eventually(answers, lambda: booted.log)
    assert booted.systemctl("stop", "ali1688-dashboard.service").returncode == 0
    assert not answers()


def test_the_report_is_written(booted: Booted) -> None:
    written = booted.systemctl("start", "ali1688-report.service")
    assert written.returncode == 0, written.stderr + booted.log
    page = booted.root / "var/lib/ali1688/reports/day.html"
    assert page.read_text().startswith("<!doctype html>")
    assert page.stat().st_uid == (booted.root / "var/lib/ali1688").stat().st_uid != 0
