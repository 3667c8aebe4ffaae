"""A database that takes too long, or is away: the pages say so, in both languages."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import pytest_asyncio
from pymongo.errors import ExecutionTimeout

from ali1688_spider.dashboard.newest import read_newest
from ali1688_spider.local_servers import start_mongo
from ali1688_spider.storage.database import connect, ensure_indexes
from tests.dashboard.conftest import pages_of
from tests.dashboard.shop import BOTTLE, ago, shop
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from ali1688_spider.local_servers import Server
    from ali1688_spider.storage.database import Database

ADDRESSES = ("/products", "/products?q=a", f"/products/{BOTTLE}", "/changes")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that can be made slow."""
    folder: Path = tmp_path_factory.mktemp("mongo")
    server = start_mongo(folder, port=free_port(), arguments=["--enable-test-commands"])
    yield server
    server.kill()


@pytest_asyncio.fixture
async def database(server: Server, mongo_database: str) -> AsyncIterator[Database]:
    database = connect(server.url, mongo_database)
    await ensure_indexes(database, 0)
    products, changes = shop()
    await database["products"].insert_many(products)
    await database["product_changes"].insert_many(changes)
    yield database
    await database.client.close()


@contextmanager
def slow(server: Server, *, after: int, times: int = 99) -> Iterator[None]:
    """Have so many reads take too long, after the first ones."""
    data = {"failCommands": ["find"], "errorCode": 50}
    with pymongo.MongoClient[dict[str, Any]](server.url) as client:
        mode = {"skip": after, "times": times}
        client.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)
        try:
            yield
        finally:
            client.admin.command("configureFailPoint", "failCommand", mode="off")


async def test_when_time_is_over_what_was_read_is_all(server: Server, database: Database) -> None:
    changes = database["product_changes"]
    with slow(server, after=2):
        found = await read_newest(changes, {}, "at", ["field"], limit=5000)
    assert found.cut_at is not None
    assert ago(hours=6.1) < found.cut_at < ago(hours=5.9)
    at = {"$gte": found.cut_at}
    assert len(found.documents) == await changes.count_documents({"at": at}) > 5


async def test_when_nothing_can_be_read_in_time_it_fails(
    server: Server, database: Database
) -> None:
    with slow(server, after=0), pytest.raises(ExecutionTimeout):
        await read_newest(database["product_changes"], {}, "at", ["field"], limit=50)


async def test_a_search_says_how_far_it_came(server: Server, database: Database) -> None:
    async with pages_of(database) as pages:
        with slow(server, after=2):
            response = await pages.get("/products?q=nothing")
        html = await response.text()
    assert response.status == 200
    assert "The search takes too long: search by id. Only products that changed since " in html
    assert "搜索耗时过长，请按编号搜索。仅查找了自 " in html


async def test_a_search_that_comes_nowhere_says_so(server: Server, database: Database) -> None:
    async with pages_of(database) as pages:
        with slow(server, after=0):
            response = await pages.get("/products?q=nothing")
        html = await response.text()
        assert response.status == 503
        assert ">The search takes too long: search by id.</" in html
        assert 'value="nothing"' in html
        assert (await pages.get(f"/products?q={BOTTLE}")).status == 200


async def test_changes_that_are_not_all_counted(server: Server, database: Database) -> None:
    async with pages_of(database) as pages:
        with slow(server, after=2, times=1):
            response = await pages.get("/changes?hours=168")
        html = await response.text()
    recent = {"at": {"$gte": ago(hours=6)}}
    count = await database["product_changes"].count_documents(recent)
    assert response.status == 200
    assert f">There are too many changes: the last {count} are counted, those since " in html
    assert f"变化过多：仅统计最近 {count} 次，自 " in html


async def test_curves_that_do_not_reach_back(server: Server, database: Database) -> None:
    async with pages_of(database) as pages:
        with slow(server, after=3, times=1):
            response = await pages.get(f"/products/{BOTTLE}")
        html = await response.text()
    recent = {"product_id": BOTTLE, "at": {"$gte": ago(hours=6)}}
    count = await database["product_changes"].count_documents(recent)
    assert response.status == 200
    assert f">There are too many changes: the curves show the last {count}, those since " in html
    assert "Price now ¥12.50, lowest ¥12.50, highest ¥13.00" in html


@pytest.mark.parametrize("address", ADDRESSES[2:])
async def test_a_page_that_takes_too_long(server: Server, database: Database, address: str) -> None:
    async with pages_of(database) as pages:
        with slow(server, after=0):
            response = await pages.get(address)
        html = await response.text()
        assert response.status == 503
        assert "MongoDB takes too long to answer: choose a shorter time, or try again." in html
        assert "MongoDB 响应过慢" in html
        assert (await pages.get(address)).status == 200


# The driver leaves it to the garbage collector to close what its monitor was about to open.
@pytest.mark.filterwarnings("ignore:Exception ignored in.*socket")
@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr("ali1688_spider.storage.database.SELECTION_SECONDS", 0.2)
    away = connect(f"mongodb://user:s3cret@127.0.0.1:{free_port()}/", "ali1688")
    async with pages_of(away) as pages:
        response = await pages.get(address)
        html = await response.text()
    await away.client.close()
    assert response.status == 503
    assert "MongoDB is away, so there are no products to show." in html
    assert "MongoDB 不可用，无法显示商品。" in html
    assert '<nav aria-label="Pages"' in html
    assert "s3cret" not in html
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_no_database_at_all(address: str) -> None:
    async with pages_of(None) as pages:
        response = await pages.get(address)
        html = await response.text()
    assert response.status == 200
    assert "No products are stored here, because MONGO_URI is empty: set it to " in html
    assert "MONGO_URI 为空，未保存任何商品" in html
