"""Where failed calls are kept: in the most lasting place that the settings offer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ali1688_spider.storage.connection import connect
from ali1688_spider.storage.file_failed_calls import FileFailedCallStore
from ali1688_spider.storage.mongo_failed_calls import MongoFailedCallStore
from ali1688_spider.storage.patience import Patience
from ali1688_spider.storage.redis_failed_calls import RedisFailedCallStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from ali1688_spider.config import Config
    from ali1688_spider.storage.failed_call import FailedCallStore

FOLDER = Path(".scrapy/ali1688")


def failed_call_store(
    config: Config,
    redis: Any = None,
    *,
    closing: Callable[[], bool] = lambda: False,
    folder: Path = FOLDER,
) -> FailedCallStore:
    """Return the store in MongoDB, without it in Redis, without both in a file.

    Args:
        config: Its ``mongo_uri`` decides.
        redis: The blocking client of ``REDIS_URL``, which stays open; None without Redis.
        closing: Tells whether the crawl wants to end, and no longer wait for the database.
        folder: Where the file lies.

    Raises:
        ConfigurationError: An address cannot be read.
    """
    if config.mongo_uri:
        database = connect(config.mongo_uri, config.mongo_database)
        return MongoFailedCallStore(database, Patience(closing=closing))
    if redis is not None:
        return RedisFailedCallStore(redis)
    return FileFailedCallStore(folder)
