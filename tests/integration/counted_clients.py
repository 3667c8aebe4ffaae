"""Counts the clients that a worker opens: an extension that a test gives it by ``-s``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pymongo
import redis
from scrapy import signals

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from scrapy.crawler import Crawler

OPENED: Counter[str] = Counter()


def counted(name: str, initialise: Callable[..., None]) -> Callable[..., None]:
    def count_and_initialise(client: object, *arguments: Any, **options: Any) -> None:
        OPENED[name] += 1
        initialise(client, *arguments, **options)

    return count_and_initialise


for client_class in (redis.Redis, pymongo.AsyncMongoClient, pymongo.MongoClient):
    client_class.__init__ = counted(client_class.__name__, client_class.__init__)  # type: ignore[method-assign]


class CountedClients:
    """Leaves the numbers among the statistics."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        def leave() -> None:
            crawler.stats.set_value("test/clients", dict(OPENED))

        crawler.signals.connect(leave, signals.spider_closed, weak=False)
        return cls()
