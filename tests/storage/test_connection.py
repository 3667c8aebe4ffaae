from __future__ import annotations

import asyncio
import gc

import pymongo
import pytest

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.local_servers import free_port
from ali1688_spider.storage.connection import connect, greet
from ali1688_spider.storage.errors import StoreUnavailableError


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
    monkeypatch.setattr("ali1688_spider.storage.connection.SELECTION_SECONDS", 0.2)
    return free_port()


# The driver leaves it to the garbage collector to close what its monitor was about to open.
@pytest.mark.filterwarnings("ignore:Exception ignored in.*socket")
def test_nobody_answers(closed_port: int) -> None:
    async def explanation() -> str:
        database = connect(f"mongodb://user:s3cret@127.0.0.1:{closed_port}/", "ali1688")
        try:
            await greet(database)
        except StoreUnavailableError as error:
            return str(error)
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
    with pytest.raises(StoreUnavailableError) as error:
        await greet(database)
    await database.client.close()
    assert str(error.value).startswith(
        "MongoDB refuses the user name or the password: correct them in MONGO_URI"
    )
    assert "s3cret" not in str(error.value)
