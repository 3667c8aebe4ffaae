"""The project as its users run it: ``scrapy`` commands in processes of their own, on real servers.

:class:`Scrapy` runs commands in one folder; :class:`Cluster` runs workers on a Redis and a gateway
of its own, which a test may kill. Processes treat warnings as errors, have their settings from the
environment and from nowhere else, and leave their statistics in a JSON file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import redis
from scrapy.crawler import AsyncCrawlerRunner
from scrapy.settings import Settings

from ali1688_spider.local_servers import start_redis
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.queue import LeaseQueue
from tests.forked_process import ROOT, fork_server
from tests.forked_sandbox import start_sandbox
from tests.ports import free_port
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    import pytest
    from scrapy.commands import ScrapyCommand

    from ali1688_spider.scheduling.steering import QueueCounts

SECONDS = 120
FIRST_PRODUCT = 610_000_000_001


def products(count: int, first: int = FIRST_PRODUCT) -> list[int]:
    """Return the ids of *count* products that the gateway has."""
    return list(range(first, first + count))


def read_records(file: Path) -> dict[int, Any]:
    """Return the records of a JSON lines file, by product id."""
    records = map(json.loads, file.read_text().splitlines())
    return {record["product_id"]: record for record in records}


def _start_interpreter(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    stdout: int,
    stderr: int,
    *,
    module: str,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", module, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        bufsize=0,
    )


class Process:
    """A ``scrapy`` command that runs or has ended.

    Args:
        real: Start ``python -m scrapy``. Otherwise a server forks the command, which saves it the
            second that its imports take; it then is a process like any other, see
            :mod:`tests.fork_server`. Real are what depends on how the interpreter starts, and the
            modules of tests that say so with the mark ``real_start``.
        module: What runs instead of ``scrapy``.

    Attributes:
        folder: Where it runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        output: Path,
        terminal: int | None = None,
        *,
        real: bool = False,
        module: str = "scrapy",
    ) -> None:
        self.folder = folder
        self._output = output
        self._stats_file = output / "stats.json"
        with (output / "out").open("wb") as out, (output / "log").open("wb") as log:
            environment = {"ALI1688_STATS_FILE": str(self._stats_file), **environment}
            error = log.fileno() if terminal is None else terminal
            start = _start_interpreter if real else fork_server().start
            files = (out.fileno(), error)
            self._process = start(command, environment, folder, *files, module=module)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int:
        """The exit code of a command that has ended."""
        assert self._process.returncode is not None
        return self._process.returncode

    @property
    def stdout(self) -> str:
        return (self._output / "out").read_text(errors="replace")

    @property
    def log(self) -> str:
        """What it has written to standard error so far."""
        return (self._output / "log").read_text(errors="replace")

    @property
    def has_opened(self) -> bool:
        """Whether its spider is open: a worker has then joined the others."""
        return "INFO: Ready to collect" in self.log

    @property
    def stats(self) -> dict[str, Any]:
        """The statistics of a crawl that has ended."""
        assert self._stats_file.exists(), self.log[-6000:]
        stats: dict[str, Any] = json.loads(self._stats_file.read_text())
        return stats

    def write(self, text: str) -> None:
        """Write *text* to its standard input, which stays open."""
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())

    def wait(self, seconds: float = SECONDS) -> int:
        """Return its exit code once it has ended by itself; there is no more standard input."""
        self._close_input()
        try:
            exit_code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended:\n{self.log[-6000:]}") from None
        if exit_code:  # a test that fails shows it
            sys.stdout.write(f"exit code {exit_code}:\n{self.log[-6000:]}\n")
        return exit_code

    def finish(self, text: str = "") -> Self:
        """Wait until it has ended; *text* is the rest of its standard input."""
        with contextlib.suppress(BrokenPipeError):  # it may read no more of it
            self.write(text)
        self.wait()
        return self

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def stop(self, seconds: float = 30.0) -> int:
        """Ask it to end; return its exit code."""
        self.terminate()
        return self.wait(seconds)

    def kill(self) -> None:
        """Kill it at once."""
        self._process.kill()
        self._process.wait()
        self._close_input()

    def freeze(self) -> None:
        """Let nothing of it run until :meth:`thaw`."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def ended_well(self) -> Self:
        """Check that the exit code is 0 and that the log has no error and no traceback."""
        assert self.exit_code == 0, self.log
        return self.logged_no_error()

    def logged_no_error(self) -> Self:
        assert "Traceback" not in self.log, self.log
        assert " ERROR: " not in self.log, self.log
        return self

    def read(self, name: str) -> dict[int, Any]:
        """Return the records of a JSON lines file in its folder, by product id."""
        return read_records(self.folder / name)

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()


class Scrapy:
    """Runs ``scrapy`` commands in one folder with the same settings.

    Args:
        folder: The current folder of the commands.
        output: Gets a folder for each command, with its output.
        settings: Variables of their environment, beside a path and a home.
        real: Whether each is started by an interpreter of its own, see :class:`Process`.
    """

    def __init__(
        self, folder: Path, output: Path, settings: dict[str, str], *, real: bool = False
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.real = real
        self._output = output
        self._started: list[Process] = []

    def start(
        self,
        *arguments: str,
        terminal: int | None = None,
        real: bool = False,
        **settings: str,
    ) -> Process:
        """Start ``scrapy`` with *arguments*; *settings* are variables of its environment.

        Its standard error goes to a *terminal*, if one is given, instead of its log. For *real*
        see :class:`Process`.
        """
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "SCRAPY_SETTINGS_MODULE": "ali1688_spider.settings",
            "COLUMNS": "200",
            **self.settings,
            **settings,
        }
        output = self._output / str(len(self._started))
        output.mkdir(parents=True)
        real = real or self.real
        process = Process(arguments, environment, self.folder, output, terminal, real=real)
        self._started.append(process)
        return process

    def run(self, *arguments: str, real: bool = False, **settings: str) -> Process:
        """Run ``scrapy`` to its end."""
        return self.start(*arguments, real=real, **settings).finish()

    def crawl(self, spider: str, *arguments: str, real: bool = False, **settings: str) -> Process:
        """Run a crawl that has to end well."""
        return self.run("crawl", spider, *arguments, real=real, **settings).ended_well()

    def crawl_incompletely(self, spider: str, *arguments: str, **settings: str) -> Process:
        """Run a crawl that has to give calls up, say so, and end well otherwise."""
        crawl = self.run("crawl", spider, *arguments, **settings).logged_no_error()
        assert crawl.exit_code == 1, crawl.log
        assert crawl.stats["finish_reason"] == "incomplete"
        return crawl

    def read(self, name: str) -> dict[int, Any]:
        """Return the records of a JSON lines file in the folder, by product id."""
        return read_records(self.folder / name)

    def kill(self) -> None:
        """Kill what a test has left running."""
        for process in self._started:
            process.kill()


@dataclass(frozen=True)
class Ended:
    """A command that has ended within the test's own process."""

    exit_code: int
    stdout: str
    log: str


