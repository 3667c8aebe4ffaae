"""What changed on the platform is in the history: once, and exact to the cent."""

from __future__ import annotations

import csv
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from bson import Decimal128

from tests.harness import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pymongo.database import Database

    from tests.harness import Gateway, Scrapy

    Ids = Callable[[int], Sequence[int]]
    SettingsFor = Callable[[str], dict[str, str]]


@pytest.fixture
def database(
    scrapy: Scrapy, mongo_uri: str, mongo_database: str
) -> Iterator[Database[dict[str, Any]]]:
    """The database that the commands of ``scrapy`` store into."""
    scrapy.settings |= {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    with pymongo.MongoClient[dict[str, Any]](mongo_uri, tz_aware=True) as client:
        yield client[mongo_database]


def listed(ids: Sequence[int]) -> str:
    return f"ids={','.join(map(str, ids))}"


def amount(value: Decimal128) -> Decimal:
    assert isinstance(value, Decimal128)
    return value.to_decimal()


def history(database: Database[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return product, SKU, old and new value of all changes, which are of prices."""
    found = database["product_changes"].find().sort([("product_id", 1), ("sku_id", 1)])
    documents = list(found)
    assert {document["field"] for document in documents} <= {"price"}
    return [
        (each["product_id"], each["sku_id"], amount(each["old"]), amount(each["new"]))
        for each in documents
    ]


def cheaper(gateway: Gateway, product_id: int, by: str) -> Any:
    """Set the price of a product; return what was true of it, and what is."""
    before = gateway.product(product_id)
    return before, gateway.product(product_id, price=str(Decimal(before["price"]) - Decimal(by)))


@pytest.mark.parametrize("with_redis", [False, True])
def test_two_of_thirty_prices(
    *,
    with_redis: bool,
    redis_url: str,
    scrapy: Scrapy,
    gateway: Gateway,
    ids: Ids,
    database: Database[dict[str, Any]],
) -> None:
    scrapy.settings["REDIS_URL"] = redis_url if with_redis else ""
    wanted = ids(30)
    crawl = scrapy.crawl("product", "-a", listed(wanted))
    assert crawl.stats["ali1688/items/new"] == 30
    crawl = scrapy.crawl("product", "-a", listed(wanted))
    assert crawl.stats["ali1688/items/unchanged"] == 30
    assert history(database) == []
    public = [each for each in wanted if not gateway.product(each)["traits"]["private"]]
    moved = {public[4]: "0.01", public[17]: "0.30"}
    expected = []
    for product_id, difference in moved.items():
        before, after = cheaper(gateway, product_id, difference)
        expected.append((product_id, None, Decimal(before["price"]), Decimal(after["price"])))

    crawl = scrapy.crawl("product", "-a", listed(wanted))

    assert history(database) == expected
    assert crawl.stats["ali1688/items/changed"] == 2
    assert crawl.stats["ali1688/items/unchanged"] == 28
    assert crawl.stats["ali1688/items/stored"] == 30
    for product in database["products"].find():
        assert product["first_seen_at"] < product["fetched_at"]
        last = "fetched_at" if product["_id"] in moved else "first_seen_at"
        assert product["changed_at"] == product[last]
        assert "pending_changes" not in product
    crawl = scrapy.crawl("product", "-a", listed(wanted))
    assert crawl.stats["ali1688/items/unchanged"] == 30
    assert history(database) == expected
    records = list(database["crawls"].find().sort("started_at", 1))
    assert [record["reason"] for record in records] == ["finished"] * 4
    assert [record["stats"].get("ali1688/items/changed", 0) for record in records] == [0, 0, 2, 0]
    assert all(record["stats"]["ali1688/calls"] == 30 for record in records)
    assert all(record["started_at"] < record["finished_at"] for record in records)


def test_prices_of_skus(
    scrapy: Scrapy,
    gateway: Gateway,
    settings_for: SettingsFor,
    ids: Ids,
    database: Database[dict[str, Any]],
) -> None:
    scrapy.settings |= settings_for("param2")
    wanted = ids(12)
    scrapy.crawl("product", "-a", listed(wanted))
    chosen = next(
        product["_id"]
        for product in database["products"].find({"price_private": False}).sort("_id", 1)
        if len(product["skus"]) > 1 and all(sku["price"] for sku in product["skus"])
    )
    before, after = cheaper(gateway, chosen, "0.50")
    scrapy.crawl("product", "-a", listed(wanted))
    told = database["products"].find_one({"_id": chosen})
    assert told is not None
    expected = [
        (chosen, old["sku_id"], Decimal(old["price"]), Decimal(new["price"]))
        for old, new in zip(before["skus"], after["skus"], strict=True)
    ]
    prices = (Decimal(before["price"]), Decimal(after["price"]))
    assert history(database) == [(chosen, None, *prices), *expected]
    assert [amount(sku["price"]) for sku in told["skus"]] == [new for _, _, _, new in expected]


def test_a_cached_answer_tells_nothing_new(
    scrapy: Scrapy, gateway: Gateway, ids: Ids, database: Database[dict[str, Any]]
) -> None:
    """For ``ALI1688_CACHE_TTL`` seconds a change may stay unseen; it is never seen twice, or back.

    Who wants to know at once sets it to 0; ``watch`` never reads the cache.
    """
    everything = listed(ids(5))
    scrapy.crawl("product", "-a", everything, ALI1688_CACHE_TTL="60")
    before, after = cheaper(gateway, ids(1)[0], "0.10")
    crawl = scrapy.crawl("product", "-a", everything, ALI1688_CACHE_TTL="60")
    assert crawl.stats["ali1688/cache/hit"] == 5
    assert crawl.stats["ali1688/items/unchanged"] == 5
    assert history(database) == []
    scrapy.crawl("product", "-a", everything)
    expected = [(ids(1)[0], None, Decimal(before["price"]), Decimal(after["price"]))]
    assert history(database) == expected
    crawl = scrapy.crawl("product", "-a", everything, ALI1688_CACHE_TTL="60")
    assert crawl.stats["ali1688/cache/hit"] == 5
    assert crawl.stats["ali1688/items/outdated"] == 5
    assert history(database) == expected
    product = database["products"].find_one({"_id": ids(1)[0]})
    assert product is not None
    assert amount(product["price"]) == Decimal(after["price"])


@pytest.mark.chaotic
def test_two_workers_at_once_and_one_is_killed(
    scrapy: Scrapy, gateway: Gateway, ids: Ids, database: Database[dict[str, Any]]
) -> None:
    wanted = ids(100)
    scrapy.crawl("product", "-a", listed(wanted))
    expected = []
    for product_id in wanted:
        before, after = cheaper(gateway, product_id, "0.02")
        if not before["traits"]["private"]:
            expected.append((product_id, None, Decimal(before["price"]), Decimal(after["price"])))
    gateway.set(latency=100)
    gateway.reset_counts()
    workers = [scrapy.start("crawl", "product", "-a", listed(wanted)) for _ in range(3)]
    eventually(lambda: database["product_changes"].count_documents({}) > 20)
    workers[0].kill()
    eventually(lambda: gateway.status()["calls"] > 140)
    workers[1].kill()
    workers[2].finish().ended_well()
    # Whatever the killed ones left pending was taken along, or comes out with the next crawl.
    scrapy.crawl("product", "-a", listed(wanted[:1]))
    assert history(database) == expected
    assert database["products"].count_documents({"pending_changes": {"$exists": True}}) == 0


def test_a_poisonous_document_is_refused_alone(
    scrapy: Scrapy, ids: Ids, database: Database[dict[str, Any]]
) -> None:
    wanted = ids(60)
    poisonous = wanted[33]
    database.create_collection("products", validator={"_id": {"$ne": poisonous}})
    crawl = scrapy.crawl("product", "-a", listed(wanted))
    stored = {product["_id"] for product in database["products"].find({}, {"_id": 1})}
    assert stored == set(wanted) - {poisonous}
    assert crawl.stats["ali1688/items/stored"] == 59
    assert crawl.stats["ali1688/items/rejected"] == 1
    [rejected] = database["rejected_items"].find()
    assert rejected["product_id"] == poisonous
    assert rejected["errors"][0].startswith("MongoDB refuses it: ")


def test_history_is_kept_for_as_long_as_it_may(
    scrapy: Scrapy, ids: Ids, database: Database[dict[str, Any]]
) -> None:
    scrapy.crawl("product", "-a", listed(ids(1)), ALI1688_HISTORY_DAYS="30")
    collections = ("product_changes", "rejected_items", "failed_calls")
    for name in collections:
        assert database[name].index_information()["at_1"]["expireAfterSeconds"] == 30 * 86_400
    scrapy.crawl("product", "-a", listed(ids(1)))
    for name in collections:
        assert "expireAfterSeconds" not in database[name].index_information()["at_1"]


def test_exports_are_exact_and_leave_private_prices_out(
    scrapy: Scrapy,
    gateway: Gateway,
    settings_for: SettingsFor,
    ids: Ids,
    database: Database[dict[str, Any]],
) -> None:
    # The API that marks private prices.
    tells_private = {"ALI1688_PRODUCT_API": "com.alibaba.product:alibaba.product.get-1"}
    scrapy.settings |= settings_for("param2") | tells_private
    wanted = ids(20)
    scrapy.crawl("product", "-a", listed(wanted))
    truths = {product_id: gateway.product(product_id) for product_id in wanted}
    private = {each for each, truth in truths.items() if truth["traits"]["private"]}
    assert private
    marked = database["products"].find({"price_private": True})
    assert {product["_id"]: product["price"] for product in marked} == dict.fromkeys(private)
    public = sorted(set(wanted) - private)
    before, after = cheaper(gateway, public[0], "0.03")
    scrapy.crawl("product", "-a", listed(wanted))

    assert scrapy.run("export", "products.csv").exit_code == 0
    assert scrapy.run("export", "all.csv", "--private").exit_code == 0
    assert scrapy.run("export", "changes.csv", "--changes-since", "1h").exit_code == 0

    rows = read(scrapy, "products.csv")
    expected = {each: Decimal(truths[each]["price"]) for each in public}
    expected[public[0]] = Decimal(after["price"])
    assert {int(row["product_id"]): Decimal(row["price"]) for row in rows} == expected
    assert {int(row["product_id"]) for row in read(scrapy, "all.csv")} == set(wanted)
    [change, *_] = [row for row in read(scrapy, "changes.csv") if not row["sku_id"]]
    assert (int(change["product_id"]), change["field"]) == (public[0], "price")
    assert (Decimal(change["old"]), Decimal(change["new"])) == (
        Decimal(before["price"]),
        Decimal(after["price"]),
    )


def read(scrapy: Scrapy, name: str) -> list[dict[str, str]]:
    with (scrapy.folder / name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
