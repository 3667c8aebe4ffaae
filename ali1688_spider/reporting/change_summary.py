"""Sums up the recorded changes: what changed in a period, and the curves of a product."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from heapq import nlargest, nsmallest
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ali1688_spider.items import REMOVED
from ali1688_spider.reporting.figures import ChangeFigures, Curve, Event, PriceMove

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import Document, Period, Point, ProductFigures

MAX_POINTS = 120
TOP = 100
CURVES = 8
EVENTS = ("off sale", "promotion began", "promotion ended")


def count_changes(
    changes: Iterable[Document],
    products: ProductFigures,
    period: Period,
    *,
    top: int = TOP,
    most_changed: int = CURVES,
) -> ChangeFigures:
    """Count the changes of a period, in one pass.

    Memory grows with the number of products that changed, not with the number of changes, which
    come oldest first. The prices of private products are left out; *top* drops, rises and events
    of each kind are kept, and the ids of *most_changed* products.
    """
    collected = products.collected
    buckets = {each: Counter({"collected": collected[each]}) for each in period.buckets}
    # Of each product its fields before the first and after the last change, and how often its own
    # price or stock changed.
    ends: defaultdict[int, dict[str, tuple[Any, Any]]] = defaultdict(dict)
    steps: defaultdict[int, Counter[str]] = defaultdict(Counter)
    events: dict[str, dict[int, Event]] = {kind: {} for kind in EVENTS}
    for bucket, changes_in_it in groupby(changes, key=lambda change: period.bucket(change["at"])):
        affected = set[tuple[int, str]]()
        for change in changes_in_it:
            product_id, field = change["product_id"], change["field"]
            fields = ends[product_id]
            affected.add((product_id, "any"))
            is_hidden = field in {"price", "promotion_price"} and product_id in products.private
            if is_hidden or change.get("sku_id") is not None:
                continue
            old, new = change["old"], change["new"]
            fields[field] = (fields.get(field, (old, new))[0], new)
            if field in {"price", "stock"}:
                steps[product_id][field] += 1
            kinds = list(_kinds(field, old, new))
            affected.update((product_id, kind) for kind in kinds)
            _record_events(events, kinds, change)
        buckets[bucket].update(kind for _, kind in affected)
    total = Counter({"any": len(ends)})
    moves: dict[int, PriceMove] = {}
    for product_id, fields in sorted(ends.items()):
        for field, (old, new) in fields.items():
            total.update(kind for kind in _kinds(field, old, new) if kind not in EVENTS)
            if field == "price" and old and new and old != new:  # the ratio has a meaning
                moves[product_id] = PriceMove(product_id, old, new, steps[product_id]["price"])
        if fields.get("available") != (True, False):
            events["off sale"].pop(product_id, None)  # it came back, or was not on sale before
    total.update({kind: len(each) for kind, each in events.items() if each})

    def importance(product_id: int) -> tuple[int, Decimal]:
        size = abs(moves[product_id].change) if product_id in moves else Decimal(0)
        return steps[product_id].total(), size

    ratio = attrgetter("change")
    return ChangeFigures(
        buckets,
        total,
        drops=nsmallest(top, (move for move in moves.values() if move.change < 0), key=ratio),
        rises=nlargest(top, (move for move in moves.values() if move.change > 0), key=ratio),
        events={
            kind: nlargest(top, each.values(), key=attrgetter("at"))
            for kind, each in events.items()
        },
        most_changed=nlargest(most_changed, sorted(steps), key=importance),
    )


def _record_events(
    events: dict[str, dict[int, Event]], kinds: Iterable[str], change: Document
) -> None:
    for kind in events.keys() & kinds:
        price = change["old"] if change["new"] is None else change["new"]
        event = Event(change["product_id"], change["at"], None if kind == "off sale" else price)
        events[kind][event.product_id] = event


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
    return {
        name: curve(begin, [each for each in changes if each["field"] == name], product[name])
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
