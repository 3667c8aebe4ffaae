from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.storage.database import mongo_retry
from ali1688_spider.storage.database_errors import StoreUnavailableError
from ali1688_spider.storage.outbox import Outbox
from ali1688_spider.storage.product_store import ProductStore, Stored
from tests.storage.observations import after, observation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ali1688_spider.storage.changes import Change
    from ali1688_spider.storage.database import Database
    from ali1688_spider.storage.observation import Observation


class Receiver:
    """A publisher that keeps the ids of what it got, and takes nothing while it is shut."""

    def __init__(self, name: str = "The receiver", *, shut: bool = False) -> None:
        self.name = name
        self.all_ids: list[str] = []
        self.asked = asyncio.Event()
        self.news = asyncio.Condition()
        self.shut = shut

    async def publish(self, changes: Sequence[Change]) -> None:
        self.asked.set()
        if self.shut:
            raise StoreUnavailableError("it is shut")
        async with self.news:
            self.all_ids += [change.id for change in changes]
            self.news.notify_all()

    async def has(self, number: int) -> None:
        """Wait until it got so many changes."""
        async with self.news:
            await self.news.wait_for(lambda: len(self.ids) >= number)

    @property
    def ids(self) -> list[str]:
        """The ids of what it got, each once, in the order in which it came first."""
        return list(dict.fromkeys(self.all_ids))


class Crash(Exception):  # noqa: N818  # what a test calls it
    """The process ends here."""


class Fuse:
    def __init__(self, steps: int) -> None:
        self.steps = steps

    def burn(self) -> None:
        if self.steps == 0:
            raise Crash
        self.steps -= 1


class CrashingCollection:
    """A collection that crashes before or after one of its writes."""

    def __init__(self, collection: Any, fuse: Fuse) -> None:
        self._collection = collection
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._collection, name)
        if name == "find":
            return operation

        async def crashing(*args: Any, **kwargs: Any) -> Any:
            self._fuse.burn()
            result = await operation(*args, **kwargs)
            self._fuse.burn()
            return result

        return crashing


class CrashingDatabase:
    def __init__(self, database: Database, fuse: Fuse) -> None:
        self._database = database
        self._fuse = fuse

    def __getitem__(self, name: str) -> CrashingCollection:
        return CrashingCollection(self._database[name], self._fuse)

    def get_collection(self, name: str, **options: Any) -> CrashingCollection:
        return CrashingCollection(self._database.get_collection(name, **options), self._fuse)


class CrashingReceiver(Receiver):
    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._fuse = fuse

    async def publish(self, changes: Sequence[Change]) -> None:
        await super().publish(changes)
        self._fuse.burn()


QUICK = Backoff(base=1e-6, cap=1e-6)


async def store_until_it_crashes(
    database: Database, steps: int, *observations: Observation
) -> None:
    """Store by a process that crashes after so many steps."""
    crashing: Any = CrashingDatabase(database, Fuse(steps))
    outbox = Outbox(crashing, mongo_retry(), [Receiver()])
    with pytest.raises(Crash):
        await ProductStore(crashing, outbox, mongo_retry()).store(observations)


def product_store(database: Database, outbox: Outbox | None = None) -> ProductStore:
    return ProductStore(database, outbox or Outbox(database, mongo_retry()), mongo_retry())


@asynccontextmanager
async def publishing(
    database: Database, *receivers: Receiver, close_seconds: float = 10.0, **options: Any
) -> AsyncIterator[ProductStore]:
    """A store whose outbox runs, and is closed at the end."""
    outbox = Outbox(database, mongo_retry(), receivers, backoff=QUICK, **options)
    outbox.start()
    yield product_store(database, outbox)
    await outbox.close(close_seconds)


async def pending(database: Database) -> int:
    return await database["products"].count_documents({"pending_changes": {"$exists": True}})


async def store(store: ProductStore, *observations: Observation) -> list[str]:
    results = await store.store(observations)
    return [result.outcome for result in results if isinstance(result, Stored)]


async def changes(database: Database) -> list[tuple[str, Any, Any]]:
    found = await database["product_changes"].find().sort("at").to_list()
    return [(change["_id"], change["old"], change["new"]) for change in found]


def change_id(product_id: int, seconds: float) -> str:
    return f"{product_id}::stock:{int(after(seconds).timestamp() * 1000)}"


