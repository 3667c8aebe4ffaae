"""The newest documents of a collection, whatever else is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.dashboard.newest import read_newest
from tests.dashboard.shop import ago

if TYPE_CHECKING:
    from ali1688_spider.storage.database import Database
    from tests.dashboard.conftest import Reads

HOURS = (0.5, 0.9, 5, 30, 24 * 20, 24 * 100, 24 * 1000)


async def fill(database: Database) -> None:
    documents = [
        {"_id": n, "product_id": 1, "at": ago(hours=hours)} for n, hours in enumerate(HOURS)
    ]
    await database["product_changes"].insert_many([*documents, {"_id": 99, "product_id": 2}])


async def newest(database: Database, limit: int = 50, **options: Any) -> tuple[list[Any], Any]:
    query = options.pop("query", {})
    found = await read_newest(
        database["product_changes"], query, "at", ["product_id"], limit=limit, **options
    )
    return [each["_id"] for each in found.documents], found.cut_at


async def test_all_come_once_and_the_newest_first(database: Database) -> None:
    await fill(database)
    assert await newest(database) == ([0, 1, 2, 3, 4, 5, 6, 99], None)
    assert await newest(database, query={"product_id": 1}) == ([0, 1, 2, 3, 4, 5, 6], None)
    assert await newest(database, query={"product_id": 3}) == ([], None)


@pytest.mark.parametrize("limit", range(1, 8))
async def test_no_more_is_read_than_is_wanted(database: Database, reads: Reads, limit: int) -> None:
    await fill(database)
    ids, cut_at = await newest(database, limit)
    assert ids == list(range(limit))
    assert cut_at is not None
    document = await database["product_changes"].find_one({"_id": limit - 1})
    assert document is not None
    assert document["at"] == cut_at
    assert reads.returned["product_changes"] == limit + 1  # and the one of this test
    limits = [find["limit"] for find in reads.finds[:-1]]
    assert limits == sorted(limits, reverse=True)
    assert limits[0] == limit


@pytest.mark.parametrize(("hours", "count"), [(0.4, 0), (0.7, 1), (1, 2), (6, 3), (480.1, 5)])
async def test_older_ones_than_a_time_are_left_out(
    database: Database, hours: float, count: int
) -> None:
    await fill(database)
    ids, cut_at = await newest(database, since=ago(hours=hours))
    assert (ids, cut_at) == (list(range(count)), None)
