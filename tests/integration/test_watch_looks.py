"""``scrapy crawl watch`` looks at pages, and fetches only what has moved there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis

from tests.harness import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.database import Database

    from tests.harness import Gateway, Process, Scrapy

    Settings = Callable[[str], dict[str, str]]

KEYWORD = "ab200"  # finds 200 products
PAGES, PRODUCTS, MOVED = 4, 200, 10
QUEUE = "{watch:start_urls}"
SEARCH_API = "com.alibaba.fenxiao.crossborder:product.search.keywordQuery-1"
SHOP_API = "com.alibaba.fenxiao.crossborder:product.search.querySellerOfferList-1"


@pytest.fixture
def database(
    scrapy: Scrapy, settings_for: Settings, mongo_uri: str, mongo_database: str
) -> Iterator[Database[dict[str, Any]]]:
    """The database of a watch that may make 2000 calls a day: ten fetches of each product."""
    scrapy.settings |= settings_for("param2") | {
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": mongo_database,
        "ALI1688_DAILY_QUOTA": "2000",
        "ALI1688_LEASE_SECONDS": "2",
    }
    with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
        yield client[mongo_database]


@pytest.fixture
def watch(scrapy: Scrapy) -> Callable[..., Process]:
    """Start a watch with these arguments."""

    def start(*arguments: str) -> Process:
        return scrapy.start("crawl", "watch", *(f"-a{each}" for each in arguments))

    return start


class Schedule:
    """The looks of a watch, in Redis or in its file."""

    def __init__(self, scrapy: Scrapy) -> None:
        self._file = scrapy.folder / ".scrapy/ali1688/watch.sqlite"
        self._url = scrapy.settings.get("REDIS_URL")

    def rows(self) -> int:
        """Return of how many products pages have shown something."""
        if self._url:
            with redis.Redis.from_url(self._url) as client:
                return int(client.hlen(f"{QUEUE}:rows"))  # type: ignore[arg-type]
        with closing(sqlite3.connect(self._file)) as connection:
            return int(connection.execute("SELECT count(*) FROM page_rows").fetchone()[0])

    def looks(self) -> int:
        """Return how many looks wait for their time."""
        if self._url:
            with redis.Redis.from_url(self._url, decode_responses=True) as client:
                calls: Any = client.zrange(f"{QUEUE}:delayed", 0, -1)
                return sum(not call.isdigit() for call in calls)
        query = "SELECT count(*) FROM looks WHERE due IS NOT NULL AND was_due IS NULL"
        with closing(sqlite3.connect(self._file)) as connection:
            return int(connection.execute(query).fetchone()[0])

    def pass_time(self) -> None:
        """Let all looks be due."""
        if self._url:
            with redis.Redis.from_url(self._url, decode_responses=True) as client:
                calls: Any = client.zrange(f"{QUEUE}:delayed", 0, -1)
                client.zadd(f"{QUEUE}:delayed", {call: 1 for call in calls if not call.isdigit()})
        else:
            with closing(sqlite3.connect(self._file)) as connection:
                connection.execute("UPDATE looks SET due = 1 WHERE due IS NOT NULL")
                connection.commit()


def watched_ids(database: Database[dict[str, Any]], gateway: Gateway) -> list[int]:
    """Return the watched products whose prices are public."""
    found = (each["_id"] for each in database["products"].find())
    return [each for each in sorted(found) if not gateway.product(each)["traits"]["private"]]


def move(gateway: Gateway, product_ids: list[int]) -> None:
    """Change a price that the page shows."""
    for product_id in product_ids:
        gateway.product(product_id, price=str(float(gateway.product(product_id)["price"]) + 1))


def changed(database: Database[dict[str, Any]]) -> set[int]:
    return set(database["product_changes"].distinct("product_id", {"field": "price"}))


@pytest.mark.chaotic
@pytest.mark.parametrize("with_redis", [True, False])
def test_only_what_moved_on_a_page_is_fetched(
    *,
    with_redis: bool,
    scrapy: Scrapy,
    gateway: Gateway,
    watch: Callable[..., Process],
    database: Database[dict[str, Any]],
    request: pytest.FixtureRequest,
) -> None:
    if with_redis:
        scrapy.settings["REDIS_URL"] = request.getfixturevalue("redis_url")
    schedule = Schedule(scrapy)
    workers = [watch(f"keyword={KEYWORD}")]
    eventually(lambda: database["products"].count_documents({}) == PRODUCTS)
    eventually(lambda: schedule.looks() == PAGES)
    schedule.pass_time()  # a first look that finds them fetched
    eventually(lambda: schedule.rows() == PRODUCTS and schedule.looks() == PAGES)
    gateway.reset_counts()

    moved = watched_ids(database, gateway)[::15][:MOVED]
    move(gateway, moved)
    schedule.pass_time()
    eventually(lambda: changed(database) == set(moved))
    eventually(lambda: schedule.looks() == PAGES)
    status = gateway.status()
    assert set(map(int, status["by_product"])) == set(moved)
    assert PAGES + MOVED <= status["calls"] <= PAGES + MOVED + 3

    # Others move, and a worker is killed while it looks.
    if with_redis:
        workers.append(watch())
        eventually(lambda: workers[1].has_opened)
    gateway.set(latency=300)
    others = watched_ids(database, gateway)[1::15][:MOVED]
    move(gateway, others)
    gateway.reset_counts()
    schedule.pass_time()
    gateway.wait_for(calls=2)
    workers[0].kill()
    if not with_redis:
        workers.append(watch())
    eventually(lambda: changed(database) == {*moved, *others})
    calls = gateway.status()["by_product"]
    assert {*map(str, others)} <= set(calls)
    assert sum(calls.values()) <= 3 * MOVED
    workers[1].stop(15)
    assert workers[1].ended_well().stats["ali1688/watch/looks"] >= 1


def test_what_is_new_on_a_page_joins_and_what_was_unwatched_does_not(
    scrapy: Scrapy,
    gateway: Gateway,
    watch: Callable[..., Process],
    database: Database[dict[str, Any]],
    redis_url: str,
) -> None:
    scrapy.settings["REDIS_URL"] = redis_url
    schedule = Schedule(scrapy)
    running = watch("keyword=cd20")
    eventually(lambda: database["products"].count_documents({}) == 20)
    first, *_ = watched_ids(database, gateway)
    eventually(lambda: schedule.looks() == 1)
    schedule.pass_time()
    eventually(lambda: schedule.rows() == 20 and schedule.looks() == 1)
    assert "; pages looked at: 1" in scrapy.run("watch", "list").stdout
    unwatched = watched_ids(database, gateway)[3]
    assert scrapy.run("unwatch", str(unwatched)).exit_code == 0
    gateway.product(first, removed=True)  # another one takes its place
    gateway.reset_counts()
    schedule.pass_time()
    eventually(lambda: database["products"].count_documents({}) == 21)
    eventually(lambda: schedule.looks() == 1)
    assert str(unwatched) not in gateway.status()["by_product"]

    # Without looks, what waits is made once and ends.
    running.stop(15)
    running = watch("looks=0")
    schedule.pass_time()
    eventually(lambda: schedule.looks() == 0)
    running.stop(15)
    running.ended_well()


@pytest.mark.parametrize("with_redis", [True, False])
@pytest.mark.usefixtures("database")
def test_shops_of_many_watched_products_are_looked_at(
    *,
    with_redis: bool,
    scrapy: Scrapy,
    gateway: Gateway,
    watch: Callable[..., Process],
    request: pytest.FixtureRequest,
) -> None:
    if with_redis:
        scrapy.settings["REDIS_URL"] = request.getfixturevalue("redis_url")
    shop = gateway.product(610_000_000_001)["seller_id"]
    found = scrapy.crawl("search", "-a", f"shop={shop}", "-O", "shop.jsonl").read("shop.jsonl")
    others = [610_000_000_002, 610_000_000_003]
    of_shop = sorted(found)[:20]
    schedule = Schedule(scrapy)
    gateway.reset_counts()
    running = watch(f"ids={','.join(map(str, [*of_shop, *others]))}")
    eventually(lambda: running.has_opened and gateway.status()["calls"] > 0)
    eventually(lambda: schedule.looks() >= 1 and schedule.rows() >= 1)
    status = gateway.status()
    assert status["by_api"][SHOP_API] >= 1
    assert SEARCH_API not in status["by_api"]
    wanted = {*of_shop, *others}
    eventually(lambda: set(map(int, gateway.status()["by_product"])) == wanted)
    running.stop(15)
    stats = running.ended_well().stats
    assert stats["ali1688/watch/looks"] >= 1
    # Others of the shop do not join.
    assert set(map(int, gateway.status()["by_product"])) == wanted


def test_an_app_that_may_not_see_shops_watches_on(
    scrapy: Scrapy,
    gateway: Gateway,
    watch: Callable[..., Process],
    database: Database[dict[str, Any]],
) -> None:
    shop = gateway.product(610_000_000_001)["seller_id"]
    found = scrapy.crawl("search", "-a", f"shop={shop}", "-O", "shop.jsonl").read("shop.jsonl")
    ids = sorted(found)[:8]
    gateway.set(deny=[SHOP_API])
    running = watch(f"ids={','.join(map(str, ids))}", "min_interval=1", "max_interval=2")
    eventually(lambda: database["failed_calls"].count_documents({}) >= 1)
    gateway.reset_counts()
    eventually(lambda: len(gateway.status()["by_product"]) == len(ids))
    assert running.is_running
    running.stop(15)
    running.ended_well()
    failed = database["failed_calls"].find_one()
    assert failed is not None
    assert failed["params"]["shop"] == shop
