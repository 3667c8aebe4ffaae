"""Reads stored products and changes: the database, the filters, and the streams that pass them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

import pymongo
from bson import Decimal128
from pymongo.database import Database
from scrapy.settings import BaseSettings

from ali1688_spider.config import read_setting
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.rows import CHANGE_COLUMNS, PRODUCT_COLUMNS

if TYPE_CHECKING:
    Document = dict[str, Any]

CONNECT_SECONDS = 5.0
BATCH = 500
IDS_AT_ONCE = 5_000
REMEMBERED = 100_000
ID_DIGITS = 18  # surely within 64 bit

_AGE = re.compile(r"(\d{1,6})([dh])")


@contextlib.contextmanager
def open_database(settings: BaseSettings) -> Iterator[Database[Document]]:
    """Connect to ``MONGO_DATABASE`` at ``MONGO_URI``; close the connection at the end.

    The times in its documents are in UTC.

    Raises:
        ConfigurationError: ``MONGO_URI`` is empty or cannot be read.
        PyMongoError: The database does not answer, now or while it is being read.
    """
    address = read_setting(settings, "MONGO_URI")
    if not address:
        raise ConfigurationError(
            "MONGO_URI is empty, so no products are stored: "
            "set it to the database's address, such as mongodb://localhost"
        )
    client: pymongo.MongoClient[Document] = pymongo.MongoClient(address, tz_aware=True)
    with client:
        with pymongo.timeout(min(CONNECT_SECONDS, client.options.server_selection_timeout)):
            client.admin.command("ping")
        yield client[read_setting(settings, "MONGO_DATABASE")]


def parse_time(text: str, *, now: datetime) -> datetime:
    """Return the time that *text* names, in UTC.

    It is ``2026-11-23``, ``2026-11-23T10:00:00Z`` or any other ISO 8601 form (without a zone: UTC),
    or an age before *now*: ``7d`` (days), ``24h`` (hours).

    Raises:
        ConfigurationError: It is in none of these forms.
    """
    try:
        if match := _AGE.fullmatch(text):
            number, unit = int(match[1]), match[2]
            return now - (timedelta(days=number) if unit == "d" else timedelta(hours=number))
        when = datetime.fromisoformat(text)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{text!r} is not a time: write a date such as 2026-11-23, a time such as "
            "2026-11-23T10:00:00Z, or an age such as 7d or 24h"
        ) from None


def product_query(
    *,
    statuses: Sequence[str] = (),
    category: str | None = None,
    supplier: str | None = None,
    updated_since: datetime | None = None,
    changed_since: datetime | None = None,
    min_price: Decimal | None = None,
    max_price: Decimal | None = None,
    in_stock: bool = False,
    private: bool = False,
) -> Document:
    """Return the query for the products that pass each filter that is given.

    A product has any of *statuses*; *category* is a number or a name; *updated_since* and
    *changed_since* are times of collection and of a change; *min_price* and *max_price* bound the
    lowest unit price, in CNY. With *private*, products whose price is private pass, too.
    """
    prices = {"$gte": min_price, "$lte": max_price}
    filters = {
        "status": statuses and {"$in": list(statuses)},
        "fetched_at": updated_since and {"$gte": updated_since},
        "changed_at": changed_since and {"$gte": changed_since},
        "price": {name: Decimal128(at) for name, at in prices.items() if at is not None},
        "stock": in_stock and {"$gt": 0},
        "price_private": not private and {"$ne": True},
    }
    query: Document = {name: wanted for name, wanted in filters.items() if wanted}
    if supplier is not None:
        query["supplier"] = supplier
    if category is not None:
        is_id = category.isdecimal() and len(category) <= ID_DIGITS
        query |= {"category_id": int(category)} if is_id else {"category_name": category}
    return query


def products(
    database: Database[Document], query: Document, ids: Iterable[int] | None = None
) -> Iterator[Document]:
    """Yield the products that match, in ascending order of their ids, from a server-side cursor.

    With *ids* only these, some thousands at once, in ascending order within each portion.
    """
    for portion in _portions(query, "_id", ids):
        cursor = database["products"].find(portion, dict.fromkeys(PRODUCT_COLUMNS, 1))
        yield from cursor.sort("_id", 1).batch_size(BATCH)


def changes(
    database: Database[Document], query: Document, since: datetime, ids: Iterable[int] | None = None
) -> Iterator[Document]:
    """Yield the changes since a time, oldest first, of the products that match.

    With *ids* only those of these products, some thousands at once.
    """
    passes: dict[int, bool] = {}
    for portion in _portions({"at": {"$gte": since}}, "product_id", ids):
        cursor = database["product_changes"].find(portion, dict.fromkeys(CHANGE_COLUMNS, 1))
        rows = cursor.sort("at", 1).batch_size(BATCH)
        while batch := list(islice(rows, BATCH)):
            if len(passes) > REMEMBERED:
                passes.clear()
            unknown = {row["product_id"] for row in batch} - passes.keys()
            passes |= _passing(database, query, unknown)
            yield from (row for row in batch if passes[row["product_id"]])


def _passing(database: Database[Document], query: Document, ids: set[int]) -> dict[int, bool]:
    """Return for each product whether it is stored and matches."""
    found = database["products"].find(query | {"_id": {"$in": list(ids)}}, {"_id": 1})
    passing = {product["_id"] for product in found}
    return {product_id: product_id in passing for product_id in ids}


def _portions(query: Document, key: str, ids: Iterable[int] | None) -> Iterator[Document]:
    """Yield *query* itself, or one for each portion of the ids, as a query's size is limited."""
    if ids is None:
        yield query
        return
    remaining = iter(ids)
    while portion := list(islice(remaining, IDS_AT_ONCE)):
        yield query | {key: {"$in": portion}}