async def test_changes_are_published_once_they_are_stored(database: Database) -> None:
    receiver = Receiver()
    async with publishing(database, receiver) as products:
        await store(products, observation(1, 0, stock=1), observation(2, 0, stock=1))
        await store(products, observation(1, 60, stock=2), observation(2, 60, stock=1))
    assert receiver.all_ids == [change_id(1, 60)]
    assert await changes(database) == [(change_id(1, 60), 1, 2)]
    assert await pending(database) == 0


async def test_without_publishers_changes_are_recorded_at_once(database: Database) -> None:
    products = product_store(database)
    await store(products, observation(1, 0, stock=1))
    await store(products, observation(1, 60, stock=2))
    assert await changes(database) == [(change_id(1, 60), 1, 2)]
    assert await pending(database) == 0


@pytest.mark.parametrize("steps", range(1, 7))
async def test_a_crash_while_changes_are_published(
    database: Database, second_database: Database, steps: int
) -> None:
    """What the task does: insert (by the store), deliver, clear."""
    await store(product_store(database), observation(1, 0, stock=1))
    fuse = Fuse(steps)
    crashing: Any = CrashingDatabase(database, fuse)
    before = CrashingReceiver(fuse)
    outbox = Outbox(crashing, mongo_retry(), [before], backoff=Backoff(base=3600, cap=3600))
    outbox.start()
    with contextlib.suppress(Crash):
        await store(product_store(crashing, outbox), observation(1, 60, stock=2))
    await outbox.close()

    receiver = Receiver()
    async with publishing(second_database, receiver) as products:
        await store(products, observation(1, 60, stock=2))
    assert await changes(database) == [(change_id(1, 60), 1, 2)]
    assert set(before.ids + receiver.ids) == {change_id(1, 60)}
    assert await pending(database) == 0


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize(
    "afterwards", ["recover", "same response", "newer response", "older response"]
)
async def test_a_crash_between_any_two_writes(
    database: Database, second_database: Database, steps: int, afterwards: str
) -> None:
    await store(product_store(database), observation(1, 0, stock=1))
    await store_until_it_crashes(database, steps, observation(1, 60, stock=2))

    receiver = Receiver()
    expected = [(change_id(1, 60), 1, 2)]
    async with publishing(second_database, receiver) as products:
        match afterwards:
            case "recover":
                await store(products, observation(1, 60, stock=2))
            case "same response":
                await store(products, observation(1, 60, stock=2))
            case "newer response":
                await store(products, observation(1, 60, stock=2), observation(1, 120, stock=3))
                expected.append((change_id(1, 120), 2, 3))
            case "older response":
                await store(products, observation(1, 30, stock=1), observation(1, 60, stock=2))
    assert await changes(database) == expected
    assert receiver.ids == [change[0] for change in expected]
    assert await pending(database) == 0


async def test_pending_changes_are_published_with_a_later_response_that_changes_nothing(
    database: Database,
) -> None:
    await store(product_store(database), observation(1, 0, stock=1))
    await store_until_it_crashes(database, 2, observation(1, 60, stock=2))
    assert await changes(database) == []
    products = product_store(database)
    assert await store(products, observation(1, 120, stock=2)) == ["unchanged"]
    assert await changes(database) == [(change_id(1, 60), 1, 2)]
    assert await pending(database) == 0


async def test_a_publisher_that_is_shut_holds_up_neither_products_nor_other_publishers(
    database: Database,
) -> None:
    await store(product_store(database), observation(1, 0, stock=1))
    shut, other = Receiver("One", shut=True), Receiver("Other")
    async with publishing(database, shut, other) as products:
        assert await store(products, observation(1, 60, stock=2)) == ["changed"]
        await shut.asked.wait()
        assert await store(products, observation(1, 120, stock=3)) == ["changed"]
        assert await store(products, observation(1, 180, stock=3)) == ["unchanged"]
    expected = [change_id(1, 60), change_id(1, 120)]
    assert (shut.ids, other.ids) == ([], expected)
    assert [change[0] for change in await changes(database)] == expected
    assert await pending(database) == 1
    async with publishing(database, shut, other):  # at the next start
        shut.shut = False
    assert shut.ids == expected
    assert await pending(database) == 0


async def test_a_publisher_that_opens_again_gets_all_within_the_crawl(database: Database) -> None:
    ids = range(450)
    await store(product_store(database), *(observation(each, 0, stock=1) for each in ids))
    receiver = Receiver(shut=True)
    async with publishing(database, receiver) as products:
        await store(products, *(observation(each, 60, stock=2) for each in ids))
        await receiver.asked.wait()
        receiver.shut = False
        await receiver.has(450)


