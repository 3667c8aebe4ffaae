"""Reads what changed in the last hours, with the figures of the report, and what changed last."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from ali1688_spider.dashboard.newest import read_newest
from ali1688_spider.dashboard.product_history import (
    CHANGE_FIELDS,
    PRIVATE_FIELDS,
    SHOWN_CHANGES,
)
from ali1688_spider.dashboard.product_search import LISTED, listed
from ali1688_spider.reporting.change_summary import ProductCounter, count_changes
from ali1688_spider.reporting.figures import Event, Period, PriceMove
from ali1688_spider.storage.database import PRODUCT_CHANGES, PRODUCTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ali1688_spider.reporting.figures import ChangeFigures, Document
    from ali1688_spider.storage.database import Database

MOST_COUNTED = 50_000
"""The changes that are counted at most, the newest of a period."""
READ_SECONDS = 4.0
LATEST = 30
"""The changes that the overview shows."""
CANDIDATES = 2 * SHOWN_CHANGES
"""The changes among which are those that are shown; others may be of private prices."""

_Named = TypeVar("_Named", PriceMove, Event)


@dataclass(frozen=True, slots=True)
class ChangesOfPeriod:
    """What changed in the last hours.

    Attributes:
        period: The time that is counted; shorter than what was asked for, if *cut_at*.
        figures: The report's figures.
        newest: The last changes, at most :data:`SHOWN_CHANGES`, the latest first.
        products: The products that are named, by their ids, if they are stored.
        counted: How many changes were counted.
        cut_at: Changes before were too many to be counted; None: all of the period were.
    """

    period: Period
    figures: ChangeFigures
    newest: list[Document]
    products: dict[int, Document]
    counted: int
    cut_at: datetime | None


async def read_changes(database: Database, hours: int) -> ChangesOfPeriod:
    """Return what changed in the last *hours*, extended to the full hour before them.

    The prices of private products are left out.

    Raises:
        ExecutionTimeout: The database takes too long.
        PyMongoError: The database is away.
    """
    period = Period.last_hours(hours, datetime.now(UTC))
    newest = await read_newest(
        database[PRODUCT_CHANGES],
        {},
        "at",
        CHANGE_FIELDS,
        limit=MOST_COUNTED,
        since=period.start,
        seconds=READ_SECONDS,
    )
    if newest.cut_at:
        since = newest.cut_at.replace(minute=0, second=0, microsecond=0)
        period = Period(since, period.end, period.step)
    # Some may have come while this was being read.
    changes = [each for each in newest.documents if each["at"] <= period.end]
    figures = await asyncio.to_thread(_count, changes, period)
    moves: Iterable[Any] = chain(figures.drops, figures.rises, *figures.events.values())
    shown = changes[:CANDIDATES]
    ids = {each.product_id for each in moves} | {each["product_id"] for each in shown}
    products = await _named(database, ids)
    private = _private(products)
    return ChangesOfPeriod(
        period=period,
        figures=_without(private, figures),
        newest=_public(shown, private)[:SHOWN_CHANGES],
        products=products,
        counted=len(changes),
        cut_at=newest.cut_at,
    )


def _count(changes: list[Document], period: Period) -> ChangeFigures:
    # Sorting is stable: of each product the latest stay first.
    by_product = sorted(changes, key=itemgetter("product_id"))
    return count_changes(by_product, ProductCounter((), period), period)


async def latest_changes(database: Database) -> list[Document]:
    """Return the last changes, at most :data:`LATEST`, the latest first, with the products' names.

    Prices that are private now are left out. Raises as :func:`read_changes`.
    """
    changes = database[PRODUCT_CHANGES]
    newest = (await read_newest(changes, {}, "at", CHANGE_FIELDS, limit=LATEST)).documents
    products = await _named(database, {each["product_id"] for each in newest})
    names = {product_id: product["name"] for product_id, product in products.items()}
    public = _public(newest, _private(products))
    return [{**each, "name": names.get(each["product_id"])} for each in public]


async def _named(database: Database, ids: Collection[int]) -> dict[int, Document]:
    fields = dict.fromkeys((*LISTED, "price_private"), 1)
    found = database[PRODUCTS].find({"_id": {"$in": list(ids)}}, fields)
    return {each["_id"]: listed(each) for each in await found.to_list()}


def _private(products: Mapping[int, Document]) -> set[int]:
    return {product_id for product_id, each in products.items() if each.get("price_private")}


def _public(changes: Iterable[Document], private: set[int]) -> list[Document]:
    """Return those that are no private prices, with all their fields."""
    return [
        dict.fromkeys(CHANGE_FIELDS) | each
        for each in changes
        if each["product_id"] not in private or each["field"] not in PRIVATE_FIELDS
    ]


def _without(private: set[int], figures: ChangeFigures) -> ChangeFigures:
    """Return the figures without the prices of private products.

    To look up all products that changed would take too long. A product that becomes private has a
    last price of None, and so is no move anyway.
    """
    total = figures.total.copy()

    def public(kind: str, each: list[_Named]) -> list[_Named]:
        kept = [one for one in each if one.product_id not in private]
        total[kind] -= len(each) - len(kept)
        return kept

    return replace(
        figures,
        total=total,
        drops=public("cheaper", figures.drops),
        rises=public("dearer", figures.rises),
        events={
            kind: each if kind == "off sale" else public(kind, each)
            for kind, each in figures.events.items()
        },
    )
