"""Reads a report from the database, each collection as a stream.

Products and changes are read side by side, in ascending order of the products' ids, so that nothing
has to be remembered of any but the present one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

from pymongo.cursor import Cursor
from pymongo.database import Database

from ali1688_spider.exporting.rows import CHANGE_COLUMNS
from ali1688_spider.reporting.change_summary import ProductCounter, count_changes, product_curves
from ali1688_spider.reporting.figures import CrawlFigures, Report
from ali1688_spider.reporting.formatting import minute
from ali1688_spider.storage.database import CRAWLS, SEEN_SECONDS

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import Document, Period

LATEST_CRAWLS = 50
BATCH = 5_000
SILENT_AFTER = timedelta(seconds=3 * SEEN_SECONDS)

SHOWN = (
    *("product_id", "name", "supplier", "price", "stock", "status", "url", "images"),
    *("fetched_at", "first_seen_at", "price_private"),
)
"""The fields of the products that the page names."""


def read_report(
    database: Database[Document], period: Period, product_ids: Sequence[int] = ()
) -> Report:
    """Return the report of a period, with the curves of *product_ids*.

    By default these are the products that changed most. The database is one of
    :func:`~ali1688_spider.exporting.selection.open_database`.
    """
    wanted = ("fetched_at", "first_seen_at", "stock", "available", "price_private")
    stored = database["products"].find({}, dict.fromkeys(wanted, 1)).sort("_id", 1)
    counter = ProductCounter(stored.batch_size(BATCH), period)
    # As the index of a product's history has them.
    by_product = _changes(database, period).sort([("product_id", 1), ("at", -1)])
    changes = count_changes(by_product.allow_disk_use(True), counter, period)
    chosen = product_ids or changes.most_changed
    moved = [move.product_id for move in (*changes.drops, *changes.rises)]
    concerned = [event.product_id for event in chain(*changes.events.values())]
    named = {"_id": {"$in": list({*moved, *concerned, *chosen})}}
    shown = {
        product["_id"]: dict.fromkeys(SHOWN) | product
        for product in database["products"].find(named, dict.fromkeys(SHOWN, 1))
    }
    curves = {}
    for product_id in chosen:
        if product_id in shown:
            is_private = shown[product_id]["price_private"]
            fields = ["stock"] if is_private else ["price", "stock"]
            of_it = {"product_id": product_id, "sku_id": None, "field": {"$in": fields}}
            steps = list(_changes(database, period, **of_it).sort("at", 1))
            curves[product_id] = product_curves(shown[product_id], steps, period)
    return Report(
        period=period,
        products=counter.count_all(),
        changes=changes,
        shown=shown,
        curves=curves,
        missing=[product_id for product_id in chosen if product_id not in shown],
        crawls=crawl_figures(_crawls(database, period)),
    )


def crawl_figures(documents: Iterable[Document], *, latest: int = LATEST_CRAWLS) -> CrawlFigures:
    """Sum up crawls, the latest first, of which *latest* are kept one by one.

    Each is ``{spider, started_at, finished_at, reason, state, stats}``.
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


def crawl_state(crawl: Document, now: datetime) -> str:
    """Return ``finished``, ``running``, or ``silent since …`` of a document of ``crawls``.

    A crawl that is silent was killed, or its machine or the database is away.
    """
    if "finished_at" in crawl:
        return "finished"
    if now - crawl["last_seen"] <= SILENT_AFTER:
        return "running"
    return f"silent since {minute(crawl['last_seen'])}"


def _crawls(database: Database[Document], period: Period) -> Iterator[Document]:
    """Yield the crawls that have not ended, then those that ended, the latest first.

    Those that have not ended have the time when they were last heard of as ``finished_at``, and
    their state as ``reason``.
    """
    within = {"$gte": period.start, "$lte": period.end}
    crawls = database[CRAWLS]
    unfinished = crawls.find({"finished_at": None, "last_seen": within}).sort("started_at", -1)
    for crawl in unfinished:
        state = crawl_state(crawl, period.end)
        yield {**crawl, "finished_at": crawl["last_seen"], "reason": state, "state": state}
    for crawl in crawls.find({"finished_at": within}).sort("finished_at", -1):
        yield {**crawl, "state": crawl_state(crawl, period.end)}


def _below(prefix: str, stats: Mapping[str, Any]) -> Counter[str]:
    """Return the statistics whose names begin with *prefix*, without it."""
    return Counter({name[len(prefix) :]: stats[name] for name in stats if name.startswith(prefix)})


def _changes(database: Database[Document], period: Period, **filters: Any) -> Cursor[Document]:
    """Return the changes of the period, in no order."""
    query = {"at": {"$gte": period.start, "$lte": period.end}, **filters}
    fields = dict.fromkeys((*CHANGE_COLUMNS, "min_quantity"), 1)
    cursor = database["product_changes"].find(query, fields)
    return cursor.batch_size(BATCH)
