from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.storage.errors import StoreUnavailableError
from ali1688_spider.storage.outbox import Outbox
from ali1688_spider.storage.product_store import ProductStore
from ali1688_spider.storage.write import Write
from tests.storage.observations import after, observation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ali1688_spider.storage.change import Change
    from ali1688_spider.storage.connection import Database
    from ali1688_spider.storage.observation import Observation


class Listener:
    """Remembers what it was told, and does not answer the first times."""

    def __init__(self, *, away: int = 0) -> None:
        self.told: list[str] = []
        self.away = away

    async def deliver(self, changes: Sequence[Change]) -> None:
        if self.away:
            self.away -= 1
            raise StoreUnavailableError("the listener is away")
        self.told += [change.id for change in changes]


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


class CrashingListener(Listener):
    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self._fuse = fuse

    async def deliver(self, changes: Sequence[Change]) -> None:
        await super().deliver(changes)
        self._fuse.burn()


def crashing_store(database: Database, steps: int) -> tuple[ProductStore, CrashingListener]:
    fuse = Fuse(steps)
    crashing: Any = CrashingDatabase(database, fuse)
    listener = CrashingListener(fuse)
    return ProductStore(crashing, Outbox(crashing, [listener])), listener


async def store(store: ProductStore, *observations: Observation) -> list[str | None]:
    writes = [Write(each) for each in observations]
    await store.store(writes)
    return [write.outcome for write in writes]


async def changes(database: Database) -> list[tuple[str, Any, Any]]:
    found = await database["product_changes"].find().sort("at").to_list()
    return [(change["_id"], change["old"], change["new"]) for change in found]


def change_id(product_id: int, seconds: float) -> str:
    return f"{product_id}::stock:{int(after(seconds).timestamp() * 1000)}"


async def test_changes_are_told_once_they_are_stored(database: Database) -> None:
    listener = Listener()
    products = ProductStore(database, Outbox(database, [listener]))
    await store(products, observation(1, 0, stock=1), observation(2, 0, stock=1))
    await store(products, observation(1, 60, stock=2), observation(2, 60, stock=1))
    assert listener.told == [change_id(1, 60)]
    assert await changes(database) == [(change_id(1, 60), 1, 2)]
    assert await database["products"].count_documents({"pending_changes": {"$exists": True}}) == 0


@pytest.mark.parametrize("steps", range(7))
@pytest.mark.parametrize("afterwards", ["recover", "same answer", "newer answer", "older answer"])
async def test_a_crash_between_any_two_writes(
    database: Database, second_database: Database, steps: int, afterwards: str
) -> None:
    await store(ProductStore(database, Outbox(database)), observation(1, 0, stock=1))
    crashing, told_before = crashing_store(database, steps)
    with pytest.raises(Crash):
        await store(crashing, observation(1, 60, stock=2))

    listener = Listener()
    outbox = Outbox(second_database, [listener])
    products = ProductStore(second_database, outbox)
    expected = [(change_id(1, 60), 1, 2)]
    match afterwards:
        case "recover":
            await outbox.recover()
            await store(products, observation(1, 60, stock=2))
        case "same answer":
            await store(products, observation(1, 60, stock=2))
        case "newer answer":
            await store(products, observation(1, 60, stock=2), observation(1, 120, stock=3))
            expected.append((change_id(1, 120), 2, 3))
        case "older answer":
            await store(products, observation(1, 30, stock=1), observation(1, 60, stock=2))
    assert await changes(database) == expected
    told = told_before.told + listener.told
    assert set(told) == {change[0] for change in expected}
    assert await database["products"].count_documents({"pending_changes": {"$exists": True}}) == 0


async def test_a_fuse_of_seven_steps_reaches_the_end(database: Database) -> None:
    await store(ProductStore(database, Outbox(database)), observation(1, 0, stock=1))
    crashing, _ = crashing_store(database, 7)
    assert await store(crashing, observation(1, 60, stock=2)) == ["changed"]


async def test_pending_changes_go_out_with_a_later_answer_that_changes_nothing(
    database: Database,
) -> None:
    await store(ProductStore(database, Outbox(database)), observation(1, 0, stock=1))
    crashing, _ = crashing_store(database, 2)
    with pytest.raises(Crash):
        await store(crashing, observation(1, 60, stock=2))
    assert await changes(database) == []
    listener = Listener()
    products = ProductStore(database, Outbox(database, [listener]))
    assert await store(products, observation(1, 120, stock=2)) == ["unchanged"]
    assert await changes(database) == [(change_id(1, 60), 1, 2)]
    assert listener.told == [change_id(1, 60)]


async def test_a_listener_that_is_away_leaves_the_changes_pending(database: Database) -> None:
    await store(ProductStore(database, Outbox(database)), observation(1, 0, stock=1))
    listener = Listener(away=1)
    products = ProductStore(database, Outbox(database, [listener]))
    writes = [Write(observation(1, 60, stock=2))]
    with pytest.raises(StoreUnavailableError):
        await products.store(writes)
    assert not writes[0].settled
    await products.store(writes)
    assert writes[0].outcome == "changed"
    assert listener.told == [change_id(1, 60)]
    assert await changes(database) == [(change_id(1, 60), 1, 2)]


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
    listener = Listener()
    assert await Outbox(database, [listener]).recover() == 450
    assert len(listener.told) == 450
    assert await database["product_changes"].count_documents({}) == 450
    assert await Outbox(database, [listener]).recover() == 0
