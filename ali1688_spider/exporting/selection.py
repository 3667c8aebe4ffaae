"""Which of the stored products and changes a file gets, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from bson import Decimal128

from ali1688_spider.exporting.rows import CHANGE_COLUMNS, PRODUCT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from decimal import Decimal

    from pymongo.database import Database

    Document = dict[str, Any]

BATCH = 500
IDS_AT_ONCE = 5_000
REMEMBERED = 100_000
ID_DIGITS = 18  # surely within 64 bit


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Filters; a product passes when it passes each that is given.

    Attributes:
        statuses: Any of these statuses.
        category: The category, by its number or its name.
        supplier: The supplier's name.
        updated_since: Collected then or later.
        changed_since: Changed then or later.
        min_price, max_price: The lowest unit price is in this range, in CNY.
        in_stock: Some are on sale.
        private: Products whose price is private pass, too.
    """

    statuses: tuple[str, ...] = ()
    category: str | None = None
    supplier: str | None = None
    updated_since: datetime | None = None
    changed_since: datetime | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    in_stock: bool = False
    private: bool = False

    def query(self) -> Document:
        """Return the filters as MongoDB takes them."""
        query: Document = {}
        if self.statuses:
            query["status"] = {"$in": list(self.statuses)}
        if self.category is not None:
            if self.category.isdecimal() and len(self.category) <= ID_DIGITS:
                query["category_id"] = int(self.category)
            else:
                query["category_name"] = self.category
        if self.supplier is not None:
            query["supplier"] = self.supplier
        if self.updated_since is not None:
            query["fetched_at"] = {"$gte": self.updated_since}
        if self.changed_since is not None:
            query["changed_at"] = {"$gte": self.changed_since}
        prices = {"$gte": self.min_price, "$lte": self.max_price}
        if limits := {name: Decimal128(at) for name, at in prices.items() if at is not None}:
            query["price"] = limits
        if self.in_stock:
            query["stock"] = {"$gt": 0}
        if not self.private:
            query["price_private"] = {"$ne": True}
        return query


def products(
    database: Database[Document], selection: Selection, ids: Iterable[int] | None = None
) -> Iterator[Document]:
    """Yield the products that pass, in ascending order of their ids, from a server-side cursor.

    Args:
        database: Where they are stored.
        selection: The filters.
        ids: Only these, some thousands at once, each time in ascending order; None: all.
    """
    query = selection.query()
    for chosen in _portions(query, ids):
        cursor = database["products"].find(chosen, dict.fromkeys(PRODUCT_COLUMNS, 1))
        yield from cursor.sort("_id", 1).batch_size(BATCH)


def count_products(database: Database[Document], selection: Selection) -> int:
    """Return how many products pass, whatever their ids."""
    return database["products"].count_documents(selection.query())


def changes(
    database: Database[Document],
    selection: Selection,
    since: datetime,
    ids: Iterable[int] | None = None,
) -> Iterator[Document]:
    """Yield the changes since a time, oldest first, of the products that pass.

    Args:
        database: Where they are stored.
        selection: The filters.
        since: The first moment that counts.
        ids: Only those of these products, some thousands at once; None: of all.
    """
    passes: dict[int, bool] = {}
    for chosen in _portions({"at": {"$gte": since}}, ids, key="product_id"):
        cursor = database["product_changes"].find(chosen, dict.fromkeys(CHANGE_COLUMNS, 1))
        rows = cursor.sort("at", 1).batch_size(BATCH)
        while batch := list(islice(rows, BATCH)):
            if len(passes) > REMEMBERED:
                passes.clear()
            unknown = {row["product_id"] for row in batch} - passes.keys()
            passes |= _passing(database, selection, unknown)
            yield from (row for row in batch if passes[row["product_id"]])


def _passing(database: Database[Document], selection: Selection, ids: set[int]) -> dict[int, bool]:
    """Tell of each product whether it passes; one that is not stored does not."""
    query = selection.query() | {"_id": {"$in": list(ids)}}
    passing = {found["_id"] for found in database["products"].find(query, {"_id": 1})}
    return {product_id: product_id in passing for product_id in ids}


def _portions(query: Document, ids: Iterable[int] | None, key: str = "_id") -> Iterator[Document]:
    """Yield *query* itself, or for each portion of the ids; one query has room for so many."""
    if ids is None:
        yield query
        return
    remaining = iter(ids)
    while portion := list(islice(remaining, IDS_AT_ONCE)):
        yield query | {key: {"$in": portion}}
