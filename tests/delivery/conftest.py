"""A database, a Redis client and changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from redis import Redis

from ali1688_spider.storage.database import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ali1688_spider.storage.database import Database


@pytest_asyncio.fixture
async def database(mongo_uri: str, mongo_database: str) -> AsyncIterator[Database]:
    database = connect(mongo_uri, mongo_database)
    yield database
    await database.client.close()


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client
