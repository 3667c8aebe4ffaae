from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson import Decimal128
from pymongo import InsertOne
from pymongo.errors import BulkWriteError, DocumentTooLarge, InvalidOperation

from ali1688_spider.retrying import ServerRetry
from ali1688_spider.storage.changes import Change
from ali1688_spider.storage.database_errors import (
    DocumentRefusedError,
    StoreUnavailableError,
    classify,
)
from ali1688_spider.storage.outbox import Outbox
from ali1688_spider.storage.product_store import DIGEST, ProductStore, Stored
from tests.storage.observations import after, observation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ali1688_spider.storage.database import Database
    from ali1688_spider.storage.observation import Observation

Result = Stored | DocumentRefusedError


def product_store(database: Any, **options: Any) -> ProductStore:
    retry = ServerRetry("MongoDB", classify, base=0.001, cap=0.001, **options)
    return ProductStore(database, Outbox(database, retry), retry)


async def store(database: Any, *observations: Observation) -> list[Result]:
    return await product_store(database).store(observations)


async def outcomes(database: Database, *observations: Observation) -> list[str]:
    return [outcome(result) for result in await store(database, *observations)]


def outcome(result: Result) -> str:
    return result.outcome if isinstance(result, Stored) else f"refused: {result}"


async def history(database: Database) -> list[tuple[Any, ...]]:
    documents = await database["product_changes"].find().sort("at").to_list()
    changes = [Change.from_document(document) for document in documents]
    return [(c.product_id, c.sku_id, c.field, c.old, c.new, c.at) for c in changes]


async def test_a_new_product(database: Database) -> None:
    new = observation(7, 0, name="裙", price="12.50", stock=3, skus=[])
    assert await store(database, new) == [Stored("new", after(0), after(0))]
    assert await database["products"].find_one() == {
        "_id": 7,
        "product_id": 7,
        "name": "裙",
        "price": Decimal128("12.50"),
        "stock": 3,
        "skus": [],
        "fetched_at": after(0),
        "first_seen_at": after(0),
        "changed_at": after(0),
        DIGEST: new.digest,
    }
    assert await history(database) == []


async def test_the_same_again(database: Database) -> None:
    assert await outcomes(database, observation(7, 0, price="1", stock=3)) == ["new"]
    again = observation(7, 60, price="1", stock=3)
    assert await store(database, again) == [Stored("unchanged", after(0), after(0))]
    product = await database["products"].find_one()
    assert product is not None
    assert product["fetched_at"] == after(60)
    assert product["changed_at"] == after(0)
    assert await history(database) == []


async def test_a_change(database: Database) -> None:
    await store(database, observation(7, 0, name="a", price="1.00", stock=3))
    changed = observation(7, 60, name="a", price="0.90", stock=3)
    assert await store(database, changed) == [Stored("changed", after(0), after(60))]
    assert await database["products"].find_one() == {
        "_id": 7,
        "product_id": 7,
        "name": "a",
        "price": Decimal128("0.90"),
        "stock": 3,
        "fetched_at": after(60),
        "first_seen_at": after(0),
        "changed_at": after(60),
        DIGEST: changed.digest,
    }
    expected = [(7, None, "price", Decimal("1.00"), Decimal("0.90"), after(60))]
    assert await history(database) == expected
    assert await outcomes(database, changed) == ["unchanged"]
    assert await history(database) == expected


async def test_an_older_response_never_overwrites(database: Database) -> None:
    await store(database, observation(7, 60, price="2", stock=1))
    assert await outcomes(database, observation(7, 0, price="1", stock=1)) == ["outdated"]
    assert await outcomes(database, observation(7, 60, price="3", stock=1)) == ["outdated"]
    product = await database["products"].find_one()
    assert product is not None
    assert (product["price"], product["fetched_at"]) == (Decimal128("2"), after(60))
    assert await history(database) == []


async def test_what_is_not_compared_changes_without_history(database: Database) -> None:
    await store(database, observation(7, 0, price="1", unit="件"))
    assert await outcomes(database, observation(7, 60, price="1", unit="个")) == ["unchanged"]
    product = await database["products"].find_one()
    assert product is not None
    assert (product["unit"], product["changed_at"]) == ("个", after(0))


