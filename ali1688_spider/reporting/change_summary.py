"""Sums up the recorded changes: what changed in a period, and the curves of a product."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from heapq import nlargest, nsmallest
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ali1688_spider.items import REMOVED
from ali1688_spider.reporting.figures import ChangeFigures, Curve, PriceMove, ProductCurves

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import Period, Point, ShownProduct

    Change = dict[str, Any]

MAX_POINTS = 120


def count_changes(
    changes: Iterable[Change],
    period: Period,
    *,
    private: set[int],
    top: int,
    most_changed: int,
) -> ChangeFigures:
    """Count the changes of a period, in one pass.

    Memory grows with the number of products that changed, not with the number of changes, which
    are plain values, oldest first. The prices of *private* products are left out; *top* drops and
    rises are kept, and the ids of *most_changed* products.
    """
    figures = ChangeFigures(days={day: Counter() for day in period.days})
    products: defaultdict[int, _Product] = defaultdict(_Product)
    for day, changes_of_day in groupby(changes, key=lambda change: change["at"].date()):
        affected: defaultdict[str, set[int]] = defaultdict(set)
        for change in changes_of_day:
            product_id = change["product_id"]
            kinds = products[product_id].add(change, shows_price=product_id not in private)
            for kind in kinds:
                affected[kind].add(product_id)
        figures.days[day].update({kind: len(ids) for kind, ids in affected.items()})
    for product in products.values():
        product.count_into(figures)
    _rank(products, figures, top, most_changed)
    return figures


def product_curves(
    product: ShownProduct, changes: Sequence[Change], period: Period
) -> ProductCurves:
    """Return the curves of a product that is stored, from its own changes, oldest first."""
    begin = max(period.start, product.first_seen_at or period.start)
    prices = [change for change in changes if change["field"] == "price"]
    stocks = [change for change in changes if change["field"] == "stock"]
    return ProductCurves(
        product, curve(begin, prices, product.price), curve(begin, stocks, product.stock)
    )


def curve(begin: datetime, changes: Sequence[Change], now: Any) -> Curve:
    """Return the curve from *begin* of a value that is *now* where nothing changed."""
    if not changes:
        return Curve([(begin, now)], total=1)
    first = (min(begin, changes[0]["at"]), changes[0]["old"])
    points = [first, *((change["at"], change["new"]) for change in changes)]
    return Curve(_thinned(points), total=len(points))


def _thinned(points: list[Point]) -> list[Point]:
    """Return at most :data:`MAX_POINTS` points: the ends, and the extremes of each stretch.

    Every peak and every low stays. A time without a value inside a stretch is left out.
    """
    if len(points) <= MAX_POINTS:
        return points
    stretches = (MAX_POINTS - 2) // 2
    inner = points[1:-1]
    kept = [points[0]]
    for number in range(stretches):
        begin, end = (len(inner) * n // stretches for n in (number, number + 1))
        known = [(value, at) for at, value in inner[begin:end] if value is not None]
        if known:
            kept += sorted({(at, value) for value, at in (min(known), max(known))})
    return [*kept, points[-1]]


class _Product:
    """One product's changes: each field before the first and after the last one."""

    __slots__ = ("_after", "_before", "changes", "steps")

    def __init__(self) -> None:
        self.changes = 0  # including those of SKUs
        self.steps = Counter[str]()  # of its own price and stock
        self._before: dict[str, Any] = {}
        self._after: dict[str, Any] = {}

    def add(self, change: Change, *, shows_price: bool) -> tuple[str, ...]:
        """Add the next change; return which numbers of its day count the product."""
        self.changes += 1
        name, old, new = change["field"], change["old"], change["new"]
        if change.get("sku_id") is not None or (name == "price" and not shows_price):
            return ("any",)
        self._before.setdefault(name, old)
        self._after[name] = new
        if name in {"price", "stock"}:
            self.steps[name] += 1
        if name == "stock":
            return ("any", "stock")
        if name == "price" and old is not None and new is not None:
            return ("any", "cheaper" if new < old else "dearer")
        return ("any",)

    def count_into(self, figures: ChangeFigures) -> None:
        """Add how the product differs at the end of the period."""
        figures.changes += self.changes
        figures.changed += 1
        old, new = self._before.get("price"), self._after.get("price")
        if old is not None and new is not None:
            figures.cheaper += new < old
            figures.dearer += new > old
        figures.sold_out += self._became("stock", 0)
        figures.back_in_stock += self._before.get("stock") == 0 and bool(self._after["stock"])
        figures.removed += self._became("status", REMOVED)

    def price_move(self, product_id: int) -> PriceMove | None:
        """Return how the price differs at the end, unless the ratio is 1 or has no meaning."""
        old, new = self._before.get("price"), self._after.get("price")
        if not old or not new or old == new:
            return None
        return PriceMove(product_id, old, new, self.steps["price"])

    def _became(self, name: str, value: object) -> bool:
        before = self._before.get(name)
        return before is not None and before != value and self._after[name] == value


def _rank(
    products: dict[int, _Product], figures: ChangeFigures, top: int, most_changed: int
) -> None:
    ordered = sorted(products.items())
    moves = [move for product_id, product in ordered if (move := product.price_move(product_id))]
    sizes = {move.product_id: move.change for move in moves}
    figures.drops = nsmallest(top, (m for m in moves if m.change < 0), key=attrgetter("change"))
    figures.rises = nlargest(top, (m for m in moves if m.change > 0), key=attrgetter("change"))
    figures.most_changed = nlargest(
        most_changed,
        (product_id for product_id, product in ordered if product.steps),
        key=lambda product_id: (products[product_id].steps.total(), abs(sizes.get(product_id, 0))),
    )
