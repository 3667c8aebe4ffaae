"""Whole crawls, in processes of their own, whose database goes away."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from ali1688_spider.local_servers import start_mongo
from tests.harness import ROOT, Process, eventually
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ali1688_spider.local_servers import Server

    StartCrawl = Callable[[str], "Crawl"]

COUNT = 400
BATCH = 500
APP_NAME = "ali1688-spider"


class Crawl:
    """A crawl that stores products, the second half when it is let go on."""

    def __init__(self, folder: Path, uri: str) -> None:
        arguments = [str(COUNT), f"MONGO_URI={uri}"]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        output = folder / "output"
        output.mkdir()
        module = "tests.pipelines.store_products"
        self.process = Process(arguments, environment, ROOT, output, module=module)

    def go_on(self) -> None:
        self.process.write("\n")

    def end(self) -> tuple[dict[str, Any], str]:
        """Return the statistics and the log."""
        assert self.process.finish().exit_code == 0
        return json.loads(self.process.stdout.splitlines()[-1]), self.process.log


@pytest.fixture
def start_crawl(tmp_path: Path) -> Iterator[StartCrawl]:
    """Starts a crawl that stores into a database."""
    crawls: list[Crawl] = []

    def start(uri: str) -> Crawl:
        crawls.append(Crawl(tmp_path, uri))
        return crawls[-1]

    yield start
    for each in crawls:
        each.process.kill()


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
    with pymongo.MongoClient[dict[str, Any]](server.url) as client:
        stored = client["ali1688"]["products"]

        def has_half() -> bool:
            assert crawl.process.is_running, crawl.process.log
            return stored.count_documents({}) >= COUNT // 2

        eventually(has_half)


@pytest.mark.chaotic
def test_a_database_killed_in_mid_crawl_loses_nothing(
    mongo: Callable[[], Server], start_crawl: StartCrawl
) -> None:
    server = mongo()
    crawl = start_crawl(server.url)
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
    mongo: Callable[[], Server], start_crawl: StartCrawl, code: int, explanation: str
) -> None:
    server = mongo()
    crawl = start_crawl(server.url)
    wait_for_half(server, crawl)
    with pymongo.MongoClient[dict[str, Any]](server.url) as client:
        fail = {"failCommands": ["insert", "update"], "errorCode": code, "appName": APP_NAME}
        client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=fail)
        stored = products(server)
        crawl.go_on()
        refused = "ERROR: MongoDB is unavailable; retrying, nothing is lost."
        eventually(lambda: refused in crawl.process.log)
        assert products(server) <= stored + BATCH
        client.admin.command("configureFailPoint", "failCommand", mode="off")
    stats, log = crawl.end()
    assert products(server) == COUNT
    assert stats["ali1688/items/stored"] == COUNT
    assert stats["ali1688/storage/waits"] >= 1
    assert stats["finish_reason"] == "finished"
    assert "Traceback" not in log
    assert log.count(f"MongoDB is unavailable; retrying, nothing is lost. {explanation} (") == 1


def test_a_crawl_that_has_to_end_meanwhile_gives_up(
    mongo: Callable[[], Server], start_crawl: StartCrawl
) -> None:
    server = mongo()
    crawl = start_crawl(server.url)
    wait_for_half(server, crawl)
    server.kill()
    crawl.go_on()
    eventually(lambda: "MongoDB is unavailable" in crawl.process.log)
    crawl.process.terminate()
    stats, log = crawl.end()
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


def test_an_unreachable_database_at_the_start(start_crawl: StartCrawl) -> None:
    stats, log = start_crawl(f"mongodb://user:s3cret@127.0.0.1:{free_port()}/").end()
    assert stats["finish_reason"] == "database_unavailable"
    assert log.count("ERROR: Nothing can be stored: MongoDB does not answer") == 1
    assert "Traceback" not in log
    assert "s3cret" not in log
