"""A database whose reads are counted, and the pages of products over it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener

from ali1688_spider.dashboard.access import Access
from ali1688_spider.dashboard.product_pages import ProductPages
from ali1688_spider.storage.database import CODEC_OPTIONS, ensure_indexes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent

    from ali1688_spider.storage.database import Database

    Pages = TestClient[web.Request, web.Application]


class Reads(CommandListener):
    """What was asked of a database.

    Attributes:
        finds: The commands that read documents.
        returned: How many documents came, by collection.
    """

    def __init__(self) -> None:
        self.finds: list[dict[str, Any]] = []
        self.returned: Counter[str] = Counter()

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "find":
            self.finds.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.command_name in {"find", "getMore"}:
            cursor = event.reply["cursor"]
            documents = cursor.get("firstBatch", cursor.get("nextBatch", ()))
            self.returned[cursor["ns"].partition(".")[2]] += len(documents)

    def failed(self, event: CommandFailedEvent) -> None:
        pass

    def check_bounds(self) -> None:
        """Check that each read says how much it reads at most."""
        for find in self.finds:
            is_by_ids = "_id" in find["filter"]
            assert is_by_ids or (find["limit"] > 0 and find["maxTimeMS"] > 0), find


@pytest.fixture
def reads() -> Reads:
    return Reads()


@pytest_asyncio.fixture
async def database(mongo_uri: str, mongo_database: str, reads: Reads) -> AsyncIterator[Database]:
    client = AsyncMongoClient[dict[str, Any]](mongo_uri, event_listeners=[reads])
    database = client.get_database(mongo_database, codec_options=CODEC_OPTIONS)
    await ensure_indexes(database, 0)
    yield database
    reads.check_bounds()
    await client.close()


def pages_of(database: Database | None) -> AbstractAsyncContextManager[Pages]:
    """Serve the pages of products as the dashboard does."""
    app = web.Application(middlewares=[Access.of("127.0.0.1", "", []).middleware])
    ProductPages(database).add_to(app)
    return TestClient(TestServer(app))


@pytest_asyncio.fixture
async def pages(database: Database) -> AsyncIterator[Pages]:
    async with pages_of(database) as pages:
        yield pages
