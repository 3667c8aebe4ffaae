"""Servers that the tests use: real ones, each in a process of its own, on a free port."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pymongo
import pytest
import redis

from ali1688_spider.servers import start_mongo, start_redis, start_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ali1688_spider.servers import Server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--chaos-minutes",
        type=float,
        default=0,
        help="how long the chaos test goes on killing; 0 is its short form",
    )


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
    server = start_redis(server_folder / "redis")
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
    server = start_mongo(server_folder / "mongo")
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
    server = start_sandbox(tmp_path / "sandbox", arguments)
    yield server
    server.stop()
