"""Reads stored products and changes: the database, the filters, and the streams that pass them."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import pymongo
from bson import Decimal128

from ali1688_spider.config import read_setting
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.rows import CHANGE_COLUMNS, PRODUCT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from decimal import Decimal

    from pymongo.database import Database
    from scrapy.settings import BaseSettings

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

    Args:
        text: ``2026-11-23``, ``2026-11-23T10:00:00Z`` or any other ISO 8601 form (without a zone:
            UTC), or an age: ``7d`` (days), ``24h`` (hours).
        now: What an age is subtracted from.

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

    Args:
        statuses: Any of these statuses.
        category: The category, by its number or its name.
        supplier: The supplier's name.
        updated_since: Collected then or later.
        changed_since: Changed then or later.
        min_price: The lowest unit price is this or more, in CNY.
        max_price: The lowest unit price is this or less, in CNY.
        in_stock: The stock is above 0.
        private: Products whose price is private pass, too.
    """
    query: Document = {}
    if statuses:
        query["status"] = {"$in": list(statuses)}
    if category is not None:
        is_id = category.isdecimal() and len(category) <= ID_DIGITS
        query |= {"category_id": int(category)} if is_id else {"category_name": category}
    if supplier is not None:
        query["supplier"] = supplier
    if updated_since is not None:
        query["fetched_at"] = {"$gte": updated_since}
    if changed_since is not None:
        query["changed_at"] = {"$gte": changed_since}
    prices = {"$gte": min_price, "$lte": max_price}
    if limits := {name: Decimal128(at) for name, at in prices.items() if at is not None}:
        query["price"] = limits
    if in_stock:
        query["stock"] = {"$gt": 0}
    if not private:
        query["price_private"] = {"$ne": True}
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
    database: Database[Document],
    query: Document,
    since: datetime,
    ids: Iterable[int] | None = None,
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
