from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson import Decimal128
from pymongo import InsertOne
from pymongo.errors import BulkWriteError

from ali1688_spider.storage.change import Change
from ali1688_spider.storage.outbox import Outbox
from ali1688_spider.storage.product_store import ProductStore
from ali1688_spider.storage.write import DIGEST, Write
from tests.storage.observations import after, observation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ali1688_spider.storage.connection import Database
    from ali1688_spider.storage.observation import Observation


async def store(database: Database, *observations: Observation) -> list[Write]:
    writes = [Write(each) for each in observations]
    await ProductStore(database, Outbox(database)).store(writes)
    assert all(write.settled for write in writes)
    return writes


async def outcomes(database: Database, *observations: Observation) -> list[str | None]:
    return [write.outcome for write in await store(database, *observations)]


async def history(database: Database) -> list[tuple[Any, ...]]:
    documents = await database["product_changes"].find().sort("at").to_list()
    changes = [Change.from_document(document) for document in documents]
    return [(c.product_id, c.sku_id, c.field, c.old, c.new, c.at) for c in changes]


async def test_a_new_product(database: Database) -> None:
    new = observation(7, 0, name="裙", price="12.50", stock=3, skus=[])
    [write] = await store(database, new)
    assert (write.outcome, write.first_seen_at, write.changed_at) == ("new", after(0), after(0))
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
    [write] = await store(database, observation(7, 60, price="1", stock=3))
    assert (write.outcome, write.first_seen_at, write.changed_at) == (
        "unchanged",
        after(0),
        after(0),
    )
    product = await database["products"].find_one()
    assert product is not None
    assert product["fetched_at"] == after(60)
    assert product["changed_at"] == after(0)
    assert await history(database) == []


async def test_a_change(database: Database) -> None:
    await store(database, observation(7, 0, name="a", price="1.00", stock=3))
    changed = observation(7, 60, name="a", price="0.90", stock=3)
    [write] = await store(database, changed)
    assert (write.outcome, write.first_seen_at, write.changed_at) == (
        "changed",
        after(0),
        after(60),
    )
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


async def test_an_older_answer_never_overwrites(database: Database) -> None:
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


async def test_a_product_that_was_deleted_meanwhile_comes_back_whole(database: Database) -> None:
    await store(database, observation(7, 0, stock=1, name="a"))
    deleting = DeletesBeforeWriting(database)
    [write] = [Write(observation(7, 60, stock=2, name="a"))]
    await deleting.store([write])
    assert write.outcome == "new"
    product = await database["products"].find_one()
    assert product is not None
    assert (product["name"], product["stock"], product["first_seen_at"]) == ("a", 2, after(60))


class DeletesBeforeWriting(ProductStore):
    """Somebody deletes all products between the first reading and the first writing."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, Outbox(database))
        self.deleted = False

    async def _read(self, product_ids: list[int]) -> Any:
        stored = await super()._read(product_ids)
        if not self.deleted:
            self.deleted = True
            await self._products.delete_many({})
        return stored


async def test_a_document_that_the_server_refuses_is_refused_alone(database: Database) -> None:
    await database.create_collection("products", validator={"stock": {"$type": "int"}})
    first, refused, last = await store(
        database,
        observation(1, 0, stock=1),
        observation(2, 0, stock="many"),
        observation(3, 0, stock=3),
    )
    assert (first.refusal, last.refusal) == (None, None)
    assert "validation" in str(refused.refusal)
    first, refused = await store(
        database, observation(1, 60, stock=2), observation(3, 60, stock="few")
    )
    assert (first.outcome, first.refusal) == ("changed", None)
    assert "validation" in str(refused.refusal)
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
    products = ProductStore(database, Outbox(database))
    full: Any = FullDisk(products._products, {2, 4}, times=2)
    products._products = full
    writes = [
        Write(observation(1, 60, stock=2)),
        Write(observation(2, 60, stock=2)),
        Write(observation(3, 60, stock="many")),
        Write(observation(4, 60, stock=2)),
    ]
    for _ in range(2):
        with pytest.raises(BulkWriteError):
            await products.store(writes)
        assert [write.settled for write in writes] == [True, False, True, False]
        assert "validation" in str(writes[2].refusal)
        assert await database["product_changes"].count_documents({}) == 1
    await products.store(writes)
    assert [write.outcome for write in writes if not write.refusal] == ["changed", "new", "changed"]
    assert await database["product_changes"].count_documents({}) == 2
    assert await database["products"].count_documents({"stock": 2}) == 3


async def test_a_conflict_of_a_users_own_unique_index_is_refused(database: Database) -> None:
    await database["products"].create_index("name", unique=True)
    first, second = await store(database, observation(1, 0, name="a"), observation(2, 0, name="a"))
    assert first.refusal is None
    assert "duplicate key" in str(second.refusal)


async def test_a_stored_product_of_another_shape_is_refused_alone(database: Database) -> None:
    await database["products"].insert_one({"_id": 1, "fetched_at": "yesterday"})
    await database["products"].insert_one({"_id": 2, "name": "an import without a time"})
    skus = [{"sku_id": 1, "stock": 1}]
    broken, timeless, good = await store(
        database,
        observation(1, 60, skus=skus),
        observation(2, 60, name="b", skus=skus),
        observation(3, 60, skus=skus),
    )
    assert "the stored product cannot be compared" in str(broken.refusal)
    assert (timeless.outcome, good.outcome) == ("changed", "new")


async def test_workers_at_once_neither_lose_nor_double(
    database: Database, second_database: Database
) -> None:
    generator = random.Random(5)
    answers = [
        observation(product_id, second, stock=generator.randrange(5), price="1")
        for product_id in range(8)
        for second in range(25)
    ]
    both = [*answers, *generator.sample(answers, 60)]
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
    last = {answer.product_id: answer for answer in answers}
    changes = await history(database)
    async for product in database["products"].find():
        assert product["fetched_at"] == after(24)
        assert product["stock"] == bson.decode(last[product["_id"]].told)["stock"]
        assert "pending_changes" not in product
        chain = [change for change in changes if change[0] == product["_id"]]
        assert [change[4] for change in chain[:-1]] == [change[3] for change in chain[1:]]
        assert not chain or chain[-1][4] == product["stock"]
        assert not chain or chain[-1][5] == product["changed_at"]
    assert len(last) == await database["products"].count_documents({})
