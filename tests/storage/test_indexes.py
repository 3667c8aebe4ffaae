from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pymongo.errors import OperationFailure

from ali1688_spider.storage.errors import explain
from ali1688_spider.storage.indexes import ensure_indexes

if TYPE_CHECKING:
    from ali1688_spider.storage.connection import Database

HISTORY = ("product_changes", "rejected_items", "failed_calls")


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
