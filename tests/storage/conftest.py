"""A database of a test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from ali1688_spider.storage.database import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ali1688_spider.storage.database import Database


@pytest_asyncio.fixture
async def database(mongo_uri: str, mongo_database: str) -> AsyncIterator[Database]:
    database = connect(mongo_uri, mongo_database)
    yield database
    await database.client.close()


@pytest_asyncio.fixture
async def second_database(mongo_uri: str, mongo_database: str) -> AsyncIterator[Database]:
    """The same database through connections of its own, as another worker has them."""
    database = connect(mongo_uri, mongo_database)
    yield database
    await database.client.close()