async def test_recovery_of_many(database: Database) -> None:
    await database["products"].insert_many(
        {
            "_id": number,
            "fetched_at": after(60),
            "pending_changes": [
                {"_id": change_id(number, 60), "product_id": number, "field": "stock"}
                | {"old": 1, "new": 2, "at": after(60)}
            ],
        }
        for number in range(450)
    )
    receiver = Receiver()
    async with publishing(database, receiver):
        pass
    assert sorted(receiver.ids) == sorted(change_id(number, 60) for number in range(450))
    assert await database["product_changes"].count_documents({}) == 450
    assert await pending(database) == 0


@pytest.mark.parametrize("receivers", [[], [Receiver()]])
async def test_changes_that_the_history_refuses_stay_and_hold_up_nothing(
    database: Database, caplog: pytest.LogCaptureFixture, receivers: list[Receiver]
) -> None:
    await database.create_collection("product_changes", validator={"new": {"$lt": 100}})
    await store(
        product_store(database),
        *(observation(each, 0, stock=1) for each in range(3)),
    )
    kept: list[int] = []
    async with publishing(database, *receivers, on_kept=kept.append) as products:
        stored = await store(
            products, *(observation(each, 60, stock=99 + each) for each in range(3))
        )
        assert stored == ["changed"] * 3
    recorded = [change_id(0, 60)]
    assert [change[0] for change in await changes(database)] == recorded
    assert all(receiver.ids == recorded for receiver in receivers)
    assert await pending(database) == 2
    assert sum(kept) >= 2
    [message] = caplog.messages
    assert message.startswith("product_changes takes no changes: ")
    assert message.endswith("; products go on, changes are kept")
    await database.command("collMod", "product_changes", validator={})
    async with publishing(database, *receivers):
        pass
    assert await database["product_changes"].count_documents({}) == 3
    assert await pending(database) == 0


async def test_a_publisher_that_fails_is_logged_once_and_gets_its_changes_later(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    class Defective(Receiver):
        async def publish(self, changes: Sequence[Change]) -> None:
            if not self.asked.is_set():
                self.asked.set()
                raise ZeroDivisionError
            await super().publish(changes)

    caplog.set_level(logging.INFO, "ali1688_spider")
    receiver = Defective()
    kept: list[int] = []
    async with publishing(database, receiver, on_kept=kept.append) as products:
        await store(products, observation(1, 0, stock=1))
        await store(products, observation(1, 60, stock=2))
    assert receiver.all_ids == [change_id(1, 60)]
    assert kept == [1]
    assert [(record.levelname, record.message) for record in caplog.records] == [
        (
            "ERROR",
            "The receiver takes no changes: ZeroDivisionError(); products go on, changes are kept",
        ),
        ("INFO", "The receiver takes changes again"),
    ]


async def test_only_large_changes_of_some_fields_are_published(database: Database) -> None:
    receiver = Receiver()
    wanted = publishing(database, receiver, fields=["stock", "status"], min_percent=5)
    async with wanted as products:
        for seconds, fields in enumerate(
            [
                {"stock": 1000, "price": "10", "status": "published"},
                {"stock": 951, "price": "5", "status": "published"},  # -4.9 %
                {"stock": 903, "price": "5", "status": "published"},  # -5.05 %
                {"stock": 949, "price": "5", "status": "published"},  # +5.09 %
                {"stock": 949, "price": "5", "status": "removed"},
            ]
        ):
            await store(products, observation(1, seconds, **fields))
    assert receiver.ids == [
        change_id(1, 2),
        change_id(1, 3),
        change_id(1, 4).replace("stock", "status"),
    ]
    assert await database["product_changes"].count_documents({}) == 5
    assert await pending(database) == 0


async def test_an_unexpected_error_is_logged_and_does_not_end_the_task(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = {"_id": 9, "pending_changes": [{"_id": "of another program"}]}
    await database["products"].insert_one(foreign)
    receiver = Receiver()
    async with publishing(database, receiver, close_seconds=0.5) as products:
        await store(products, observation(1, 0, stock=1))
        await store(products, observation(1, 60, stock=2))
        await receiver.has(1)
    assert receiver.all_ids == [change_id(1, 60)]
    assert set(caplog.messages) == {"Changes stay pending; trying again"}