async def test_a_search_row_erases_nothing(database: Database) -> None:
    skus: list[dict[str, Any]] = [{"sku_id": 1, "stock": 5, "price": None, "price_tiers": []}]
    await store(database, observation(7, 0, name="a", price="5", stock=5, skus=skus, unit="件"))
    assert await outcomes(database, observation(7, 60, name="a", price="4")) == ["changed"]
    product = await database["products"].find_one()
    assert product is not None
    assert (product["price"], product["skus"], product["unit"]) == (Decimal128("4"), skus, "件")
    assert [change[1:5] for change in await history(database)] == [
        (None, "price", Decimal(5), Decimal(4))
    ]
    detail = observation(7, 120, name="a", price="5", stock=5, skus=skus, unit="件")
    assert await outcomes(database, detail) == ["changed"]


async def test_one_product_several_times_in_a_batch(database: Database) -> None:
    batch = [observation(7, second, stock=second) for second in (3, 1, 2, 0)]
    assert await outcomes(database, *batch) == ["changed", "changed", "changed", "new"]
    assert [change[3:5] for change in await history(database)] == [(0, 1), (1, 2), (2, 3)]


class OtherProducts:
    """A database with a collection ``products`` that does something else first."""

    def __init__(self, database: Database, wrap: Callable[[Any], Any]) -> None:
        self._database = database
        self._products = wrap(database["products"])

    def __getitem__(self, name: str) -> Any:
        return self._products if name == "products" else self._database[name]

    def get_collection(self, name: str, **options: Any) -> Any:
        return self._database.get_collection(name, **options)


class DeletedBeforeWriting:
    """Somebody deletes all products between the first reading and the first writing."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self._deleted = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def bulk_write(self, operations: list[Any], *, ordered: bool) -> Any:
        if not self._deleted:
            self._deleted = True
            await self._collection.delete_many({})
        return await self._collection.bulk_write(operations, ordered=ordered)


async def test_a_product_that_was_deleted_meanwhile_comes_back_whole(database: Database) -> None:
    await store(database, observation(7, 0, stock=1, name="a"))
    deleting = OtherProducts(database, DeletedBeforeWriting)
    [stored] = await store(deleting, observation(7, 60, stock=2, name="a"))
    assert stored == Stored("new", after(60), after(60))
    product = await database["products"].find_one()
    assert product is not None
    assert (product["name"], product["stock"], product["first_seen_at"]) == ("a", 2, after(60))


async def test_a_document_that_the_server_refuses_is_refused_alone(database: Database) -> None:
    await database.create_collection("products", validator={"stock": {"$type": "int"}})
    first, refused, last = await outcomes(
        database,
        observation(1, 0, stock=1),
        observation(2, 0, stock="many"),
        observation(3, 0, stock=3),
    )
    assert (first, last) == ("new", "new")
    assert refused.startswith("refused: MongoDB refuses it: ")
    assert "validation" in refused
    first, refused = await outcomes(
        database, observation(1, 60, stock=2), observation(3, 60, stock="few")
    )
    assert first == "changed"
    assert "validation" in refused
    stocks = {product["_id"]: product["stock"] async for product in database["products"].find()}
    assert stocks == {1: 2, 3: 3}


class FullDisk:
    """A collection on whose disk the products with these ids find no room, the first times."""

    def __init__(self, collection: Any, ids: set[int], times: int) -> None:
        self._collection = collection
        self._ids = ids
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def bulk_write(self, operations: list[Any], *, ordered: bool) -> Any:
        if not self._times:
            return await self._collection.bulk_write(operations, ordered=ordered)
        self._times -= 1
        refused = [i for i, each in enumerate(operations) if self._id(each) in self._ids]
        done = [each for i, each in enumerate(operations) if i not in refused]
        details: dict[str, Any] = {"nMatched": 0, "writeConcernErrors": [], "writeErrors": []}
        try:
            if done:
                result = await self._collection.bulk_write(done, ordered=ordered)
                details["nMatched"] = result.matched_count
        except BulkWriteError as error:
            details |= error.details
            for failure in details["writeErrors"]:
                failure["index"] = operations.index(done[failure["index"]])
        details["writeErrors"] += [
            {"index": index, "code": 14031, "errmsg": "No space left on device"}
            for index in refused
        ]
        raise BulkWriteError(details)

    def _id(self, operation: Any) -> int:
        if isinstance(operation, InsertOne):
            document: Any = operation._doc
            return int(document["_id"])
        return int(operation._filter["_id"])


async def test_what_finds_no_room_waits_and_the_others_of_its_batch_do_not(
    database: Database,
) -> None:
    await database.create_collection("products", validator={"stock": {"$type": "int"}})
    await store(database, observation(1, 0, stock=1), observation(4, 0, stock=1))
    full = OtherProducts(database, lambda products: FullDisk(products, {2, 4}, times=2))
    waits: list[None] = []
    batch = [
        observation(1, 60, stock=2),
        observation(2, 60, stock=2),
        observation(3, 60, stock="many"),
        observation(4, 60, stock=2),
    ]
    first, second, refused, fourth = map(
        outcome, await product_store(full, on_wait=lambda: waits.append(None)).store(batch)
    )
    assert (first, second, fourth) == ("changed", "new", "changed")
    assert "validation" in refused
    assert len(waits) == 2
    assert await database["product_changes"].count_documents({}) == 2
    assert await database["products"].count_documents({"stock": 2}) == 3


async def test_what_is_stored_stays_when_the_crawl_closes_while_others_wait(
    database: Database,
) -> None:
    await store(database, observation(1, 0, stock=1))
    full = OtherProducts(database, lambda products: FullDisk(products, {2}, times=99))
    closing = product_store(
        full, is_closing=lambda: True, grace_seconds=0, on_give_up=StoreUnavailableError
    )
    with pytest.raises(StoreUnavailableError, match=r"^MongoDB stayed away while the crawl was"):
        await closing.store([observation(1, 60, stock=2), observation(2, 60, stock=2)])
    assert [product["stock"] async for product in database["products"].find()] == [2]
    assert await database["product_changes"].count_documents({}) == 1


class TooLargeTogether:
    """A collection whose driver refuses a message of several operations."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    async def bulk_write(self, operations: list[Any], *, ordered: bool) -> Any:
        if len(operations) > 1 or self._is_poisonous(operations[0]):
            raise DocumentTooLarge("too large for a message")
        return await self._collection.bulk_write(operations, ordered=ordered)

    def _is_poisonous(self, operation: Any) -> bool:
        return bool(operation._doc["_id"] == 2)


