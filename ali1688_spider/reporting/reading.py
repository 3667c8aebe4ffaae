"""Reads a report's figures from the database, a stream of each collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ali1688_spider.exporting.rows import plain, row_of
from ali1688_spider.items import REMOVED
from ali1688_spider.reporting.crawls import crawl_figures
from ali1688_spider.reporting.curves import product_curves
from ali1688_spider.reporting.figures import ProductFigures, Report, ShownProduct
from ali1688_spider.reporting.tally import tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pymongo.database import Database

    from ali1688_spider.reporting.figures import CrawlFigures, ProductCurves
    from ali1688_spider.reporting.period import Period

    Document = dict[str, Any]

TOP = 100
CURVES = 8
CRAWLS = 50
BATCH = 5_000


def read_report(
    database: Database[Document],
    period: Period,
    *,
    product_ids: Sequence[int] = (),
    daily_quota: int,
) -> Report:
    """Return the report of a period.

    Args:
        database: With the collections ``products``, ``product_changes`` and ``crawls``.
        period: The period.
        product_ids: The products whose curves are shown; none: those that changed most.
        daily_quota: Calls allowed a day; 0 is no limit.
    """
    products = product_figures(_products(database), period)
    changes = tally(
        _changes(database, period), period, private=products.private, top=TOP, most_changed=CURVES
    )
    chosen = list(product_ids) or changes.most_changed
    listed = [move.product_id for move in (*changes.drops, *changes.rises)]
    shown = _shown(database, {*listed, *chosen})
    return Report(
        period=period,
        products=products,
        changes=changes,
        shown=shown,
        curves=list(_curves(database, [shown[n] for n in chosen if n in shown], products, period)),
        missing=[product_id for product_id in chosen if product_id not in shown],
        crawls=_crawls(database, period),
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
        figures.removed += product.get("status") == REMOVED
        if product.get("price_private"):
            figures.private.add(product["_id"])
    return figures


def _products(database: Database[Document]) -> Iterator[Document]:
    names = ("fetched_at", "first_seen_at", "stock", "status", "price_private")
    yield from database["products"].find({}, dict.fromkeys(names, 1)).batch_size(BATCH)


def _changes(database: Database[Document], period: Period, **filters: Any) -> Iterator[Document]:
    """Yield changes of the period, oldest first."""
    query = {"at": {"$gte": period.start, "$lte": period.end}, **filters}
    names = ("product_id", "sku_id", "field", "old", "new", "at")
    cursor = database["product_changes"].find(query, {**dict.fromkeys(names, 1), "_id": 0})
    for change in cursor.sort("at", 1).batch_size(BATCH):
        yield change | {"old": plain(change["old"]), "new": plain(change["new"])}


def _shown(database: Database[Document], product_ids: set[int]) -> dict[int, ShownProduct]:
    found = database["products"].find({"_id": {"$in": list(product_ids)}})
    return {
        row["product_id"]: ShownProduct(
            product_id=row["product_id"],
            name=row.get("name"),
            supplier=row.get("supplier"),
            price=row.get("price"),
            stock=row.get("stock"),
            first_seen_at=row.get("first_seen_at"),
        )
        for row in map(row_of, found)
    }


def _curves(
    database: Database[Document],
    products: list[ShownProduct],
    figures: ProductFigures,
    period: Period,
) -> Iterator[ProductCurves]:
    for product in products:
        fields = {"stock"} if product.product_id in figures.private else {"price", "stock"}
        steps = [
            change
            for change in _changes(database, period, product_id=product.product_id)
            if change.get("sku_id") is None and change["field"] in fields
        ]
        yield product_curves(product, steps, period)


def _crawls(database: Database[Document], period: Period) -> CrawlFigures:
    """Return the crawls that ended in the period."""
    ended = {"finished_at": {"$gte": period.start, "$lte": period.end}}
    return crawl_figures(database["crawls"].find(ended).sort("finished_at", -1), latest=CRAWLS)
