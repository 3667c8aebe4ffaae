from __future__ import annotations

import asyncio
import gc
import logging
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.storage.database import connect, ensure_indexes, mongo_retry
from ali1688_spider.storage.database_errors import explain
from tests.ports import free_port

if TYPE_CHECKING:
    from ali1688_spider.storage.database import Database

HISTORY = ("product_changes", "rejected_items", "failed_calls")


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://",
        "mongodb://user:s3cret@pass/word@host/",
        "mongodb://host:s3cret/",
    ],
)
def test_an_address_that_cannot_be_read(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^MONGO_URI cannot be read: write") as error:
        connect(uri, "ali1688")
    assert "s3cret" not in str(error.value)
    assert error.value.__suppress_context__


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("ali1688_spider.storage.database.SELECTION_SECONDS", 0.2)
    return free_port()


# The driver leaves it to the garbage collector to close what its monitor was about to open.
@pytest.mark.filterwarnings("ignore:Exception ignored in.*socket")
def test_nobody_answers(closed_port: int) -> None:
    async def explanation() -> str:
        database = connect(f"mongodb://user:s3cret@127.0.0.1:{closed_port}/", "ali1688")
        try:
            await ensure_indexes(database, 0)
        except PyMongoError as error:
            return explain(error)
        finally:
            await database.client.close()
        return "it answers"

    explained = asyncio.run(explanation())
    gc.collect()
    assert explained.startswith(f"MongoDB does not answer (127.0.0.1:{closed_port}: ")
    assert explained.endswith("): start it, or correct MONGO_URI")
    assert "s3cret" not in explained


@pytest.fixture
def uri_with_wrong_password(mongo_uri: str) -> str:
    host = pymongo.uri_parser.parse_uri(mongo_uri)["nodelist"][0]
    return f"mongodb://nobody:s3cret@{host[0]}:{host[1]}/"


async def test_a_wrong_password(uri_with_wrong_password: str) -> None:
    database = connect(uri_with_wrong_password, "ali1688")
    with pytest.raises(OperationFailure) as error:
        await ensure_indexes(database, 0)
    await database.client.close()
    explained = explain(error.value)
    assert explained.startswith(
        "MongoDB refuses the user name or the password: correct them in MONGO_URI"
    )
    assert "s3cret" not in explained


async def test_an_outage_is_waited_for_and_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    errors = [AutoReconnect("gone"), OperationFailure("No space left on device", 14031)]

    async def operation() -> int:
        if errors:
            raise errors.pop(0)
        return 42

    waits: list[None] = []
    assert await mongo_retry(on_wait=lambda: waits.append(None)).run(operation) == 42
    assert len(waits) == 2
    away, full, back = caplog.messages
    unavailable = "MongoDB is unavailable; retrying, nothing is lost."
    assert away == (f"{unavailable} MongoDB does not answer (gone): start it, or correct MONGO_URI")
    assert full == (
        f"{unavailable} MongoDB's disk is full: make room on it (No space left on device)"
    )
    assert back.startswith("MongoDB is back after ")
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR", "INFO"]


async def expiries(database: Database) -> list[Any]:
    return [
        (await database[name].index_information())["at_1"].get("expireAfterSeconds")
        for name in HISTORY
    ]


async def test_indexes_are_made_once(database: Database) -> None:
    for _ in range(2):
        await ensure_indexes(database, 0)
    assert set(await database["products"].index_information()) == {
        "_id_",
        "changed_at_-1",
        "category_id_1",
        "pending_changes._id_1",
    }
    assert set(await database["product_changes"].index_information()) == {
        "_id_",
        "product_id_1_at_-1",
        "field_1_percent_1_at_-1",
        "at_1",
    }
    indexes = set(await database["crawls"].index_information())
    assert indexes == {"_id_", "finished_at_-1_last_seen_-1"}
    assert await expiries(database) == [None, None, None]


async def test_retention_follows_the_setting(database: Database) -> None:
    for days, seconds in ((0, None), (30, 2_592_000), (0.5, 43_200), (0, None), (1, 86_400)):
        await ensure_indexes(database, days)
        assert await expiries(database) == [seconds] * 3


async def test_a_conflict_is_explained(database: Database) -> None:
    await database["products"].create_index([("category_id", 1)], unique=True)
    with pytest.raises(OperationFailure) as failure:
        await ensure_indexes(database, 0)
    assert explain(failure.value).startswith(
        "MongoDB has an index with the name or the fields of one of the project's, and with other "
        "options: drop it and start again ("
    )
