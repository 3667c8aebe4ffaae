"""Whole crawls, in processes of their own, whose database goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from ali1688_spider.local_servers import start_mongo
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ali1688_spider.local_servers import Server

PROJECT = Path(__file__).parents[2]
COUNT = 400
BATCH = 500
APP_NAME = "ali1688-spider"


class Crawl:
    """A crawl that stores products, the second half when it is let go on.

    Its log is read to the end when it has ended.
    """

    def __init__(self, uri: str, *settings: str) -> None:
        script = Path(__file__).with_name("store_products.py")
        self.process = subprocess.Popen(
            [sys.executable, script, str(COUNT), f"MONGO_URI={uri}", *settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def read_until(self, text: str) -> str:
        """Return what the log says up to the line with *text*."""
        assert self.process.stderr is not None
        log = ""
        while text not in log:
            line = self.process.stderr.readline()
            assert line, log
            log += line
        return log

    def end(self) -> tuple[dict[str, Any], str]:
        """Return the statistics and the log."""
        output, log = self.process.communicate(timeout=60)
        return json.loads(output.splitlines()[-1]), log


@pytest.fixture
def mongo(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Starts a server, always on the same data and port."""
    port = free_port()
    servers: list[Server] = []

    def start() -> Server:
        folder = tmp_path / "mongo"
        servers.append(start_mongo(folder, port=port, arguments=["--enable-test-commands"]))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


def products(server: Server) -> int:
    with pymongo.MongoClient[dict[str, Any]](server.url) as client:
        return client["ali1688"]["products"].count_documents({})


def wait_for_half(server: Server, crawl: Crawl) -> None:
    while products(server) < COUNT // 2:
        assert crawl.process.poll() is None
        time.sleep(0.01)


@pytest.mark.chaotic
def test_a_database_killed_in_mid_crawl_loses_nothing(mongo: Callable[[], Server]) -> None:
    server = mongo()
    crawl = Crawl(server.url)
    wait_for_half(server, crawl)
    crawl.go_on()
    server.kill()
    server = mongo()
    stats, log = crawl.end()
    assert products(server) == COUNT
    assert stats["ali1688/items/stored"] == COUNT
    assert stats["finish_reason"] == "finished"
    assert "Traceback" not in log
    assert (
        log.count("MongoDB is unavailable; retrying, nothing is lost. MongoDB does not answer") <= 1
    )


@pytest.mark.parametrize(
    ("code", "explanation"),
    [
        (1, "MongoDB fails within itself: its log and its disk say more"),
        (14031, "MongoDB's disk is full: make room on it"),
        (987654, "MongoDB refuses an operation"),
    ],
)
def test_a_database_that_takes_nothing_for_a_while_loses_nothing(
    mongo: Callable[[], Server], code: int, explanation: str
) -> None:
    server = mongo()
    crawl = Crawl(server.url)
    wait_for_half(server, crawl)
    with pymongo.MongoClient[dict[str, Any]](server.url) as client:
        fail = {"failCommands": ["insert", "update"], "errorCode": code, "appName": APP_NAME}
        client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=fail)
        stored = products(server)
        crawl.go_on()
        waited_for = crawl.read_until("ERROR: MongoDB is unavailable; retrying, nothing is lost.")
        assert products(server) <= stored + BATCH
        client.admin.command("configureFailPoint", "failCommand", mode="off")
    stats, log = crawl.end()
    assert products(server) == COUNT
    assert stats["ali1688/items/stored"] == COUNT
    assert stats["ali1688/storage/waits"] >= 1
    assert stats["finish_reason"] == "finished"
    assert "Traceback" not in waited_for + log
    assert (waited_for + log).count(
        f"MongoDB is unavailable; retrying, nothing is lost. {explanation} ("
    ) == 1


def test_a_crawl_that_has_to_end_meanwhile_gives_up(mongo: Callable[[], Server]) -> None:
    server = mongo()
    crawl = Crawl(server.url)
    wait_for_half(server, crawl)
    server.kill()
    crawl.go_on()
    waited_for = crawl.read_until("MongoDB is unavailable")
    crawl.process.send_signal(signal.SIGTERM)
    stats, log = crawl.end()
    log = waited_for + log
    assert stats["finish_reason"] == "shutdown"
    assert (
        log.count("MongoDB is unavailable; retrying, nothing is lost. MongoDB does not answer") == 1
    )
    assert "Traceback" not in log
    assert " ERROR: " not in log
    unstored = stats["ali1688/items/unstored"]
    assert unstored >= 1
    assert log.count(f"WARNING: MongoDB stayed away: {unstored} products are not stored") == 1
    server = mongo()
    # What it had written when it was killed, without having said so, is there as well.
    scraped = stats["item_scraped_count"]
    assert scraped <= products(server) <= scraped + unstored


def test_an_unreachable_database_at_the_start() -> None:
    stats, log = Crawl(f"mongodb://user:s3cret@127.0.0.1:{free_port()}/").end()
    assert stats["finish_reason"] == "database_unavailable"
    assert log.count("ERROR: Nothing can be stored: MongoDB does not answer") == 1
    assert "Traceback" not in log
    assert "s3cret" not in log
