"""The stored products and changes: the database that the settings name."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pymongo
from bson.errors import BSONError
from pymongo.errors import PyMongoError

from ali1688_spider.config import read_setting
from ali1688_spider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database
    from scrapy.settings import BaseSettings

CONNECT_SECONDS = 5.0


@contextlib.contextmanager
def stored(settings: BaseSettings) -> Iterator[Database[dict[str, Any]]]:
    """Connect to ``MONGO_DATABASE`` at ``MONGO_URI``, and close the connection at the end.

    Times that it answers have UTC as their zone.

    Raises:
        ConfigurationError: The setting is empty or wrong, or the database does not answer, now or
            while it is being read.
    """
    address = read_setting(settings, "MONGO_URI")
    if not address:
        raise ConfigurationError(
            "MONGO_URI is empty, so no products are stored: "
            "set it to the database's address, such as mongodb://localhost"
        )
    try:
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(address, tz_aware=True)
        with client:
            patience = min(CONNECT_SECONDS, client.options.server_selection_timeout)
            with pymongo.timeout(patience):
                client.admin.command("ping")
            yield client[read_setting(settings, "MONGO_DATABASE")]
    except (PyMongoError, BSONError) as error:
        raise ConfigurationError(
            f"the database at MONGO_URI does not answer as it should ({_first_line(error)}): "
            "check the address, and that the server runs"
        ) from error


def _first_line(error: Exception) -> str:
    """Return what went wrong without the driver's description of the whole topology."""
    first_line = str(error).partition("\n")[0]
    return first_line.partition(" (configured timeouts")[0].partition(", Timeout:")[0][:200]