@dataclass(frozen=True)
class Administration:
    """Runs commands in this process, as far as they go without a crawl; settings as `Scrapy`."""

    scrapy: Scrapy
    capsys: pytest.CaptureFixture[str]

    def run(self, name: str, *arguments: str, **settings: str) -> Ended:
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
        return Ended(command.exitcode, *self.capsys.readouterr())


class Gateway:
    """The sandbox and the address that controls it (see :mod:`ali1688_spider.sandbox`).

    Attributes:
        url: The sandbox's address.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def status(self, *, products: bool = True) -> Any:
        return self._ask("GET", "status" if products else "status?products=0")

    def set(self, **settings: Any) -> None:
        self._ask("POST", "settings", settings)

    def fail(self, **faults: Any) -> None:
        self._ask("POST", "faults", faults)

    def product(self, product_id: int, **changes: Any) -> Any:
        """Return what is true of a product, once *changes* are made to it."""
        return self._ask("POST" if changes else "GET", f"products/{product_id}", changes)

    def message(self, topic: str, data: Any, **fields: Any) -> int:
        """Make a message of the platform; return its id."""
        message = self._ask("POST", "messages", {"type": topic, "data": data, **fields})
        message_id: int = message["msgId"]
        return message_id

    @property
    def undelivered(self) -> list[dict[str, Any]]:
        """The messages of the platform that wait."""
        messages: list[dict[str, Any]] = self._ask("GET", "messages")["messages"]
        return messages

    def calls_of(self, api: str) -> int:
        """Return how many calls of an API it has seen."""
        number: int = self.status(products=False)["by_api"].get(api, 0)
        return number

    def reset_counts(self) -> None:
        self._ask("POST", "reset", {})

    def reset(self) -> None:
        """Make it as if it had just started."""
        self._ask("POST", "reset", {"everything": True})

    @property
    def calls(self) -> int:
        """How many calls it has seen."""
        calls: int = self.status(products=False)["calls"]
        return calls

    @property
    def by_product(self) -> dict[int, int]:
        counts = self.status()["by_product"]
        return {int(product_id): count for product_id, count in counts.items()}

    def wait_for(self, calls: int, seconds: float = 60.0) -> None:
        """Return when it has seen so many calls."""
        eventually(lambda: self.calls >= calls, seconds)

    def wait_until_quiet(self, seconds: float) -> None:
        """Return when it has seen no call for so long."""
        eventually(lambda: time.time() - self.status(products=False)["last_call_at"] > seconds)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        data = json.dumps(body).encode() if body else None
        address = f"{self.url}/_sandbox/{path}"
        request = urllib.request.Request(address, data, method=method)
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return json.load(response)


class Cluster:
    """Workers on one Redis and one gateway; all of it ends with the ``with`` block.

    Args:
        folder: For the files of all.
        settings: Settings of all workers, beside the addresses.
        sandbox: Arguments of the gateway.
        redis_arguments: Arguments of Redis.

    Attributes:
        redis: A client.
        gateway: What the gateway saw.
        workers: All that were started.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, str] | None = None,
        *,
        sandbox: Sequence[str] = (),
        redis_arguments: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.settings = settings or {}
        self._redis_arguments = redis_arguments
        self._redis_port = free_port()
        self._redis_server = start_redis(
            folder / "redis", port=self._redis_port, arguments=redis_arguments
        )
        self._sandbox_arguments = sandbox
        self._sandbox_port = free_port()
        self._sandbox = start_sandbox(folder / "sandbox", sandbox, port=self._sandbox_port)
        self.gateway = Gateway(self._sandbox.url)
        self.redis = redis.Redis(port=self._redis_port)
        self.queue = LeaseQueue(self.redis, SimpleNamespace(name="product"), QUEUE_KEY)
        self.workers: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self.workers:
            worker.kill()
        self.redis.close()
        self._redis_server.kill()
        self._sandbox.kill()

    @property
    def redis_url(self) -> str:
        return self._redis_server.url

    def run(self, *command: str, **settings: str) -> Process:
        """Start a ``scrapy`` command, in a folder of its own."""
        number = len(self.workers)
        folder = self.folder / f"worker-{number}"
        scrapy = Scrapy(folder, self.folder / f"output-{number}", self._environment)
        folder.mkdir()
        self.workers.append(scrapy.start(*command, **settings))
        return self.workers[-1]

    def start(self, *arguments: str, spider: str = "product", **settings: str) -> Process:
        """Start a worker; *arguments* are those of the spider, such as ``idle=2``."""
        options = [option for argument in arguments for option in ("-a", argument)]
        return self.run("crawl", spider, *options, **settings)

    def produce(self, messages: Iterable[int | str | bytes]) -> None:
        """Put messages on the start list, as another program would."""
        self.redis.lpush("product:start_urls", *messages)

    def kill_gateway(self) -> None:
        """Kill the gateway; connections to it are refused from then on."""
        self._sandbox.kill()

    def restart_gateway(self) -> None:
        """Start the gateway that was killed at the same port; it has forgotten what it saw."""
        self._sandbox = start_sandbox(
            self.folder / "sandbox", self._sandbox_arguments, port=self._sandbox_port
        )

    def kill_redis(self) -> None:
        """Kill Redis; what it wrote into its file is left."""
        self._redis_server.kill()

    def restart_redis(self) -> None:
        """Start the Redis that was killed, in the same folder at the same port."""
        self._redis_server = start_redis(
            self.folder / "redis", port=self._redis_port, arguments=self._redis_arguments
        )

    @property
    def counts(self) -> QueueCounts:
        """What the queue holds."""
        return self.queue.counts()

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        counts = self.counts
        return counts.calls == 0 and counts.messages == 0

    def failed_calls(self) -> list[dict[str, Any]]:
        """Return the failed calls that are kept in Redis."""
        texts: Any = self.redis.zrange("ali1688:failed_calls", 0, -1)
        return [json.loads(text) for text in texts]

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "integration")]),
            "ALI1688_APP_KEY": "1000000",
            "ALI1688_APP_SECRET": "test123",
            "ALI1688_GATEWAY": f"{self._sandbox.url}/router/json",
            "ALI1688_QPS": "0",
            "ALI1688_LEASE_SECONDS": "3",
            "REDIS_URL": self.redis_url,
            **self.settings,
        }
