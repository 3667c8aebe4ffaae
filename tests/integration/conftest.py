"""The project as its users run it: commands in processes of their own, against real servers.

``scrapy`` runs a command in an empty folder, with settings from the environment and from nowhere
else; ``gateway`` is the sandbox with the address that controls it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.crawler import AsyncCrawlerRunner
from scrapy.settings import Settings

from ali1688_spider.local_servers import start_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scrapy.commands import ScrapyCommand

    from ali1688_spider.local_servers import Server

ROOT = Path(__file__).parents[2]
SECONDS = 120
FIRST_ID = 610_000_000_001
_STATISTIC = re.compile(r"^[ {]'([^']+)': (.+?)[,}]$", re.MULTILINE)


@dataclass(frozen=True)
class Finished:
    """A command that has ended; the log of a crawl is its ``stderr``."""

    exit_code: int
    stdout: str
    stderr: str
    folder: Path

    @property
    def stats(self) -> dict[str, Any]:
        """The statistics that a crawl left in its log; those that are numbers or texts."""
        _, found, dump = self.stderr.rpartition("Dumping Scrapy stats:\n")
        assert found, self.stderr
        values = {}
        for name, value in _STATISTIC.findall(dump):
            if value[0] in "'0123456789-":
                values[name] = value[1:-1] if value[0] == "'" else json.loads(value)
        return values

    def ended_well(self) -> Finished:
        """Check exit code and log: no error and no traceback."""
        assert self.exit_code == 0, self.stderr
        assert "Traceback" not in self.stderr, self.stderr
        assert " ERROR: " not in self.stderr, self.stderr
        return self

    def read(self, name: str) -> Any:
        """Return the records of a JSON lines file in the folder, by product id."""
        lines = (self.folder / name).read_text().splitlines()
        return {record["product_id"]: record for record in map(json.loads, lines)}


@dataclass(frozen=True)
class Running:
    """A command that runs."""

    process: subprocess.Popen[str]
    folder: Path

    def finish(self, text: str | None = None) -> Finished:
        """Return once the command has ended; *text* is what it reads from standard input."""
        stdout, stderr = self.process.communicate(text, timeout=SECONDS)
        return Finished(self.process.returncode, stdout, stderr, self.folder)


@dataclass
class Scrapy:
    """Runs commands in one folder with the same settings, each in a process of its own.

    Warnings are errors in them, save where a command itself decides.
    """

    folder: Path
    settings: dict[str, str]
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, **settings: str) -> Running:
        """Start ``scrapy`` with *arguments*; *settings* are variables of its environment."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "SCRAPY_SETTINGS_MODULE": "ali1688_spider.settings",
            "COLUMNS": "200",
            **self.settings,
            **settings,
        }
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "scrapy", *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return Running(process, self.folder)

    def run(self, *arguments: str, **settings: str) -> Finished:
        """Run ``scrapy`` to its end."""
        return self.start(*arguments, **settings).finish()

    def crawl(self, spider: str, *arguments: str, **settings: str) -> Finished:
        """Run a crawl that has to end well: exit code 0, no error and no traceback in its log."""
        return self.run("crawl", spider, *arguments, **settings).ended_well()

    def crawl_incompletely(self, spider: str, *arguments: str, **settings: str) -> Finished:
        """Run a crawl that has to give calls up, say so, and end well otherwise."""
        crawl = self.run("crawl", spider, *arguments, **settings)
        assert crawl.exit_code == 1, crawl.stderr
        assert crawl.stats["finish_reason"] == "incomplete"
        assert "Traceback" not in crawl.stderr, crawl.stderr
        assert " ERROR: " not in crawl.stderr, crawl.stderr
        return crawl

    def kill(self) -> None:
        """Kill what a test has left running."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            with process:
                pass  # closes its pipes


@dataclass(frozen=True)
class Gateway:
    """The sandbox and the address that controls it (see :mod:`ali1688_spider.sandbox`)."""

    url: str

    def status(self) -> Any:
        return self._ask("GET", "status")

    def set(self, **settings: Any) -> None:
        self._ask("POST", "settings", settings)

    def fail(self, **faults: Any) -> None:
        self._ask("POST", "faults", faults)

    def product(self, product_id: int, **changes: Any) -> Any:
        """Return what is true of a product, once *changes* are made to it."""
        return self._ask("POST" if changes else "GET", f"products/{product_id}", changes)

    def count_anew(self) -> None:
        self._ask("POST", "reset", {})

    def start_anew(self) -> None:
        self._ask("POST", "reset", {"everything": True})

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = json.dumps(body).encode() if body else None
        address = f"{self.url}/_sandbox/{path}"
        request = urllib.request.Request(address, data, method=method)
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return json.load(response)


@pytest.fixture(scope="session")
def gateway_server(server_folder: Path) -> Iterator[Server]:
    server = start_sandbox(server_folder / "gateway")
    yield server
    server.stop()


@pytest.fixture
def gateway(gateway_server: Server) -> Gateway:
    """A local gateway as it is when it has just started, with every protocol."""
    gateway = Gateway(gateway_server.url)
    gateway.start_anew()
    return gateway


@pytest.fixture
def settings_for(gateway: Gateway) -> Callable[[str], dict[str, str]]:
    """Return the settings that reach the gateway by a protocol."""
    paths = {"router": "/router/json", "top": "/router/rest", "param2": "/openapi"}

    def settings(protocol: str) -> dict[str, str]:
        return {"ALI1688_PROTOCOL": protocol, "ALI1688_GATEWAY": gateway.url + paths[protocol]}

    return settings


@pytest.fixture
def scrapy(tmp_path: Path, settings_for: Callable[[str], dict[str, str]]) -> Iterator[Scrapy]:
    """Commands that reach the gateway: no limit, no cache; by ``router`` unless they say else."""
    settings = {
        "ALI1688_APP_KEY": "1000000",
        "ALI1688_APP_SECRET": "test123",
        "ALI1688_QPS": "0",
        "ALI1688_CACHE_TTL": "0",
        **settings_for("router"),
    }
    commands = Scrapy(tmp_path, settings)
    yield commands
    commands.kill()


@dataclass(frozen=True)
class Administration:
    """Runs commands in this process, as far as they go without a crawl; settings as `Scrapy`."""

    scrapy: Scrapy
    capsys: pytest.CaptureFixture[str]

    def run(self, name: str, *arguments: str, **settings: str) -> Finished:
        """Run ``scrapy NAME`` to its end; *settings* are as if given by ``-s``."""
        command: ScrapyCommand = import_module(f"ali1688_spider.commands.{name}").Command()
        command.settings = Settings()
        command.settings.setmodule("ali1688_spider.settings", priority="project")
        command.settings.setdict(self.scrapy.settings | settings, priority="cmdline")
        command.crawler_process = AsyncCrawlerRunner(command.settings)  # type: ignore[assignment]
        parser = argparse.ArgumentParser()
        command.add_options(parser)
        options, others = parser.parse_known_args(arguments)
        command.process_options(others, options)
        self.capsys.readouterr()
        command.run(others, options)
        out, err = self.capsys.readouterr()
        return Finished(command.exitcode, out, err, self.scrapy.folder)


@pytest.fixture
def administration(
    scrapy: Scrapy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Administration:
    for name in set(os.environ) & {"REDIS_URL", "MONGO_URI"}:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SCRAPY_SETTINGS_MODULE", "ali1688_spider.settings")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(scrapy.folder)
    return Administration(scrapy, capsys)


@pytest.fixture
def ids() -> Callable[[int], Sequence[int]]:
    """Return the first product ids of the gateway, as many as are asked for."""
    return lambda count: range(FIRST_ID, FIRST_ID + count)
