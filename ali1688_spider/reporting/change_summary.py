"""Sums up products and recorded changes: what changed in a period, and the curves of a product."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from heapq import nlargest
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ali1688_spider.items import REMOVED
from ali1688_spider.reporting.figures import (
    ChangeFigures,
    Curve,
    Event,
    PriceMove,
    ProductFigures,
)

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import Document, Period, Point

_T = TypeVar("_T")

MAX_POINTS = 120
TOP = 100
CURVES = 8
EVENTS = ("off sale", "promotion began", "promotion ended")
_AT = attrgetter("at")


class ProductCounter:
    """Counts the stored products, which come in ascending order of their ids."""

    def __init__(self, products: Iterable[Document], period: Period) -> None:
        self._products = iter(products)
        self._period = period
        self._figures = ProductFigures()
        self._next = next(self._products, None)

    def is_private(self, product_id: int) -> bool:
        """Return whether a product's price is private; to be asked in ascending order."""
        while (product := self._next) and not self._is_reached(product["_id"], product_id):
            self._count(product)
        return bool(product and product["_id"] == product_id and product.get("price_private"))

    def count_all(self) -> ProductFigures:
        """Return the figures of all products."""
        while self._next:
            self._count(self._next)
        return self._figures

    @staticmethod
    def _is_reached(stored_id: Any, product_id: int) -> bool:
        return isinstance(stored_id, int) and stored_id >= product_id  # others may store any id

    def _count(self, product: Document) -> None:
        period, figures = self._period, self._figures
        figures.total += 1
        fetched_at, first_seen_at = product.get("fetched_at"), product.get("first_seen_at")
        if fetched_at is not None and period.start <= fetched_at:
            # A crawl that is running may have been quicker than this report.
            figures.collected[period.bucket(min(fetched_at, period.end))] += 1
        figures.new += first_seen_at is not None and first_seen_at >= period.start
        figures.out_of_stock += product.get("stock") == 0
        figures.not_for_sale += product.get("available") is False
        self._next = next(self._products, None)


@dataclass(slots=True)
class _ProductChanges:
    """What the changes of one product come to.

    Attributes:
        ends: Its fields before the first change and after the last one.
        steps: How often its own price or stock changed.
        events: The latest of each kind.
        kinds: What happened to it in which bucket.
    """

    ends: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    steps: Counter[str] = field(default_factory=Counter)
    events: dict[str, Event] = field(default_factory=dict)
    kinds: set[tuple[datetime, str]] = field(default_factory=set)

    def add(self, change: Document, bucket: datetime, *, is_private: bool) -> None:
        """Add a change, of which all that are later have been added."""
        name = change["field"]
        self.kinds.add((bucket, "any"))
        is_hidden = is_private and name in {"price", "promotion_price"}
        if is_hidden or change.get("sku_id") is not None or is_of_tiers(change):
            return
        old, new = change["old"], change["new"]
        self.ends[name] = (old, self.ends.get(name, (old, new))[1])
        if name in {"price", "stock"}:
            self.steps[name] += 1
        for kind in _kinds(name, old, new):
            self.kinds.add((bucket, kind))
            if kind in EVENTS:
                price = None if kind == "off sale" else old if new is None else new
                self.events.setdefault(kind, Event(change["product_id"], change["at"], price))

    def end(self) -> None:
        """Drop what was undone: a product that came back, or was not on sale before."""
        if self.ends.get("available") != (True, False):
            self.events.pop("off sale", None)


class _Largest(Generic[_T]):
    """The *most* largest of all that was added, of equal ones the first."""

    def __init__(self, most: int, key: Callable[[_T], Any]) -> None:
        self._most, self._key = most, key
        self._kept: list[_T] = []

    def add(self, each: _T) -> None:
        self._kept.append(each)
        if len(self._kept) > 10 * self._most:
            self._kept = self.in_order()

    def in_order(self) -> list[_T]:
        """Return them, the largest first."""
        return nlargest(self._most, self._kept, key=self._key)


