from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.storage.outbox import Outbox
from ali1688_spider.storage.product_store import ProductStore
from ali1688_spider.storage.write import Write
from tests.storage.observations import after, observation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ali1688_spider.storage.change import Change
    from ali1688_spider.storage.connection import Database
    from ali1688_spider.storage.observation import Observation


class Listener:
    """A channel that remembers what it was told, and takes nothing while it is shut."""

    def __init__(self, *, shut: bool = False) -> None:
        self.told: list[str] = []
        self.asked = asyncio.Event()
        self.news = asyncio.Condition()
        self.shut = shut

    async def deliver(self, changes: Sequence[Change]) -> bool:
        self.asked.set()
        if self.shut:
            return False
        async with self.news:
            self.told += [change.id for change in changes]
            self.news.notify_all()
        return True

    async def has(self, number: int) -> None:
        """Wait until it was told so many changes."""
        async with self.news:
            await self.news.wait_for(lambda: len(self.heard) >= number)

    @property
    def heard(self) -> list[str]:
        """What it was told, each once, in the order in which it came first."""
        return list(dict.fromkeys(self.told))


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

    async def deliver(self, changes: Sequence[Change]) -> bool:
        await super().deliver(changes)
        self._fuse.burn()
        return True


QUICK = Backoff(base=1e-6, cap=1e-6)


async def store_until_it_crashes(
    database: Database, steps: int, *observations: Observation
) -> CrashingListener:
    """Store by a process that crashes after so many steps; return its listener."""
    fuse = Fuse(steps)
    crashing: Any = CrashingDatabase(database, fuse)
    listener = CrashingListener(fuse)
    with pytest.raises(Crash):
        await store(ProductStore(crashing, Outbox(crashing, [listener])), *observations)
    return listener


@asynccontextmanager
async def bringing_out(
    database: Database, *channels: Listener, **options: Any
) -> AsyncIterator[ProductStore]:
    """A store whose outbox runs, and is closed at the end."""
    outbox = Outbox(database, channels, backoff=QUICK, **options)
    outbox.start()
    yield ProductStore(database, outbox)
    await outbox.close()


async def pending(database: Database) -> int:
    return await database["products"].count_documents({"pending_changes": {"$exists": True}})


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
    async with bringing_out(database, listener) as products:
        await store(products, observation(1, 0, stock=1), observation(2, 0, stock=1))
        await store(products, observation(1, 60, stock=2), observation(2, 60, stock=1))
    assert listener.told == [change_id(1, 60)]
    assert await changes(database) == [(change_id(1, 60), 1, 2)]
    assert await pending(database) == 0


async def test_without_channels_changes_are_recorded_at_once(database: Database) -> None:
    products = ProductStore(database, Outbox(database))
    await store(products, observation(1, 0, stock=1))
    await store(products, observation(1, 60, stock=2))
    assert await changes(database) == [(change_id(1, 60), 1, 2)]
    assert await pending(database) == 0


@pytest.mark.parametrize("steps", range(1, 7))
async def test_a_crash_while_changes_go_out(
    database: Database, second_database: Database, steps: int
) -> None:
    """What the task does: insert (by the store), deliver, clear."""
    await store(ProductStore(database, Outbox(database)), observation(1, 0, stock=1))
    fuse = Fuse(steps)
    crashing: Any = CrashingDatabase(database, fuse)
    told_before = CrashingListener(fuse)
    outbox = Outbox(crashing, [told_before], backoff=Backoff(base=3600, cap=3600))
    outbox.start()
    with contextlib.suppress(Crash):
        await store(ProductStore(crashing, outbox), observation(1, 60, stock=2))
    await outbox.close()

    listener = Listener()
    async with bringing_out(second_database, listener) as products:
        await store(products, observation(1, 60, stock=2))
    assert await changes(database) == [(change_id(1, 60), 1, 2)]
    assert set(told_before.told + listener.told) == {change_id(1, 60)}
    assert await pending(database) == 0


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("afterwards", ["recover", "same answer", "newer answer", "older answer"])
async def test_a_crash_between_any_two_writes(
    database: Database, second_database: Database, steps: int, afterwards: str
) -> None:
    await store(ProductStore(database, Outbox(database)), observation(1, 0, stock=1))
    await store_until_it_crashes(database, steps, observation(1, 60, stock=2))

    listener = Listener()
    expected = [(change_id(1, 60), 1, 2)]
    async with bringing_out(second_database, listener) as products:
        match afterwards:
            case "recover":
                await store(products, observation(1, 60, stock=2))
            case "same answer":
                await store(products, observation(1, 60, stock=2))
            case "newer answer":
                await store(products, observation(1, 60, stock=2), observation(1, 120, stock=3))
                expected.append((change_id(1, 120), 2, 3))
            case "older answer":
                await store(products, observation(1, 30, stock=1), observation(1, 60, stock=2))
    assert await changes(database) == expected
    assert listener.heard == [change[0] for change in expected]
    assert await pending(database) == 0


