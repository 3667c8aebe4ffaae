"""A real Prometheus scrapes the dashboard of a running cluster, and Alertmanager delivers an alert.

All programs run with the files of ``deploy/``, in which only addresses and times are other ones.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pymongo
import pytest

from ali1688_spider.monitoring.problems import PROBLEM_NAMES
from tests.harness import FIRST_PRODUCT, ROOT, Cluster, eventually, products
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.harness import Process

PROGRAMS = ("prometheus", "prometheus-alertmanager")
MISSING = " ".join(program for program in PROGRAMS if shutil.which(program) is None)
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"missing: apt-get install {MISSING}")

DEPLOY = ROOT / "deploy"
TOKEN = "dashboard-token-one"
SECRETS = {
    "ALI1688_APP_SECRET": "test123",
    "ALI1688_ACCESS_TOKEN": "access-token-one",
    "ALI1688_REFRESH_TOKEN": "refresh-token-one",
    "ALI1688_DASHBOARD_TOKEN": TOKEN,
    "ALI1688_WEBHOOK_SECRET": "webhook-secret-one",
}
WATCHED = products(5)
COLLECTED = products(60, FIRST_PRODUCT + 100)
LEFT = products(3, FIRST_PRODUCT + 500)

ALERTMANAGER = """
route: {{receiver: test, group_wait: 0s, group_interval: 1s}}
receivers: [{{name: test, webhook_configs: [{{url: "{url}"}}]}}]
"""


class Receiver(ThreadingHTTPServer):
    """Takes what Alertmanager delivers.

    Attributes:
        alerts: The alerts that have come, each as often as it did.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", free_port()), Delivery)
        self.alerts: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def firing(self, name: str, **labels: str) -> dict[str, Any] | None:
        """Return an alert that has come, with these labels among others."""
        wanted = {"alertname": name, **labels}.items()
        return next((each for each in self.alerts if wanted <= each["labels"].items()), None)


