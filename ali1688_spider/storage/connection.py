"""The way to MongoDB: how the project connects, and what it checks first."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, TypeAlias

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.errors import PyMongoError

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.storage.errors import StoreUnavailableError, explain

if TYPE_CHECKING:
    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.asynchronous.database import AsyncDatabase

    Client: TypeAlias = AsyncMongoClient[dict[str, Any]]
    Collection: TypeAlias = AsyncCollection[dict[str, Any]]
    Database: TypeAlias = AsyncDatabase[dict[str, Any]]

SELECTION_SECONDS = 5
"""How long an operation looks for a server before it fails."""
ANSWER_SECONDS = 20
"""How long an operation waits for the server's answer before it fails."""

_CODEC_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, tzinfo=UTC)

_UNREADABLE = (
    "MONGO_URI cannot be read: write mongodb://user:password@host:27017/ with every special "
    "character of the user name and the password percent-encoded"
)


def connect(uri: str, database: str) -> Database:
    """Return the database, to which no connection is made yet.

    Times are read as aware UTC; a write counts once a majority of the replica set has it in its
    journal. The client is the result's ``client``: who calls this closes it.

    Args:
        uri: ``mongodb://`` or ``mongodb+srv://``.
        database: The database's name.

    Raises:
        ConfigurationError: *uri* cannot be read.
    """
    try:
        client: Client = AsyncMongoClient(
            uri,
            appname="ali1688-spider",
            serverMonitoringMode="poll",  # saves a connection; operations notice an outage anyway
            serverSelectionTimeoutMS=SELECTION_SECONDS * 1000,
            connectTimeoutMS=SELECTION_SECONDS * 1000,
            socketTimeoutMS=ANSWER_SECONDS * 1000,
        )
    except (PyMongoError, ValueError, TypeError):
        raise ConfigurationError(_UNREADABLE) from None
    return client.get_database(
        database, codec_options=_CODEC_OPTIONS, write_concern=WriteConcern("majority", j=True)
    )


async def greet(database: Database) -> None:
    """Check that the database answers.

    Raises:
        StoreUnavailableError: It does not; the text says what to do.
    """
    try:
        await database.command("ping")
    except PyMongoError as error:
        raise StoreUnavailableError(explain(error)) from error
