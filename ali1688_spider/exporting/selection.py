"""Reads stored products and changes: the database, the filters, and the streams that pass them."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import pymongo
from bson import Decimal128
from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from pymongo.database import Database
from scrapy.settings import BaseSettings

from ali1688_spider.config import read_setting
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.rows import CHANGE_COLUMNS, PRODUCT_COLUMNS
from ali1688_spider.gateway.identifiers import product_url
from ali1688_spider.storage.changes import percent

if TYPE_CHECKING:
    Document = dict[str, Any]

CONNECT_SECONDS = 5.0
BATCH = 500
IDS_AT_ONCE = 5_000
REMEMBERED = 100_000
ID_DIGITS = 18  # surely within 64 bit

_AGE = re.compile(r"(\d{1,6})([dhm])")
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
_AMOUNT = re.compile(r"\d{1,16}(\.\d{1,18})?", re.ASCII)


class _DecimalDecoder(TypeDecoder):
    bson_type = Decimal128

    def transform_bson(self, value: Any) -> Any:
        return value.to_decimal()


READ_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True, tzinfo=UTC, type_registry=TypeRegistry([_DecimalDecoder()])
)
"""Amounts are read as ``Decimal``, times as aware UTC."""


@contextlib.contextmanager
def open_database(settings: BaseSettings) -> Iterator[Database[Document]]:
    """Connect to ``MONGO_DATABASE`` at ``MONGO_URI``; close the connection at the end.

    In its documents amounts are ``Decimal``, and times are in UTC.

    Raises:
        ConfigurationError: ``MONGO_URI`` is empty or cannot be read.
        PyMongoError: The database does not answer, now or while it is being read.
    """
    address = read_setting(settings, "MONGO_URI")
    if not address:
        raise ConfigurationError(
            "MONGO_URI is empty, so no products are stored: "
            "set it to the database's address, such as mongodb://localhost, "
            "or run scrapy up --write"
        )
    client: pymongo.MongoClient[Document] = pymongo.MongoClient(
        address, tz_aware=True, type_registry=TypeRegistry([_DecimalDecoder()])
    )
    with client:
        with pymongo.timeout(min(CONNECT_SECONDS, client.options.server_selection_timeout)):
            client.admin.command("ping")
        yield client[read_setting(settings, "MONGO_DATABASE")]


def parse_time(text: str, now: datetime | None = None) -> datetime:
    """Return the time that *text* names, in UTC.

    It is ``2026-11-23``, ``2026-11-23T10:00:00Z`` or any other ISO 8601 form (without a zone: UTC),
    or an age, by default before the present: ``7d`` (days), ``6h`` (hours), ``30m`` (minutes).

    Raises:
        ConfigurationError: It is in none of these forms.
    """
    try:
        if match := _AGE.fullmatch(text):
            return (now or datetime.now(UTC)) - int(match[1]) * _UNITS[match[2]]
        when = datetime.fromisoformat(text)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{text!r} is not a time: write a date such as 2026-11-23, a time such as "
            "2026-11-23T10:00:00Z, or an age such as 7d, 6h or 30m"
        ) from None


def product_query(options: argparse.Namespace) -> Document:
    """Return the query for the products that pass each filter in the options of ``scrapy export``.

    Raises:
        ConfigurationError: A time or an amount is none.
    """
    query: Document = {}
    for field, bound, text, read in (
        ("fetched_at", "$gte", options.updated_since, parse_time),
        ("changed_at", "$gte", options.changed_since, parse_time),
        ("price", "$gte", options.min_price, partial(_amount, "--min-price")),
        ("price", "$lte", options.max_price, partial(_amount, "--max-price")),
    ):
        if text is not None:
            query.setdefault(field, {})[bound] = read(text)
    if options.status:
        query["status"] = {"$in": options.status}
    if options.in_stock:
        query["stock"] = {"$gt": 0}
    if not options.private:
        query["price_private"] = {"$ne": True}
    if options.supplier is not None:
        query["supplier"] = options.supplier
    if (category := options.category) is not None:
        is_id = category.isdecimal() and len(category) <= ID_DIGITS
        query |= {"category_id": int(category)} if is_id else {"category_name": category}
    return query


def _amount(option: str, text: str) -> Decimal128:
    if not _AMOUNT.fullmatch(text):
        raise ConfigurationError(f"{option} is {text!r}: say an amount in CNY such as 12.50")
    return Decimal128(text)


def products(
    database: Database[Document], query: Document, ids: Iterable[int] | None = None
) -> Iterator[Document]:
    """Yield the products that match, in ascending order of their ids, from a server-side cursor.

    With *ids* only these, some thousands at once, in ascending order within each portion.
    """
    for portion in _portions(query, "_id", ids):
        cursor = database["products"].find(portion, dict.fromkeys(PRODUCT_COLUMNS, 1))
        for document in cursor.sort("_id", 1).batch_size(BATCH):
            yield _with_url(document, document)


def changes(
    database: Database[Document], query: Document, since: datetime, ids: Iterable[int] | None = None
) -> Iterator[Document]:
    """Yield the changes since a time, oldest first, of the products that match, with their names.

    With *ids* only those of these products, some thousands at once.
    """
    known: dict[int, Document | None] = {}
    for portion in _portions({"at": {"$gte": since}}, "product_id", ids):
        cursor = database["product_changes"].find(portion, dict.fromkeys(CHANGE_COLUMNS, 1))
        rows = cursor.sort("at", 1).batch_size(BATCH)
        while batch := list(islice(rows, BATCH)):
            if len(known) > REMEMBERED:
                known.clear()
            unknown = {row["product_id"] for row in batch} - known.keys()
            matching = query | {"_id": {"$in": list(unknown)}}
            found = database["products"].find(matching, {"name": 1, "url": 1})
            known |= dict.fromkeys(unknown) | {product["_id"]: product for product in found}
            for row in batch:
                if product := known[row["product_id"]]:
                    row["percent"] = percent(row["old"], row["new"])
                    yield _with_url({**row, "name": product.get("name")}, product)


def _with_url(row: Document, product: Document) -> Document:
    """Return *row* with the address of the product's page, by which a spreadsheet's rows are found.

    Excel rounds the ids of a CSV file when it saves it.
    """
    return {**row, "url": product.get("url") or product_url(product["_id"])}


def _portions(query: Document, key: str, ids: Iterable[int] | None) -> Iterator[Document]:
    """Yield *query* itself, or one for each portion of the ids, as a query's size is limited."""
    if ids is None:
        yield query
        return
    remaining = iter(ids)
    while portion := list(islice(remaining, IDS_AT_ONCE)):
        yield query | {key: {"$in": portion}}
