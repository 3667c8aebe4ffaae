"""Reads a report from the database, each collection as a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from pymongo.cursor import Cursor
from pymongo.database import Database

from ali1688_spider.exporting.rows import CHANGE_COLUMNS
from ali1688_spider.reporting.change_summary import count_changes, product_curves
from ali1688_spider.reporting.figures import CrawlFigures, ProductFigures, Report

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import Document, Period

CRAWLS = 50
BATCH = 5_000

SHOWN = (
    *("product_id", "name", "supplier", "price", "stock", "status", "url", "images"),
    *("fetched_at", "first_seen_at"),
)
"""The fields of the products that the page names."""


def read_report(
    database: Database[Document], period: Period, product_ids: Sequence[int] = ()
) -> Report:
    """Return the report of a period, with the curves of *product_ids*.

    By default these are the products that changed most. The database is one of
    :func:`~ali1688_spider.exporting.selection.open_database`.
    """
    wanted = dict.fromkeys(
        ("fetched_at", "first_seen_at", "stock", "available", "price_private"), 1
    )
    stored = database["products"].find({}, wanted).batch_size(BATCH)
    products = product_figures(stored, period)
    changes = count_changes(_changes(database, period), products, period)
    chosen = product_ids or changes.most_changed
    moved = [move.product_id for move in (*changes.drops, *changes.rises)]
    concerned = [event.product_id for event in chain(*changes.events.values())]
    named = {"_id": {"$in": list({*moved, *concerned, *chosen})}}
    shown = {
        product["_id"]: dict.fromkeys(SHOWN) | product
        for product in database["products"].find(named, dict.fromkeys(SHOWN, 1))
    }
    ended = {"finished_at": {"$gte": period.start, "$lte": period.end}}
    curves = {}
    for product_id in chosen:
        if product_id in shown:
            fields = ["stock"] if product_id in products.private else ["price", "stock"]
            of_it = {"product_id": product_id, "sku_id": None, "field": {"$in": fields}}
            steps = list(_changes(database, period, **of_it))
            curves[product_id] = product_curves(shown[product_id], steps, period)
    return Report(
        period=period,
        products=products,
        changes=changes,
        shown=shown,
        curves=curves,
        missing=[product_id for product_id in chosen if product_id not in shown],
        crawls=crawl_figures(database["crawls"].find(ended).sort("finished_at", -1)),
    )


def product_figures(products: Iterable[Document], period: Period) -> ProductFigures:
    """Count the stored products."""
    figures = ProductFigures()
    for product in products:
        figures.total += 1
        fetched_at, first_seen_at = product.get("fetched_at"), product.get("first_seen_at")
        if fetched_at is not None and period.start <= fetched_at:
            # A crawl that is running may have been quicker than this report.
            figures.collected[period.bucket(min(fetched_at, period.end))] += 1
        figures.new += first_seen_at is not None and first_seen_at >= period.start
        figures.out_of_stock += product.get("stock") == 0
        figures.not_for_sale += product.get("available") is False
        if product.get("price_private"):
            figures.private.add(product["_id"])
    return figures


def crawl_figures(documents: Iterable[Document], *, latest: int = CRAWLS) -> CrawlFigures:
    """Sum up crawls, the latest first, of which *latest* are kept one by one.

    Each is ``{spider, started_at, finished_at, reason, stats}``.
    """
    figures = CrawlFigures()
    for document in documents:
        numbers = _below("ali1688/", document["stats"])
        errors = _below("errors/", numbers)
        figures.count += 1
        figures.numbers.update(numbers)
        figures.errors.update(errors)
        if figures.count <= latest:
            figures.latest.append({**document, "numbers": numbers, "errors": errors})
    return figures


def _below(prefix: str, stats: Mapping[str, Any]) -> Counter[str]:
    """Return the statistics whose names begin with *prefix*, without it."""
    return Counter({name[len(prefix) :]: stats[name] for name in stats if name.startswith(prefix)})


def _changes(database: Database[Document], period: Period, **filters: Any) -> Cursor[Document]:
    """Return the changes of the period, oldest first."""
    query = {"at": {"$gte": period.start, "$lte": period.end}, **filters}
    cursor = database["product_changes"].find(query, dict.fromkeys(CHANGE_COLUMNS, 1))
    return cursor.sort("at", 1).batch_size(BATCH)
