"""Reads a report from the database, each collection as a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pymongo.database import Database

from ali1688_spider.exporting.rows import plain, row_of
from ali1688_spider.reporting.change_summary import count_changes, product_curves
from ali1688_spider.reporting.figures import (
    CrawlFigures,
    CrawlRow,
    ProductFigures,
    Report,
    ShownProduct,
)

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import Period, ProductCurves

    Document = dict[str, Any]

TOP = 100
CURVES = 8
CRAWLS = 50
BATCH = 5_000

PREFIX = "ali1688/"
ERRORS = "errors/"
NUMBERS = (
    *("calls", "cache/hit", "retries", "failed_calls"),
    *("items/stored", "items/changed", "items/unchanged", "items/rejected"),
)


def read_report(
    database: Database[Document],
    period: Period,
    *,
    product_ids: Sequence[int] = (),
    daily_quota: int,
) -> Report:
    """Return the report of a period, with the curves of *product_ids*.

    By default these are the products that changed most. A daily quota of 0 is no limit.
    """
    wanted = dict.fromkeys(("fetched_at", "first_seen_at", "stock", "price_private"), 1)
    products = product_figures(database["products"].find({}, wanted).batch_size(BATCH), period)
    changes = count_changes(
        _changes(database, period), period, private=products.private, top=TOP, most_changed=CURVES
    )
    ended = {"finished_at": {"$gte": period.start, "$lte": period.end}}
    chosen = list(product_ids) or changes.most_changed
    listed = [move.product_id for move in (*changes.drops, *changes.rises)]
    shown = _shown(database, {*listed, *chosen})
    return Report(
        period=period,
        products=products,
        changes=changes,
        shown=shown,
        curves=[
            _curves(database, shown[product_id], products.private, period)
            for product_id in chosen
            if product_id in shown
        ],
        missing=[product_id for product_id in chosen if product_id not in shown],
        crawls=crawl_figures(database["crawls"].find(ended).sort("finished_at", -1)),
        daily_quota=daily_quota,
    )


def product_figures(products: Iterable[Document], period: Period) -> ProductFigures:
    """Count the stored products."""
    figures = ProductFigures()
    for product in products:
        figures.total += 1
        fetched_at, first_seen_at = product.get("fetched_at"), product.get("first_seen_at")
        if fetched_at is not None and period.start <= fetched_at <= period.end:
            figures.collected += 1
            figures.collected_on[fetched_at.date()] += 1
        figures.new += first_seen_at is not None and first_seen_at >= period.start
        figures.out_of_stock += product.get("stock") == 0
        if product.get("price_private"):
            figures.private.add(product["_id"])
    return figures


def crawl_figures(documents: Iterable[Document], *, latest: int = CRAWLS) -> CrawlFigures:
    """Sum up crawls, the latest first, of which *latest* are kept one by one.

    Each is ``{spider, started_at, finished_at, reason, stats}``.
    """
    figures = CrawlFigures()
    for document in documents:
        crawl = _crawl(document)
        figures.count += 1
        figures.total.numbers.update(crawl.numbers)
        figures.total.errors.update(crawl.errors)
        figures.total.waited += crawl.waited
        if figures.count <= latest:
            figures.latest.append(crawl)
    return figures


def _crawl(document: Document) -> CrawlRow:
    stats = _part(document.get("stats") or {}, PREFIX)
    return CrawlRow(
        spider=document["spider"],
        started_at=document.get("started_at"),
        finished_at=document.get("finished_at"),
        reason=document.get("reason"),
        numbers=Counter({name: int(stats.get(name, 0)) for name in NUMBERS}),
        errors=Counter({name: int(value) for name, value in _part(stats, ERRORS).items()}),
        waited=float(stats.get("quota/wait_seconds", 0)),
    )


def _part(stats: Document, prefix: str) -> Document:
    """Return the statistics whose names begin with *prefix*, without it."""
    return {name[len(prefix) :]: stats[name] for name in stats if name.startswith(prefix)}


def _changes(database: Database[Document], period: Period, **filters: Any) -> Iterator[Document]:
    """Yield changes of the period, oldest first."""
    query = {"at": {"$gte": period.start, "$lte": period.end}, **filters}
    names = ("product_id", "sku_id", "field", "old", "new", "at")
    cursor = database["product_changes"].find(query, {**dict.fromkeys(names, 1), "_id": 0})
    for change in cursor.sort("at", 1).batch_size(BATCH):
        yield change | {"old": plain(change["old"]), "new": plain(change["new"])}


def _shown(database: Database[Document], product_ids: set[int]) -> dict[int, ShownProduct]:
    found = database["products"].find({"_id": {"$in": list(product_ids)}})
    names = ("name", "supplier", "price", "stock", "first_seen_at")
    return {
        row["product_id"]: ShownProduct(row["product_id"], *map(row.get, names))
        for row in map(row_of, found)
    }


def _curves(
    database: Database[Document], product: ShownProduct, private: set[int], period: Period
) -> ProductCurves:
    shown = {"stock"} if product.product_id in private else {"price", "stock"}
    changes = [
        change
        for change in _changes(database, period, product_id=product.product_id)
        if change.get("sku_id") is None and change["field"] in shown
    ]
    return product_curves(product, changes, period)
