from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ali1688_spider.reporting.charts import HEIGHT, WIDTH, steps
from ali1688_spider.reporting.curves import MAX_POINTS, curve, product_curves
from ali1688_spider.reporting.figures import Curve, ShownProduct
from ali1688_spider.reporting.period import Period

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PERIOD = Period.last_days(10, NOW)
HOUR = timedelta(hours=1)


def shown(first_seen_at: datetime | None = None) -> ShownProduct:
    return ShownProduct(1, "裙", None, Decimal("9.90"), 5, first_seen_at)


def test_curve_begins_with_the_old_value() -> None:
    at = NOW - HOUR
    changes = [
        {"field": "price", "old": Decimal("12.50"), "new": Decimal("9.90"), "at": at},
        {"field": "stock", "old": 5, "new": None, "at": at},
    ]
    curves = product_curves(shown(), changes, PERIOD)
    assert curves.price.points == [(PERIOD.start, Decimal("12.50")), (at, Decimal("9.90"))]
    assert curves.stock.points == [(PERIOD.start, 5), (at, None)]


def test_curve_without_changes_is_what_is_stored() -> None:
    curves = product_curves(shown(), [], PERIOD)
    assert curves.price.points == [(PERIOD.start, Decimal("9.90"))]
    assert curves.stock.points == [(PERIOD.start, 5)]


def test_curve_of_a_new_product_begins_when_it_was_first_seen() -> None:
    first_seen_at = NOW - 5 * HOUR
    curves = product_curves(shown(first_seen_at), [], PERIOD)
    assert curves.price.points == [(first_seen_at, Decimal("9.90"))]


def test_long_curve_keeps_its_ends_and_extremes() -> None:
    chance = random.Random(3)
    values = [chance.randrange(10, 1000) for _ in range(5000)]
    values[1234], values[4321] = 1, 9999
    times = [PERIOD.start + number * timedelta(minutes=2) for number in range(5000)]
    long = curve(PERIOD.start, [(at, 0, v) for at, v in zip(times, values, strict=True)], None)
    assert long.total == 5001
    assert len(long.points) <= MAX_POINTS
    assert long.points == sorted(long.points)
    assert (long.points[0], long.points[-1]) == ((PERIOD.start, 0), (times[-1], values[-1]))
    assert {(times[1234], 1), (times[4321], 9999)} <= set(long.points)
    assert set(long.points[1:]) <= set(zip(times, values, strict=True))


def path(*points: tuple[datetime, int | None]) -> str | None:
    drawn = steps("label", Curve(list(points), len(points)), PERIOD, "stock").find("path")
    return None if drawn is None else drawn.get("d")


def test_line_holds_each_value_until_the_next() -> None:
    half = PERIOD.start + (PERIOD.end - PERIOD.start) / 2
    assert path((PERIOD.start, 0), (half, 10)) == f"M0.0 {HEIGHT - 4:.1f} H500.0 V4.0 H{WIDTH}"


def test_line_is_interrupted_where_nothing_is_known() -> None:
    quarter = (PERIOD.end - PERIOD.start) / 4
    times = [PERIOD.start + quarter * number for number in range(4)]
    values = (10, None, 0, None)
    assert path(*zip(times, values, strict=True)) == "M0.0 4.0 H250.0 M500.0 96.0 H750.0"


def test_line_that_never_moves_is_in_the_middle() -> None:
    assert path((PERIOD.start, 7)) == f"M0.0 50.0 H{WIDTH}"
    assert path((PERIOD.start, None)) is None