class Delivery(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.alerts += json.loads(body)["alerts"]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Prometheus:
    """Answers questions about what a Prometheus has scraped."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1/"

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer; None while Prometheus starts."""
        try:
            with urllib.request.urlopen(f"{self._url}{path}?{urlencode(parameters)}") as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                pytest.fail(f"{parameters}: {error.read().decode()}")
        except urllib.error.URLError:
            pass
        return None

    def series(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression at this moment."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def number(self, expression: str) -> float | None:
        """Return the number of an expression with one series; None when it has none."""
        found = self.series(expression)
        return float(found[0]["value"][1]) if found else None

    @property
    def rules(self) -> dict[str, str]:
        """The expressions of the alerts, by name."""
        groups = (self.ask("rules") or {"groups": []})["groups"]
        return {rule["name"]: rule["query"] for group in groups for rule in group["rules"]}

    @property
    def has_scraped(self) -> bool:
        targets = (self.ask("targets") or {"activeTargets": []})["activeTargets"]
        return any(target["health"] == "up" for target in targets)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Start a program; it ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        with (tmp_path / f"{command[0]}.log").open("wb") as log:
            started.append(subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log))

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    yield receiver
    receiver.shutdown()
    thread.join()
    receiver.server_close()


@pytest.fixture
def database(mongo_uri: str, mongo_database: str) -> Iterator[pymongo.database.Database[Any]]:
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(mongo_uri)
    yield client[mongo_database]
    client.close()


@pytest.fixture
def cluster(tmp_path: Path, mongo_uri: str, mongo_database: str) -> Iterator[Cluster]:
    """Workers with everything switched on that has metrics; nobody listens to their webhook."""
    settings = {
        **SECRETS,
        "ALI1688_PROTOCOL": "param2",
        "ALI1688_WEBHOOK_URL": f"http://127.0.0.1:{free_port()}/",
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": mongo_database,
    }
    tokens = ["--access-token", "access-token-one", "--refresh-token", "refresh-token-one"]
    (tmp_path / "cluster").mkdir()
    with Cluster(tmp_path / "cluster", settings, sandbox=tokens) as cluster:
        settings["ALI1688_GATEWAY"] = f"{cluster.gateway.url}/openapi"
        yield cluster


def comma(ids: Sequence[int]) -> str:
    return ",".join(map(str, ids))


def work(cluster: Cluster, database: pymongo.database.Database[Any]) -> list[Process]:
    """Have a cluster do of everything a little; return the workers that run on."""
    cluster.gateway.set(expire_token=True)  # the end of the next one is known
    cluster.produce(COLLECTED)
    workers = [
        cluster.start(),
        cluster.start(f"ids={comma(WATCHED)}", "min_interval=1", "max_interval=2", spider="watch"),
    ]
    eventually(lambda: database.products.count_documents({}) == len(COLLECTED) + len(WATCHED))
    for number, product_id in enumerate(WATCHED):
        cluster.gateway.product(product_id, price=f"{number + 1}.99")
    eventually(lambda: database.webhook_outbox.find_one({"state": "waiting"}))
    return workers


def add_crawls_of_the_past(database: pymongo.database.Database[Any]) -> None:
    """Add a crawl that was killed, and one that ended early, to those that the database knows."""
    now = datetime.now(UTC)
    crawl = {"spider": "search", "host": "a", "pid": 1, "arguments": {}, "stats": {}}
    killed = {"started_at": now - timedelta(hours=1), "last_seen": now - timedelta(minutes=5)}
    ended_at = now - timedelta(minutes=10)
    ended = {**killed, "finished_at": ended_at, "last_seen": ended_at, "reason": "bad_credentials"}
    database.crawls.insert_many([{**crawl, **killed}, {**crawl, **ended}])


def configure(folder: Path, dashboard: str, alertmanager: str, receiver: str) -> None:
    """Write the files of ``deploy/prometheus``, with these addresses, and seconds for minutes."""
    shutil.copytree(DEPLOY / "prometheus", folder)
    (folder / "dashboard_token").write_text(f"{TOKEN}\n")
    (folder / "alertmanager.yml").write_text(ALERTMANAGER.format(url=receiver))
    configuration = (folder / "prometheus.yml").read_text()
    for old, new in (
        ("127.0.0.1:8088", dashboard),
        ("127.0.0.1:9093", alertmanager),
        ("scrape_interval: 15s", "scrape_interval: 1s"),
        ("scrape_timeout: 14s", "scrape_timeout: 1s"),
        ("evaluation_interval: 15s", "evaluation_interval: 1s"),
    ):
        assert old in configuration
        configuration = configuration.replace(old, new)
    (folder / "prometheus.yml").write_text(configuration)
    rules = (folder / "rules.yml").read_text()
    (folder / "rules.yml").write_text(re.sub(r"\bfor: \d+m", "for: 1s", rules))


def start_servers(run: Callable[..., None], folder: Path, port: int, alertmanager: str) -> None:
    run(
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    run(
        "prometheus-alertmanager",
        f"--config.file={folder}/alertmanager.yml",
        f"--storage.path={folder}/alertmanager",
        f"--web.listen-address={alertmanager}",
        "--cluster.listen-address=",
    )


def with_series_whatever_holds(expression: str) -> str:
    """Return the expression of an alert, its conditions as 0 or 1, so that it has series always."""
    parts = re.split(r"({.*?})", expression)
    parts[::2] = [part.replace("unless", "and") for part in parts[::2]]
    parts[::2] = [re.sub(r"(==|>=|<=|>|<)", r"\1 bool", part) for part in parts[::2]]
    return "".join(parts)


def expressions_of_the_board() -> list[str]:
    board = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    targets = [target for panel in board["panels"] for target in panel.get("targets", ())]
    return [
        target["expr"].replace("$__rate_interval", "10s").replace("$spider", ".*")
        for target in targets
    ]


def test_prometheus_knows_the_cluster_and_delivers_an_alert(
    tmp_path: Path,
    cluster: Cluster,
    database: pymongo.database.Database[Any],
    receiver: Receiver,
    run: Callable[..., None],
) -> None:
    workers = work(cluster, database)
    add_crawls_of_the_past(database)
    dashboard = cluster.run("dashboard", "--host", "0.0.0.0", "--port", "0")
    said = eventually(lambda: re.search(r"http://0\.0\.0\.0:(\d+)/\n", dashboard.stdout))
    address = f"127.0.0.1:{said[1]}"
    prometheus, alertmanager = Prometheus(port := free_port()), f"127.0.0.1:{free_port()}"
    configure(tmp_path / "prometheus", address, alertmanager, receiver.url)
    start_servers(run, tmp_path / "prometheus", port, alertmanager)
    eventually(lambda: prometheus.has_scraped)

    assert set(prometheus.rules) == {*PROBLEM_NAMES, "DashboardAway"}
    expressions = [*map(with_series_whatever_holds, prometheus.rules.values())]
    expressions += expressions_of_the_board()

    missing: list[str] = []

    def all_have_series() -> bool:
        missing[:] = [each for each in expressions if not prometheus.series(each)]
        return not missing

    try:
        eventually(all_have_series, 30)
    except AssertionError:
        pytest.fail("\n".join(["without series:", *missing]))

    for worker in workers:
        assert worker.stop() == 0, worker.log
    # The gateway counts the refreshes of the token, too.
    calls = "sum(ali1688_calls_total) + sum(ali1688_token_refreshes_total)"
    eventually(lambda: prometheus.number(calls) == cluster.gateway.calls)
    stored = 'sum(ali1688_items_stored_total{spider="product"})'
    eventually(lambda: prometheus.number(stored) == len(COLLECTED))

    cluster.produce(LEFT)
    alert = eventually(lambda: receiver.firing("NoWorker", spider="product"))
    assert alert["annotations"] == {
        "summary": "3 calls of product wait, and no worker is there",
        "description": "Start one: scrapy crawl product.",
    }

    cluster.kill_redis()
    eventually(lambda: prometheus.number('ali1688_server_up{server="redis"}') == 0)
    assert prometheus.series("ali1688_calls_total") == []  # not 0, as if they began anew
    assert eventually(lambda: receiver.firing("RedisAway"))
    cluster.restart_redis()
    eventually(lambda: prometheus.number(calls) == cluster.gateway.calls)

    request = urllib.request.Request(f"http://{address}/metrics")
    request.add_header("Authorization", f"Bearer {TOKEN}")
    with urllib.request.urlopen(request) as response:
        text = response.read().decode()
    assert "ali1688_calls_total" in text
    assert not [secret for secret in SECRETS.values() if secret in text]
