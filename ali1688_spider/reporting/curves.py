"""How price and stock of one product went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ali1688_spider.reporting.figures import Curve, ProductCurves, ShownProduct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from ali1688_spider.reporting.period import Period

Value = TypeVar("Value", "Decimal", int)

MAX_POINTS = 120


def product_curves(
    product: ShownProduct, changes: Sequence[dict[str, Any]], period: Period
) -> ProductCurves:
    """Return the curves of a product in a period.

    Args:
        product: The product as it is stored now.
        changes: Its own changes of price and stock in the period, oldest first.
        period: The period.
    """
    begin = period.start
    if product.first_seen_at is not None:
        begin = max(begin, product.first_seen_at)
    prices = [(row["at"], row["old"], row["new"]) for row in changes if row["field"] == "price"]
    stocks = [(row["at"], row["old"], row["new"]) for row in changes if row["field"] == "stock"]
    return ProductCurves(
        product,
        curve(begin, prices, product.price),
        curve(begin, stocks, product.stock),
    )


def curve(
    begin: datetime, changes: list[tuple[datetime, Value | None, Value | None]], now: Value | None
) -> Curve[Value]:
    """Return the curve of a value that changed from ``old`` to ``new`` at each time.

    Args:
        begin: Where the curve begins.
        changes: ``(at, old, new)``, oldest first.
        now: The value where nothing changed.
    """
    if not changes:
        return Curve([(begin, now)], 1)
    first = (min(begin, changes[0][0]), changes[0][1])
    points = [first, *((at, new) for at, _, new in changes)]
    return Curve(thinned(points, MAX_POINTS), len(points))


def thinned(
    points: list[tuple[datetime, Value | None]], most: int
) -> list[tuple[datetime, Value | None]]:
    """Return at most *most* of the points: the ends, and of each stretch its extremes.

    So every peak and every low stays, whatever is left out between them; a time without a value
    that lies inside a stretch is left out.
    """
    if len(points) <= most:
        return points
    stretches = (most - 2) // 2
    inner = points[1:-1]
    kept: list[tuple[datetime, Value | None]] = [points[0]]
    for number in range(stretches):
        begin, end = (len(inner) * n // stretches for n in (number, number + 1))
        known = [(value, at) for at, value in inner[begin:end] if value is not None]
        if known:
            kept += sorted({(at, value) for value, at in (min(known), max(known))})
    kept.append(points[-1])
    return kept
