"""The containers of the manifests, each as a process with its command and its environment.

A folder takes the place of a volume. What an image adds, ``tests/deployment/test_images.py`` shows.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.local_servers import HOST
from tests.deployment.commands import SECRETS
from tests.deployment.manifests import NAMESPACE, workload
from tests.harness import Scrapy, products
from tests.ports import free_port
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness import Cluster, Process

TOKEN = SECRETS["ALI1688_DASHBOARD_TOKEN"]


@pytest.fixture
def pods(cluster: Cluster, mongo_uri: str, mongo_database: str, tmp_path: Path) -> Iterator[Pods]:
    secret = SECRETS | {
        "ALI1688_GATEWAY": f"{cluster.gateway.url}/openapi",
        "REDIS_URL": cluster.redis_url,
        "MONGO_URI": mongo_uri,
    }
    pods = Pods(tmp_path, secret, {"MONGO_DATABASE": mongo_database})
    yield pods
    pods.kill()


class Pods:
    """Runs what the manifests say.

    Args:
        folder: Stands for the volumes.
        secret: What is in the Secret.
        instead: Variables that the ConfigMap says otherwise.
    """

    def __init__(self, folder: Path, secret: dict[str, str], instead: dict[str, str]) -> None:
        self._folder = folder
        self._secret = secret
        self._instead = instead
        self._commands: list[Scrapy] = []

    def start(self, name: str, *more: str, without: str = "", **instead: str) -> Process:
        """Start the container of a workload, with *more* arguments, *without* a variable."""
        each = workload(name)
        root = self._folder / f"pod-{len(self._commands)}"
        for path in each.mounts:
            (root / path[1:]).mkdir(parents=True)
        mounts = tuple(f"{path}/" for path in each.mounts)
        words = [
            f"{root}{word}" if word.startswith(mounts) else word
            for word in each.command(self._secret)
        ]
        variables = each.environment(self._secret) | self._instead | instead
        variables.pop(without, None)
        self._commands.append(Scrapy(root / "home" / "crawler", root / "output", variables))
        return self._commands[-1].start(*words, *more)

    def run(self, name: str, *words: str) -> Process:
        """Run a command to its end where a workload runs, as by ``kubectl exec``."""
        variables = workload(name).environment(self._secret) | self._instead
        folder = self._folder / f"pod-{len(self._commands)}"
        folder.mkdir()
        self._commands.append(Scrapy(folder, folder / "output", variables))
        return self._commands[-1].run(*words)

    def kill(self) -> None:
        """Kill what still runs."""
        for commands in self._commands:
            commands.kill()


@pytest.mark.parametrize("spider", ["product", "watch"])
def test_a_worker_collects_what_is_pushed(spider: str, pods: Pods, stored: Any) -> None:
    name = {"product": "ali1688-worker", "watch": "ali1688-watch"}[spider]
    ids = products(3)
    assert pods.run(name, "push", spider, *map(str, ids)).exit_code == 0
    worker = pods.start(name)
    eventually(lambda: sorted(stored.distinct("_id")) == ids)
    assert worker.stop() == 0
    records = [json.loads(line) for line in worker.log.splitlines()]
    assert {record["spider"] for record in records} == {spider}
    assert not [record for record in records if record["level"] == "ERROR"]


def test_a_worker_that_is_killed_while_it_ends_keeps_no_lease(pods: Pods, cluster: Cluster) -> None:
    cluster.gateway.fail(faults=["slow:60"], times=100)
    cluster.produce(products(5))
    worker = pods.start("ali1688-worker", ALI1688_QPS="0", ALI1688_LEASE_SECONDS="600")
    cluster.gateway.wait_for(1)
    worker.terminate()
    eventually(lambda: cluster.counts.ready + cluster.counts.delayed == 5)
    assert "Calls still run; they are returned" in worker.log
    assert worker.is_running  # for the calls on the wire
    worker.kill()
    assert (cluster.counts.calls, cluster.counts.leased) == (5, 0)


def test_the_report_is_written_to_the_volume(pods: Pods, stored: Any) -> None:
    pods.run("ali1688-worker", "crawl", "product", "-a", "ids=610000000001")
    assert stored.distinct("_id") == [610000000001]
    report = pods.start("ali1688-report")
    assert report.wait() == 0
    page = report.folder.parents[1] / "reports" / "day.html"
    assert page.read_text().startswith("<!doctype html>")
    assert str(page) in report.stdout


def ask(port: int, path: str, host: str, token: str = "") -> tuple[int, str]:
    """Return the status and the body of a response."""
    headers = {"Host": host} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(f"http://{HOST}:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_dashboard_answers_probes_and_prometheus(pods: Pods) -> None:
    port = free_port()
    each = workload("ali1688-dashboard")
    dashboard = pods.start(each.name, f"--port={port}")
    eventually(lambda: "Dashboard: http://0.0.0.0:" in dashboard.stdout or not dashboard.is_running)
    health = each.container["readinessProbe"]["httpGet"]["path"]
    asked = partial(ask, port)
    pod, service = ("10.1.2.3:8088", "[fd00::7]:8088"), f"ali1688-dashboard.{NAMESPACE}"
    for host in (*pod, service, "ali1688-dashboard:8088", f"{service}.svc:8088", "localhost:8088"):
        assert asked(health, host) == (200, "ok\n"), host
        assert asked("/", host)[0] == 401, host
        assert asked("/metrics", host)[0] == 401, host
        status, metrics = asked("/metrics", host, TOKEN)
        assert status == 200, host
        assert "ali1688_" in metrics
    assert asked(health, "other.example")[0] == 403
    assert dashboard.stop() == 0


def test_the_dashboard_does_not_start_without_a_token(pods: Pods) -> None:
    dashboard = pods.start("ali1688-dashboard", "--port=0", without="ALI1688_DASHBOARD_TOKEN")
    assert dashboard.wait() == 1
    assert "set ALI1688_DASHBOARD_TOKEN" in dashboard.log
