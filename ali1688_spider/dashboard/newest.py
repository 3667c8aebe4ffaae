"""Reads the newest documents of a collection, with work that does not grow with the history."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Any

from pymongo import DESCENDING
from pymongo.errors import ExecutionTimeout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ali1688_spider.reporting.figures import Document
    from ali1688_spider.storage.database import Collection

FIRST_AGE = timedelta(hours=1)
OLDEST_AGE = timedelta(days=400)
OLDER = 6
BATCH = 5_000
READ_SECONDS = 2.5
"""How long a server may work on it."""
GRACE_SECONDS = 0.5
"""How much later its response may come."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest documents.

    Attributes:
        documents: The newest first.
        cut_at: The time before which there may be more of those that were asked for; None: these
            are all.
    """

    documents: list[Document]
    cut_at: datetime | None = None


async def read_newest(
    collection: Collection,
    query: Mapping[str, Any],
    time_field: str,
    fields: Iterable[str],
    *,
    limit: int,
    since: datetime | None = None,
    seconds: float = READ_SECONDS,
) -> Newest:
    """Return the newest documents that match, at most *limit*, those *since* a time.

    The last hour is read first, then older times, each longer than the one before, until there are
    enough. So a server that reads all of a time before it sorts and cuts, as the one of ``scrapy
    up`` does, is spared the history; and when *seconds* are over, what was read so far is all.

    Raises:
        ExecutionTimeout: Not even the last hour was read in that time.
        TimeoutError: The database did not answer at all in that time.
        PyMongoError: It is away.
    """
    projection = dict.fromkeys((*fields, time_field), 1)
    ends_at = time.monotonic() + seconds
    documents: list[Document] = []
    read_until = None
    for bounds, begin in _ages(time_field, since):
        wanted = limit - len(documents)
        cursor = collection.find({**query, **bounds}, projection).sort(time_field, DESCENDING)
        left = max(ends_at - time.monotonic(), 0.001)
        cursor = cursor.limit(wanted).batch_size(min(wanted, BATCH)).max_time_ms(ceil(1000 * left))
        try:
            async with asyncio.timeout(left + GRACE_SECONDS):
                documents += await cursor.to_list()
        except (ExecutionTimeout, TimeoutError):
            if read_until is None:
                raise
            return Newest(documents, read_until)
        if len(documents) >= limit:
            return Newest(documents, documents[-1].get(time_field))
        read_until = begin
    return Newest(documents)


def _ages(time_field: str, since: datetime | None) -> Iterator[tuple[Document, datetime | None]]:
    """Yield conditions that find all documents once, the newest first, and when each begins."""
    now, age = datetime.now(UTC), FIRST_AGE
    end: datetime | None = None
    while age < OLDEST_AGE and (since is None or since < now - age):
        begin = now - age
        yield {time_field: {"$gte": begin} | ({"$lt": end} if end else {})}, begin
        end, age = begin, age * OLDER
    if since is not None:
        yield {time_field: {"$gte": since} | ({"$lt": end} if end else {})}, since
    else:
        # Those without a time, too.
        yield {time_field: {"$not": {"$gte": end}}}, None