def count_changes(
    changes: Iterable[Document],
    products: ProductCounter,
    period: Period,
    *,
    top: int = TOP,
    most_changed: int = CURVES,
) -> ChangeFigures:
    """Count the changes of a period, in one pass and in memory that does not grow with them.

    They come product by product, in ascending order of the ids, the latest of each first. The
    prices of private *products* are left out; *top* drops, rises and events of each kind are kept,
    and the ids of *most_changed* products.
    """
    buckets = {each: Counter[str]() for each in period.buckets}
    total = Counter[str]()
    drops: _Largest[PriceMove] = _Largest(top, lambda move: -move.change)
    rises: _Largest[PriceMove] = _Largest(top, lambda move: move.change)
    events: dict[str, _Largest[Event]] = {each: _Largest(top, _AT) for each in EVENTS}
    busiest: _Largest[tuple[int, int, Decimal]] = _Largest(most_changed, itemgetter(1, 2))
    for product_id, its_changes in groupby(changes, key=itemgetter("product_id")):
        product, is_private = _ProductChanges(), products.is_private(product_id)
        for change in its_changes:
            product.add(change, period.bucket(change["at"]), is_private=is_private)
        product.end()
        total["any"] += 1
        for bucket, kind in product.kinds:
            buckets[bucket][kind] += 1
        for kind, event in product.events.items():
            total[kind] += 1
            events[kind].add(event)
        size = Decimal(0)
        for name, (old, new) in product.ends.items():
            total.update(kind for kind in _kinds(name, old, new) if kind not in EVENTS)
            if name == "price" and old and new and old != new:  # the ratio has a meaning
                move = PriceMove(product_id, old, new, product.steps["price"])
                size = abs(move.change)
                (drops if move.change < 0 else rises).add(move)
        if steps := product.steps.total():
            busiest.add((product_id, steps, size))
    for bucket, number in products.count_all().collected.items():
        buckets[bucket]["collected"] = number
    return ChangeFigures(
        buckets,
        total,
        drops=drops.in_order(),
        rises=rises.in_order(),
        events={kind: each.in_order() for kind, each in events.items()},
        most_changed=[product_id for product_id, _, _ in busiest.in_order()],
    )


def is_of_tiers(change: Document) -> bool:
    """Return whether prices of some quantities changed, and the lowest one, ``price``, did not."""
    return change.get("min_quantity") is not None


def _kinds(field: str, old: Any, new: Any) -> Iterator[str]:
    """Yield what happened to a product, in the words of :class:`ChangeFigures`."""
    if field == "price" and old is not None and new is not None and old != new:
        yield "cheaper" if new < old else "dearer"
    elif field == "stock":
        yield "stock"
        if old and new == 0:
            yield "sold out"
        elif old == 0 and new:
            yield "back in stock"
    elif field == "promotion_price" and (old is None) != (new is None):
        yield "promotion began" if old is None else "promotion ended"
    elif field == "available" and isinstance(old, bool) and isinstance(new, bool) and old != new:
        yield "back on sale" if new else "off sale"
    elif field == "status" and new == REMOVED and old not in (None, REMOVED):
        yield "removed"


def product_curves(
    product: Document, changes: Sequence[Document], period: Period
) -> dict[str, Curve]:
    """Return the curves of ``price`` and ``stock`` of a stored product.

    *changes* are its own, not those of its SKUs, oldest first.
    """
    begin = max(period.start, product["first_seen_at"] or period.start)
    return curves(begin, changes, product)


def curves(begin: datetime, changes: Sequence[Document], now: Document) -> dict[str, Curve]:
    """Return the curves of ``price`` and ``stock`` of a product or a SKU, which has them *now*."""
    steps = [each for each in changes if not is_of_tiers(each)]
    return {
        name: curve(begin, [each for each in steps if each["field"] == name], now[name])
        for name in ("price", "stock")
    }


def curve(begin: datetime, changes: Sequence[Document], now: Any) -> Curve:
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