async def test_pending_changes_go_out_with_a_later_answer_that_changes_nothing(
    database: Database,
) -> None:
    await store(ProductStore(database, Outbox(database)), observation(1, 0, stock=1))
    await store_until_it_crashes(database, 2, observation(1, 60, stock=2))
    assert await changes(database) == []
    products = ProductStore(database, Outbox(database))
    assert await store(products, observation(1, 120, stock=2)) == ["unchanged"]
    assert await changes(database) == [(change_id(1, 60), 1, 2)]
    assert await pending(database) == 0


async def test_a_channel_that_is_shut_holds_up_neither_products_nor_other_channels(
    database: Database,
) -> None:
    await store(ProductStore(database, Outbox(database)), observation(1, 0, stock=1))
    shut, other = Listener(shut=True), Listener()
    async with bringing_out(database, shut, other) as products:
        assert await store(products, observation(1, 60, stock=2)) == ["changed"]
        await shut.asked.wait()
        assert await store(products, observation(1, 120, stock=3)) == ["changed"]
        assert await store(products, observation(1, 180, stock=3)) == ["unchanged"]
    expected = [change_id(1, 60), change_id(1, 120)]
    assert (shut.told, other.heard) == ([], expected)
    assert [change[0] for change in await changes(database)] == expected
    assert await pending(database) == 1
    async with bringing_out(database, shut, other):  # at the next start
        shut.shut = False
    assert shut.heard == expected
    assert await pending(database) == 0


async def test_a_channel_that_opens_again_gets_all_within_the_crawl(database: Database) -> None:
    ids = range(450)
    await store(
        ProductStore(database, Outbox(database)), *(observation(each, 0, stock=1) for each in ids)
    )
    listener = Listener(shut=True)
    async with bringing_out(database, listener) as products:
        await store(products, *(observation(each, 60, stock=2) for each in ids))
        await listener.asked.wait()
        listener.shut = False
        await listener.has(450)


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
    async with bringing_out(database, listener):
        pass
    assert sorted(listener.told) == sorted(change_id(number, 60) for number in range(450))
    assert await database["product_changes"].count_documents({}) == 450
    assert await pending(database) == 0


@pytest.mark.parametrize("channels", [[], [Listener()]])
async def test_changes_that_the_history_refuses_stay_and_hold_up_nothing(
    database: Database, caplog: pytest.LogCaptureFixture, channels: list[Listener]
) -> None:
    await database.create_collection("product_changes", validator={"new": {"$lt": 100}})
    await store(
        ProductStore(database, Outbox(database)),
        *(observation(each, 0, stock=1) for each in range(3)),
    )
    kept: list[int] = []
    async with bringing_out(database, *channels, kept=kept.append) as products:
        stored = await store(
            products, *(observation(each, 60, stock=99 + each) for each in range(3))
        )
        assert stored == ["changed"] * 3
    recorded = [change_id(0, 60)]
    assert [change[0] for change in await changes(database)] == recorded
    assert all(channel.heard == recorded for channel in channels)
    assert await pending(database) == 2
    assert sum(kept) >= 2
    [message] = caplog.messages
    assert message.startswith("product_changes takes no changes: ")
    assert message.endswith("; products go on, changes are kept")
    await database.command("collMod", "product_changes", validator={})
    async with bringing_out(database, *channels):
        pass
    assert await database["product_changes"].count_documents({}) == 3
    assert await pending(database) == 0


async def test_an_unexpected_error_is_logged_and_changes_go_out_all_the_same(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    class Defective(Listener):
        async def deliver(self, changes: Sequence[Change]) -> bool:
            if not self.asked.is_set():
                self.asked.set()
                raise ZeroDivisionError
            return await super().deliver(changes)

    listener = Defective()
    async with bringing_out(database, listener) as products:
        await store(products, observation(1, 0, stock=1))
        await store(products, observation(1, 60, stock=2))
    assert listener.told == [change_id(1, 60)]
    assert caplog.messages == ["Changes stay pending; trying again"]
