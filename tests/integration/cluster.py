"""A cluster of real workers, which the tests kill, freeze and stop.

Redis and the gateway are the cluster's own, so that a test may kill Redis and count what the
gateway saw. The workers treat every warning as an error.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import redis

import ali1688_spider
from ali1688_spider.local_servers import free_port, start_redis, start_sandbox
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.queue import LeaseQueue, QueueName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from ali1688_spider.scheduling.queue import QueueCounts

T = TypeVar("T")

FIRST_PRODUCT = 610000000001
PROJECT = str(Path(ali1688_spider.__file__).parents[1])

_STATISTICS = re.compile(r"Dumping Scrapy stats:\n(\{.*?\})\n\d{4}-", re.DOTALL)


def products(count: int, first: int = FIRST_PRODUCT) -> list[int]:
    """Return the ids of *count* products that the gateway has."""
    return list(range(first, first + count))


def eventually(condition: Callable[[], T], seconds: float = 60.0) -> T:
    """Return what *condition* returns as soon as it is true.

    Raises:
        AssertionError: It has not become true for so long.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {condition.__qualname__}")
        time.sleep(0.02)
    return value


class Worker:
    """A ``scrapy`` process."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], log_file: Path) -> None:
        self.log_file = log_file
        with log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "scrapy", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=log_file.parent,
            )

    def kill(self) -> None:
        """Kill it at once."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Let nothing of it run until :meth:`thaw`."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self, seconds: float = 30.0) -> int:
        """Ask it to end; return its exit code."""
        self.process.terminate()
        return self.wait(seconds)

    def wait(self, seconds: float = 120.0) -> int:
        """Return the exit code of a worker that ends by itself."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended:\n{self.log[-6000:]}") from None

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    @property
    def opened(self) -> bool:
        """Whether it has joined the others."""
        return "INFO: Crawled 0 pages" in self.log

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    @property
    def statistics(self) -> dict[str, Any]:
        """What a worker that has ended counted."""
        match = _STATISTICS.search(self.log)
        assert match is not None, self.log[-6000:]
        statistics: dict[str, Any] = eval(match[1], {"datetime": dt})
        return statistics


class Gateway:
    """The sandbox's control address.

    Attributes:
        url: The sandbox's address.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **body: Any) -> Any:
        """Return the answer of an address under ``/_sandbox/``; with a body it is a POST."""
        data = json.dumps(body).encode() if body else None
        with urllib.request.urlopen(f"{self.url}/_sandbox/{path}", data, timeout=30) as answer:
            return json.loads(answer.read())

    @property
    def calls(self) -> int:
        """How many calls it has seen."""
        calls: int = self.ask("status?products=0")["calls"]
        return calls

    def wait_for(self, calls: int, seconds: float = 60.0) -> None:
        """Return when it has seen so many calls."""
        eventually(lambda: self.calls >= calls, seconds)

    def wait_until_quiet(self, seconds: float) -> None:
        """Return when it has seen no call for so long."""
        eventually(lambda: time.time() - self.ask("status?products=0")["last_call_at"] > seconds)

    @property
    def by_product(self) -> dict[int, int]:
        """How often each product was called."""
        counts = self.ask("status")["by_product"]
        return {int(product_id): count for product_id, count in counts.items()}


class Cluster:
    """Workers on one Redis and one gateway; all of it ends with the ``with`` block.

    Args:
        folder: For the files of all.
        settings: What all workers are told beside the addresses, by name.
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
        self.queue = LeaseQueue(self.redis, QueueName("product"), QUEUE_KEY)
        self.workers: list[Worker] = []

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

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a worker."""
        ours = ("ALI1688_", "REDIS_", "MONGO_")
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
        return {
            **inherited,
            "PYTHONPATH": os.pathsep.join([PROJECT, str(Path(__file__).parent)]),
            "SCRAPY_SETTINGS_MODULE": "ali1688_spider.settings",
            "ALI1688_APP_KEY": "1000000",
            "ALI1688_APP_SECRET": "test123",
            "ALI1688_GATEWAY": f"{self._sandbox.url}/router/json",
            "ALI1688_QPS": "0",
            "ALI1688_LEASE_SECONDS": "3",
            "REDIS_URL": self.redis_url,
            **self.settings,
        }

    def run(self, *command: str, **settings: str) -> Worker:
        """Start a ``scrapy`` command, in a folder of its own."""
        folder = self.folder / f"worker-{len(self.workers)}"
        folder.mkdir()
        worker = Worker(command, self.environment | settings, folder / "log.txt")
        self.workers.append(worker)
        return worker

    def start(self, *arguments: str, spider: str = "product", **settings: str) -> Worker:
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
