"""Reads one product: what is stored of it, its curves, its SKUs and its last changes."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ali1688_spider.dashboard.newest import read_newest
from ali1688_spider.dashboard.product_search import LISTED, listed
from ali1688_spider.reporting.change_summary import curves
from ali1688_spider.storage.database import PRODUCT_CHANGES, PRODUCTS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ali1688_spider.reporting.figures import Curve, Document, Period
    from ali1688_spider.storage.database import Database

MOST_READ = 5_000
"""The changes of a product that are read at most, the newest."""
SHOWN_CHANGES = 100
SHOWN_SKUS = 500
SKU_CURVES = 12
READ_MILLISECONDS = 2_500
CHANGE_FIELDS = ("product_id", "sku_id", "field", "old", "new", "percent", "min_quantity")
STEPS = {"price", "stock"}
"""What has a curve."""
PRIVATE_FIELDS = {"price", "promotion_price"}
"""What is not shown of a product whose prices are private."""

_DETAILS = (
    *("name_translated", "price_max", "price_tiers", "retail_price", "dropship_price"),
    *("price_private", "unit", "min_order_quantity", "seller_id", "first_seen_at"),
    *("category_id", "category_name", "ship_from", "sales_30d", "sales_total", "skus"),
)
_SKU = ("sku_id", "attributes", "price", "promotion_price", "stock")


@dataclass(frozen=True, slots=True)
class SkuHistory:
    """A SKU as it is stored, its last change, and its curves if it is one that changed most."""

    sku: Document
    last_change: Document | None
    curves: dict[str, Curve] | None = None


@dataclass(frozen=True, slots=True)
class ProductHistory:
    """What is shown of a product.

    Attributes:
        product: The stored product, with all fields that are shown.
        period: The time of the curves.
        curves: Its ``price`` and ``stock``.
        skus: At most :data:`SHOWN_SKUS` of its SKUs, in their order.
        sku_count: How many it has.
        changes: The last ones, at most :data:`SHOWN_CHANGES`, the latest first.
        read: How many changes were read.
        cut_at: Nothing is shown of the changes before, as they are too many; None: all were read.
    """

    product: Document
    period: Period
    curves: dict[str, Curve]
    skus: list[SkuHistory]
    sku_count: int
    changes: list[Document]
    read: int
    cut_at: datetime | None

    @property
    def sku_curves(self) -> list[SkuHistory]:
        """The SKUs that changed most in the period."""
        return [each for each in self.skus if each.curves]


async def read_product(
    database: Database, product_id: int, period: Period
) -> ProductHistory | None:
    """Return the history of a product, or None if it is not stored.

    Raises:
        ExecutionTimeout: The database takes too long.
        PyMongoError: The database is away.
    """
    fields = dict.fromkeys((*LISTED, *_DETAILS), 1)
    stored = await database[PRODUCTS].find_one(
        {"_id": product_id}, fields, max_time_ms=READ_MILLISECONDS
    )
    if stored is None:
        return None
    product = dict.fromkeys(_DETAILS) | listed(stored)
    newest = await read_newest(
        # By nothing else than its index has: any server then reads no more than it returns.
        database[PRODUCT_CHANGES],
        {"product_id": product_id},
        "at",
        CHANGE_FIELDS,
        limit=MOST_READ,
    )
    changes = [dict.fromkeys(CHANGE_FIELDS) | each for each in newest.documents]
    if product["price_private"]:
        changes = [each for each in changes if each["field"] not in PRIVATE_FIELDS]
    by_sku: defaultdict[Any, list[Document]] = defaultdict(list)
    for change in changes:
        by_sku[change["sku_id"]].append(change)
    begin = _begin(product, period, newest.cut_at)
    stored_skus = product["skus"] or []
    return ProductHistory(
        product=product,
        period=period,
        curves=curves(begin, _steps(by_sku[None], begin), product),
        skus=_skus(stored_skus[:SHOWN_SKUS], by_sku, begin),
        sku_count=len(stored_skus),
        changes=changes[:SHOWN_CHANGES],
        read=len(newest.documents),
        cut_at=newest.cut_at,
    )


def _begin(product: Document, period: Period, cut_at: datetime | None) -> datetime:
    """Return from when on a curve can be drawn."""
    times = (period.start, product["first_seen_at"], cut_at)
    return min(max(each for each in times if each is not None), period.end)


def _steps(changes: Iterable[Document], begin: datetime) -> list[Document]:
    """Return the changes of price and stock since a time, the oldest first."""
    steps = [each for each in changes if each["at"] >= begin and each["field"] in STEPS]
    return steps[::-1]


def _skus(
    stored: Iterable[Document], by_sku: dict[Any, list[Document]], begin: datetime
) -> list[SkuHistory]:
    skus = [dict.fromkeys(_SKU) | sku for sku in stored]
    own = {sku["sku_id"]: by_sku.get(sku["sku_id"], []) for sku in skus if sku["sku_id"]}
    steps = {sku_id: _steps(changes, begin) for sku_id, changes in own.items()}
    counts = Counter({sku_id: len(each) for sku_id, each in steps.items()})
    most_changed = {sku_id for sku_id, count in counts.most_common(SKU_CURVES) if count}
    return [
        SkuHistory(
            sku,
            last_change=next(iter(own.get(sku["sku_id"], ())), None),
            curves=curves(begin, steps[sku["sku_id"]], sku)
            if sku["sku_id"] in most_changed
            else None,
        )
        for sku in skus
    ]
