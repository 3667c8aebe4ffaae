"""A database that goes away, for a crawl from the platform to the store."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis

from ali1688_spider.local_servers import start_mongo
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.lease import MOST_UNSTORED
from ali1688_spider.scheduling.queue import LeaseQueue
from tests.harness import eventually
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ali1688_spider.local_servers import Server
    from tests.harness import Gateway, Scrapy

    Ids = Callable[[int], Sequence[int]]

COUNT = 400
IN_HAND = 32 + MOST_UNSTORED  # calls on the wire, and products that wait for the database


class Mongo:
    """A database server that may be killed, and started again on the same data and port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.server: Server
        self.start()
        self.client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(self.server.url)

    def start(self) -> None:
        self.server = start_mongo(self._folder, port=self._port)

    def kill(self) -> None:
        self.server.kill()

    def products(self, database: str) -> int:
        return self.client[database]["products"].count_documents({})


@pytest.fixture
def mongo(tmp_path: Path, scrapy: Scrapy) -> Iterator[Mongo]:
    mongo = Mongo(tmp_path / "mongo")
    scrapy.settings["MONGO_URI"] = mongo.server.url
    yield mongo
    mongo.client.close()
    mongo.kill()


def listed(ids: Sequence[int]) -> str:
    return f"ids={','.join(map(str, ids))}"


@pytest.mark.chaotic
def test_five_seconds_without_database_lose_nothing(
    scrapy: Scrapy, gateway: Gateway, ids: Ids, mongo: Mongo, redis_url: str
) -> None:
    gateway.set(latency=200)
    wanted = ids(2 * COUNT)
    alone, shared = wanted[:COUNT], wanted[COUNT:]
    crawls = {
        "alone": scrapy.start(
            *("crawl", "product", "-a", listed(alone)),
            MONGO_DATABASE="alone",
            ALI1688_PROGRESS="on",
        ),
        "shared": scrapy.start(
            *("crawl", "product", "-a", listed(shared)),
            MONGO_DATABASE="shared",
            REDIS_URL=redis_url,
        ),
    }
    eventually(lambda: all(mongo.products(name) >= COUNT // 8 for name in crawls))
    mongo.kill()
    gateway.wait_until_quiet(2)
    eventually(lambda: "waits for MongoDB, which is away since " in crawls["alone"].log)
    acknowledged = COUNT - calls_queued(redis_url)
    called = sum(str(product_id) in gateway.status()["by_product"] for product_id in shared)
    # The crawl stands still: what is called and not stored is what the worker has in hand.
    assert called <= acknowledged + IN_HAND
    mongo.start()
    assert mongo.products("shared") >= acknowledged
    for name, crawl in crawls.items():
        stats = crawl.finish().ended_well().stats
        assert mongo.products(name) == COUNT
        assert stats["ali1688/items/stored"] == stats["item_scraped_count"] == COUNT
        assert stats["finish_reason"] == "finished"
        assert stats["ali1688/storage/waits"] > 0
    assert calls_queued(redis_url) == 0
    assert gateway.status()["by_product"] == dict.fromkeys(map(str, wanted), 1)


def test_a_worker_that_is_killed_repeats_what_was_on_the_wire_and_one_batch(
    scrapy: Scrapy, gateway: Gateway, ids: Ids, mongo: Mongo, redis_url: str
) -> None:
    scrapy.settings |= {"REDIS_URL": redis_url, "ALI1688_LEASE_SECONDS": "2"}
    wanted = ids(3 * IN_HAND)
    killed = scrapy.start("crawl", "product")
    eventually(lambda: killed.has_opened)
    mongo.kill()
    with redis.Redis.from_url(redis_url) as client:
        client.lpush("product:start_urls", *wanted)
    # Nothing is stored: it calls as many as it may, and no more.
    eventually(lambda: gateway.calls == IN_HAND)
    gateway.wait_until_quiet(2)
    assert gateway.calls == IN_HAND
    killed.kill()
    mongo.start()
    other = scrapy.start("crawl", "product")
    eventually(lambda: mongo.products("ali1688") == len(wanted))
    assert gateway.status()["by_product"].keys() == set(map(str, wanted))
    assert gateway.calls <= len(wanted) + IN_HAND
    eventually(lambda: calls_queued(redis_url) == 0)
    assert other.stop() == 0


def calls_queued(redis_url: str) -> int:
    with redis.Redis.from_url(redis_url) as client:
        return LeaseQueue(client, SimpleNamespace(name="product"), QUEUE_KEY).counts().calls


def test_no_database_at_the_start_is_one_sentence(scrapy: Scrapy, ids: Ids) -> None:
    address = f"mongodb://user:s3cret@127.0.0.1:{free_port()}/"
    crawl = scrapy.run("crawl", "product", "-a", listed(ids(3)), MONGO_URI=address)
    assert crawl.exit_code == 1
    assert crawl.stats["finish_reason"] == "database_unavailable"
    lines = crawl.log.splitlines()
    told = [line for line in lines if " ERROR: " in line or " WARNING: " in line]
    assert len(told) == 1
    assert "Nothing can be stored: MongoDB does not answer" in told[0]
    assert told[0].endswith("start it, or correct MONGO_URI")
    assert "Traceback" not in crawl.log
    assert "s3cret" not in crawl.log
