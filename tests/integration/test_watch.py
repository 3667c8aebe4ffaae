"""``scrapy crawl watch`` sees a change within its interval, whatever happens to it."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis

from tests.harness import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pymongo.database import Database

    from tests.harness import Administration, Gateway, Process, Scrapy

    Ids = Callable[[int], Sequence[int]]

OFTEN = ("-a", "min_interval=0.5", "-a", "max_interval=1")
QUEUE = "{watch:start_urls}"


@pytest.fixture
def database(
    scrapy: Scrapy, mongo_uri: str, mongo_database: str
) -> Iterator[Database[dict[str, Any]]]:
    """The database that the watch stores into; the calls of a day are not limited."""
    scrapy.settings |= {
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": mongo_database,
        "ALI1688_DAILY_QUOTA": "0",
        "ALI1688_LEASE_SECONDS": "2",
    }
    with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
        yield client[mongo_database]


@pytest.fixture
def watch(scrapy: Scrapy) -> Callable[..., Process]:
    """Start a watch."""
    return lambda *arguments: scrapy.start("crawl", "watch", *OFTEN, *arguments)


def stop(running: Process) -> Process:
    """Ask a watch to end, which it does well and within seconds."""
    running.stop(15)
    finished = running.ended_well()
    assert finished.stats["finish_reason"] == "shutdown"
    return finished


def listed(ids: Sequence[int]) -> str:
    return f"ids={','.join(map(str, ids))}"


def public(gateway: Gateway, ids: Sequence[int]) -> list[int]:
    """Return the products whose prices the gateway tells."""
    return [each for each in ids if not gateway.product(each)["traits"]["private"]]


def set_apart(gateway: Gateway, product_id: int) -> tuple[int, Decimal, Decimal]:
    """Change a price by a cent; return the product, the old price and the new one."""
    before = gateway.product(product_id)["price"]
    after = gateway.product(product_id, price=str(Decimal(before) + Decimal("0.01")))["price"]
    return product_id, Decimal(before), Decimal(after)


def changes(database: Database[dict[str, Any]]) -> list[tuple[int, Decimal, Decimal]]:
    return [
        (change["product_id"], change["old"].to_decimal(), change["new"].to_decimal())
        for change in database["product_changes"].find().sort([("product_id", 1), ("at", 1)])
    ]


def calls(gateway: Gateway, product_id: int) -> int:
    number: int = gateway.status()["by_product"].get(str(product_id), 0)
    return number


def called_often(gateway: Gateway, ids: Sequence[int], times: int = 3) -> None:
    """Wait until each product was called so often."""

    def often() -> bool:
        by_product = gateway.status()["by_product"]
        return all(by_product.get(str(product_id), 0) >= times for product_id in ids)

    eventually(often)


@pytest.mark.chaotic
def test_alone(
    watch: Callable[..., Process],
    scrapy: Scrapy,
    gateway: Gateway,
    ids: Ids,
    database: Database[dict[str, Any]],
) -> None:
    first, second, by_file, unwatched = public(gateway, ids(9))[:4]
    (scrapy.folder / "ids.txt").write_text(f"{by_file}\nnonsense\n")
    running = watch("-a", listed([first, second, unwatched]), "-a", "ids_file=ids.txt")
    eventually(lambda: database["products"].count_documents({}) == 4)
    expected = [set_apart(gateway, first)]
    eventually(lambda: changes(database) == expected)
    stats = stop(running).stats
    assert stats["ali1688/watch/changed"] == stats["ali1688/items/changed"] == 1
    assert stats["ali1688/ids/unreadable"] == 1
    assert 0 < stats["ali1688/watch/fraction_fresh"] <= 1

    # Kept over the end of the process, even a sudden one.
    running = watch("-a", "keyword=x3")
    expected.append(set_apart(gateway, by_file))
    eventually(lambda: changes(database) == expected)
    eventually(lambda: database["products"].count_documents({}) == 7)
    running.kill()
    found = [each["_id"] for each in database["products"].find() if each["_id"] not in ids(9)]

    running = watch("-a", "strategy=uniform")
    gateway.reset_counts()
    called_often(gateway, [first, second, by_file, unwatched, *found])
    command = scrapy.run("unwatch", str(unwatched), str(ids(10)[9]))
    assert command.exit_code == 0
    assert command.stdout == "1 products are watched no longer, 1 were not watched.\n"
    gateway.reset_counts()
    called_often(gateway, [first, second, by_file, *found])
    assert calls(gateway, unwatched) <= 1  # under way when it was unwatched
    stop(running)


def test_what_fails_stays_watched(
    watch: Callable[..., Process],
    scrapy: Scrapy,
    gateway: Gateway,
    ids: Ids,
    database: Database[dict[str, Any]],
) -> None:
    failing, rejected, removed = public(gateway, ids(9))[:3]
    scrapy.settings["ALI1688_MAX_ATTEMPTS"] = "1"
    running = watch("-a", listed([failing, rejected, removed]))
    called_often(gateway, [failing, rejected, removed], 1)
    gateway.fail(product_id=failing, faults=["500", "500"])
    gateway.product(rejected, answer={"result": {"product": {"productName": ""}}})
    eventually(lambda: database["failed_calls"].count_documents({}) == 2)
    eventually(lambda: database["rejected_items"].count_documents({}) >= 2)
    gateway.product(rejected, answer=None)
    expected = [set_apart(gateway, failing), set_apart(gateway, rejected)]
    eventually(lambda: changes(database) == expected)
    stop(running)

    gateway.product(removed, removed=True)
    running = scrapy.start("crawl", "watch", "-a", "min_interval=1", "-a", "max_interval=90000")
    eventually(lambda: database["products"].count_documents({"status": "removed"}) == 1)
    gateway.reset_counts()
    called_often(gateway, [failing, rejected])
    stats = stop(running).stats
    assert stats["ali1688/watch/removed"] == 1
    assert calls(gateway, removed) == 0
    path = scrapy.folder / ".scrapy" / "ali1688" / "watch.sqlite"
    connection = sqlite3.connect(path)
    query = "SELECT due FROM watched WHERE product_id = ?"
    (due,) = connection.execute(query, (removed,)).fetchone()
    connection.close()
    assert due - time.time() > 80_000


@pytest.mark.chaotic
def test_two_workers_and_one_is_killed(
    *,
    watch: Callable[..., Process],
    scrapy: Scrapy,
    gateway: Gateway,
    ids: Ids,
    database: Database[dict[str, Any]],
    redis_url: str,
) -> None:
    scrapy.settings["REDIS_URL"] = redis_url
    *watched, unwatched, another = public(gateway, ids(40))[:22]
    gateway.set(latency=50)
    workers = [watch("-a", listed(watched)), watch()]
    pushed = scrapy.run("push", "watch", str(unwatched))
    assert pushed.exit_code == 0
    called_often(gateway, [*watched, unwatched])
    expected = [set_apart(gateway, product_id) for product_id in watched[:10]]
    workers[0].kill()
    expected += [set_apart(gateway, product_id) for product_id in watched[10:]]
    eventually(lambda: changes(database) == expected)

    command = scrapy.run("unwatch", str(unwatched), str(another))
    assert command.stdout == "1 products are watched no longer, 1 were not watched.\n"
    gateway.reset_counts()
    called_often(gateway, watched)
    assert calls(gateway, unwatched) <= 1  # under way when it was unwatched
    stats = stop(workers[1]).stats
    assert 0 < stats["ali1688/watch/fraction_fresh"] <= 1
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        entries: Any = client.hkeys(f"{QUEUE}:watched")
        places: Any = [client.zrange(f"{QUEUE}:{name}", 0, -1) for name in ("requests", "delayed")]
        client.hset(f"{QUEUE}:attempts", str(watched[0]), "99")
    assert sorted(map(int, entries)) == watched
    assert sorted(int(call) for place in places for call in place) == watched
    running = watch()
    expected += [set_apart(gateway, watched[0])]
    eventually(lambda: changes(database) == sorted(expected))
    stop(running)
    # A call that was given up for too many tries is watched on.
    [failed] = database["failed_calls"].find()
    assert failed["params"] == {"product_id": watched[0]}


@pytest.mark.parametrize("with_redis", [True, False])
def test_what_is_unwatched_during_its_first_fetch_does_not_come_back(
    *,
    watch: Callable[..., Process],
    scrapy: Scrapy,
    gateway: Gateway,
    ids: Ids,
    database: Database[dict[str, Any]],
    request: pytest.FixtureRequest,
    with_redis: bool,
) -> None:
    if with_redis:
        scrapy.settings["REDIS_URL"] = request.getfixturevalue("redis_url")
    first, second, third = public(gateway, ids(9))[:3]
    gateway.fail(product_id=second, faults=["slow:3"])
    running = watch("-a", listed([first, second, third]))
    called_often(gateway, [first, second, third], times=1)
    command = scrapy.run("unwatch", str(second))
    assert command.stdout == "1 products are watched no longer, 0 were not watched.\n"
    eventually(lambda: database["products"].find_one({"_id": second}) is not None)
    made = calls(gateway, second)
    called_often(gateway, [first, third], times=10)
    finished = stop(running)
    assert calls(gateway, second) == made
    assert "silent for too long" not in finished.log
    assert watched(scrapy) == {first, third}


def watched(scrapy: Scrapy) -> set[int]:
    """Return the products of which an entry is kept."""
    if url := scrapy.settings.get("REDIS_URL"):
        with redis.Redis.from_url(url) as client:
            return set(map(int, client.hkeys(f"{QUEUE}:watched")))
    with closing(sqlite3.connect(scrapy.folder / ".scrapy/ali1688/watch.sqlite")) as connection:
        return {
            product_id for (product_id,) in connection.execute("SELECT product_id FROM watched")
        }


def test_a_day_without_quota_is_waited_out(
    watch: Callable[..., Process], scrapy: Scrapy, gateway: Gateway, ids: Ids
) -> None:
    scrapy.settings["ALI1688_DAILY_QUOTA"] = "3"
    log = scrapy.folder / "log.txt"
    running = watch("-a", listed(ids(5)), "--logfile", str(log))
    eventually(lambda: log.exists() and "Calls wait until then." in log.read_text())
    assert running.is_running
    running.terminate()
    assert running.finish().exit_code == 0
    text = log.read_text()
    assert text.count("ALI1688_DAILY_QUOTA (3 calls) is used up; the next day begins in ") == 1
    assert "Traceback" not in text
    assert gateway.status()["calls"] == 3


def test_wrong_arguments(scrapy: Scrapy) -> None:
    command = scrapy.run("crawl", "watch", "-a", "min_interval=5", "-a", "max_interval=2")
    assert command.exit_code == 1
    sentence = "min_interval (5 s) is above max_interval (2 s): set both"
    assert command.log.splitlines()[-1] == f"Error: {sentence}."


def test_nothing_to_unwatch(scrapy: Scrapy) -> None:
    command = scrapy.run("unwatch", "610000000001")
    assert command.exit_code == 1
    assert command.log.startswith("Error: nothing is watched here, there is no ")


@pytest.mark.parametrize("in_redis", [False, True])
def test_the_watched_products_are_listed(
    *,
    in_redis: bool,
    scrapy: Scrapy,
    administration: Administration,
    gateway: Gateway,
    ids: Ids,
    database: Database[dict[str, Any]],
    redis_url: str,
) -> None:
    def watched(*arguments: str) -> Any:
        ended = administration.run("watch", "list", *arguments)
        assert (ended.exit_code, ended.log) == (0, "")
        return json.loads(ended.stdout) if "--json" in arguments else ended.stdout

    if in_redis:
        scrapy.settings["REDIS_URL"] = redis_url
        assert watched() == "No product is watched.\n"
        assert watched("--json") == []
    else:
        nowhere = administration.run("watch", "list")
        assert nowhere.log.startswith("Error: nothing is watched here, there is no ")
    *_, changing = wanted = public(gateway, ids(9))[:3]
    running = scrapy.start("crawl", "watch", "-a", listed(wanted), "-a", "min_interval=3600")
    eventually(lambda: database["products"].count_documents({}) == 3)
    set_apart(gateway, changing)
    assert stop(running).exit_code == 0
    again = ("-a", listed([changing]), "-a", "max_interval=2", "-a", "min_interval=2")
    running = scrapy.start("crawl", "watch", *again)
    eventually(lambda: changes(database))
    assert stop(running).exit_code == 0

    found = {each["product_id"]: each for each in watched("--json")}
    assert set(found) == set(wanted)
    assert found[changing]["changes"] == 1
    names = {each["_id"]: each["name"] for each in database["products"].find()}
    for product_id, each in found.items():
        assert each["name"] == names[product_id]
        assert not each["removed"]
        assert each["interval_seconds"] > 0
        assert each["next_due"] > each["last_fetched"]
    assert len(watched("--json", "--limit", "2")) == 2
    table = watched("--limit", "2")
    assert "The next 2 of about 3 watched products" in table
    assert sum(str(product_id) in table for product_id in wanted) == 2
    assert "3 watched products" in watched()
