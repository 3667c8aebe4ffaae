"""Sums up the recorded changes: what changed in a period, and the curves of a product."""

from __future__ import annotations

from collections import Counter, defaultdict
from heapq import nlargest
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ali1688_spider.items import REMOVED
from ali1688_spider.reporting.figures import ChangeFigures, Curve, PriceMove, ProductCurves

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

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

    Memory grows with the number of products that changed, not with the number of changes.

    Args:
        changes: Those of the period as plain values, oldest first.
        period: The period.
        private: The products whose prices are left out.
        top: How many of the biggest drops, and of the biggest rises, are kept.
        most_changed: How many of the most changed products are kept.
    """
    figures = ChangeFigures(days={day: Counter() for day in period.days})
    products: defaultdict[int, _Product] = defaultdict(_Product)
    for day, changes_of_day in groupby(changes, key=_day):
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
    """Return the curves of a product in a period.

    Args:
        product: The product as it is stored now.
        changes: Its own changes of price and stock in the period, oldest first.
        period: The period.
    """
    begin = max(period.start, product.first_seen_at or period.start)
    steps: defaultdict[str, list[Change]] = defaultdict(list)
    for change in changes:
        steps[change["field"]].append(change)
    return ProductCurves(
        product,
        price=curve(begin, steps["price"], product.price),
        stock=curve(begin, steps["stock"], product.stock),
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
    """One product's changes: each field before the first and after the last one.

    Attributes:
        changes: How many there were, including those of SKUs.
        steps: How many there were of the product's own price and stock.
    """

    __slots__ = ("_after", "_before", "_price_changes", "changes", "steps")

    def __init__(self) -> None:
        self.changes = 0
        self.steps = 0
        self._price_changes = 0
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
        if name == "stock":
            self.steps += 1
            return ("any", "stock")
        if name == "price":
            self.steps += 1
            self._price_changes += 1
            if old is not None and new is not None:
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
        return PriceMove(product_id, old, new, self._price_changes)

    def _became(self, name: str, value: object) -> bool:
        before = self._before.get(name)
        return before is not None and before != value and self._after[name] == value


def _day(change: Change) -> date:
    day: date = change["at"].date()
    return day


def _rank(
    products: dict[int, _Product], figures: ChangeFigures, top: int, most_changed: int
) -> None:
    ordered = sorted(products.items())
    found = (product.price_move(product_id) for product_id, product in ordered)
    moves = [move for move in found if move is not None]
    sizes = {move.product_id: abs(move.change) for move in moves}

    def size(move: PriceMove) -> Any:
        return sizes[move.product_id]

    figures.drops = nlargest(top, (move for move in moves if move.change < 0), key=size)
    figures.rises = nlargest(top, (move for move in moves if move.change > 0), key=size)
    figures.most_changed = nlargest(
        most_changed,
        (product_id for product_id, product in ordered if product.steps),
        key=lambda product_id: (products[product_id].steps, sizes.get(product_id, 0)),
    )