async def test_a_batch_that_the_driver_refuses_is_stored_one_by_one(database: Database) -> None:
    picky = OtherProducts(database, TooLargeTogether)
    batch = [observation(product_id, 0, stock=1) for product_id in (1, 2, 3)]
    assert [outcome(result) for result in await store(picky, *batch)] == [
        "new",
        "refused: MongoDB refuses it: too large for a message",
        "new",
    ]


async def test_a_closed_client_refuses_no_document(second_database: Database) -> None:
    await second_database.client.close()
    with pytest.raises(InvalidOperation):
        await store(second_database, observation(1, 0, stock=1))


async def test_a_conflict_of_a_users_own_unique_index_is_refused(database: Database) -> None:
    await database["products"].create_index("name", unique=True)
    first, second = await outcomes(
        database, observation(1, 0, name="a"), observation(2, 0, name="a")
    )
    assert first == "new"
    assert "duplicate key" in second


async def test_a_stored_product_of_another_shape_is_refused_alone(database: Database) -> None:
    await database["products"].insert_one({"_id": 1, "fetched_at": "yesterday"})
    await database["products"].insert_one({"_id": 2, "name": "an import without a time"})
    skus = [{"sku_id": 1, "stock": 1}]
    broken, timeless, good = await outcomes(
        database,
        observation(1, 60, skus=skus),
        observation(2, 60, name="b", skus=skus),
        observation(3, 60, skus=skus),
    )
    assert broken.startswith("refused: the stored product cannot be compared with it: ")
    assert (timeless, good) == ("changed", "new")


async def test_workers_at_once_neither_lose_nor_double(
    database: Database, second_database: Database
) -> None:
    generator = random.Random(5)
    responses = [
        observation(product_id, second, stock=generator.randrange(5), price="1")
        for product_id in range(8)
        for second in range(25)
    ]
    both = [*responses, *generator.sample(responses, 60)]
    generator.shuffle(both)
    batches: list[Sequence[Observation]] = [both[i : i + 20] for i in range(0, len(both), 20)]

    async def work(database: Database, mine: list[Sequence[Observation]]) -> None:
        for batch in mine:
            await store(database, *batch)

    await asyncio.gather(
        work(database, batches[::3]),
        work(second_database, batches[1::3]),
        work(second_database, batches[2::3]),
    )
    last = {response.product_id: response for response in responses}
    changes = await history(database)
    async for product in database["products"].find():
        assert product["fetched_at"] == after(24)
        assert product["stock"] == bson.decode(last[product["_id"]].set_fields)["stock"]
        assert "pending_changes" not in product
        chain = [change for change in changes if change[0] == product["_id"]]
        assert [change[4] for change in chain[:-1]] == [change[3] for change in chain[1:]]
        assert not chain or chain[-1][4] == product["stock"]
        assert not chain or chain[-1][5] == product["changed_at"]
    assert len(last) == await database["products"].count_documents({})
