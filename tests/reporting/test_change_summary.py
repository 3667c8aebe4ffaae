from __future__ import annotations

import random
import weakref
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ali1688_spider.reporting.change_summary import (
    MAX_POINTS,
    ProductCounter,
    count_changes,
    curve,
    product_curves,
)
from ali1688_spider.reporting.figures import Event, Period, PriceMove

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ali1688_spider.reporting.figures import ChangeFigures

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PERIOD = Period.last_days(2, NOW)
DAYS = [datetime(2026, 11, day, tzinfo=UTC) for day in (21, 22, 23)]


def change(product_id: int, old: Any, new: Any, *, hours: int = 1, **fields: Any) -> dict[str, Any]:
    kind = "price" if isinstance(old, str) or isinstance(new, str) else "stock"
    values = [Decimal(value) if isinstance(value, str) else value for value in (old, new)]
    return {
        "product_id": product_id,
        "sku_id": None,
        "field": kind,
        "old": values[0],
        "new": values[1],
        "at": NOW - timedelta(hours=hours),
        **fields,
    }


def counted(*changes: dict[str, Any], private: tuple[int, ...] = (), top: int = 9) -> ChangeFigures:
    ordered = sorted(changes, key=lambda each: (each["product_id"], NOW - each["at"]))
    seen: list[dict[str, Any]] = [{"_id": n, "fetched_at": DAYS[1]} for n in (-2, -1, 0)]
    stored = seen + [{"_id": each, "price_private": True} for each in sorted(private)]
    products = ProductCounter(stored, PERIOD)
    return count_changes(ordered, products, PERIOD, top=top, most_changed=2)


def test_period_begins_at_midnight() -> None:
    assert PERIOD.start == datetime(2026, 11, 21, tzinfo=UTC)
    assert PERIOD.buckets == DAYS
    assert [PERIOD.bucket(DAYS[1] + timedelta(hours=hours)) for hours in (0, 23)] == [DAYS[1]] * 2


def test_period_of_hours_begins_at_a_full_hour() -> None:
    period = Period.last_hours(2, NOW + timedelta(minutes=30))
    assert period.buckets == [NOW - timedelta(hours=hours) for hours in (2, 1, 0)]
    assert period.bucket(NOW - timedelta(minutes=1)) == NOW - timedelta(hours=1)
    assert Period.last_hours(2, NOW).buckets == period.buckets


def test_nothing() -> None:
    figures = counted()
    assert (figures.total, figures.drops, figures.rises) == (Counter(), [], [])
    assert list(figures.buckets) == DAYS
    assert [figures.buckets[day] for day in DAYS] == [Counter(), Counter(collected=3), Counter()]


def test_a_product_counts_by_its_first_and_last_price() -> None:
    figures = counted(
        change(1, "12.50", "20.00", hours=30),
        change(1, "20.00", "9.90", hours=2),
        change(2, "1.00", "2.00", hours=3),
        change(2, "2.00", "1.00", hours=2),
        change(3, "1.00", "1.01"),
    )
    assert figures.total == {"any": 3, "cheaper": 1, "dearer": 1}
    assert figures.drops == [PriceMove(1, Decimal("12.50"), Decimal("9.90"), 2)]
    assert figures.drops[0].change == Decimal("-0.208")
    assert figures.rises == [PriceMove(3, Decimal("1.00"), Decimal("1.01"), 1)]


def test_prices_of_larger_quantities_are_no_price_of_the_product() -> None:
    tiers = change(1, "8.00", "4.00", min_quantity=100)
    figures = counted(change(1, "10.00", "9.00", hours=3), tiers)
    assert figures.drops == [PriceMove(1, Decimal("10.00"), Decimal("9.00"), 1)]
    assert counted(tiers).total == {"any": 1}
    product = {"first_seen_at": None, "price": Decimal("9.00"), "stock": 1}
    points = product_curves(product, [tiers], PERIOD)["price"].points
    assert points == [(PERIOD.start, Decimal("9.00"))]


def test_days_count_products() -> None:
    figures = counted(
        change(1, "3.00", "2.00", hours=30),
        change(1, "2.00", "1.00", hours=29),
        change(1, "1.00", "2.00", hours=28),
        change(1, 5, 4, hours=28),
        change(2, "3.00", "2.00", hours=30),
        change(2, 0, 4, hours=1),
    )
    assert [figures.buckets[day] for day in DAYS] == [
        Counter(),
        Counter(any=2, cheaper=2, dearer=1, stock=1, collected=3),
        Counter({"any": 1, "stock": 1, "back in stock": 1}),
    ]


def test_stock_and_status() -> None:
    def status(product_id: int, old: str, new: str) -> dict[str, Any]:
        return change(product_id, 0, 0) | {"field": "status", "old": old, "new": new}

    figures = counted(
        change(1, 5, 0),
        change(2, 0, 5),
        change(3, 5, 0, hours=2),
        change(3, 0, 5),
        change(4, None, 0),
        status(5, "published", "removed"),
        status(6, "removed", "published"),
    )
    assert figures.total == {
        "any": 6,
        "stock": 4,
        "sold out": 1,
        "back in stock": 1,
        "removed": 1,
    }


def test_an_unknown_price_makes_no_move() -> None:
    figures = counted(change(1, None, "2.00"), change(2, "2.00", None), change(3, "0.00", "1.00"))
    assert figures.total == {"any": 3, "dearer": 1}
    assert figures.drops == figures.rises == []


def test_changes_of_skus_and_private_prices_make_no_move() -> None:
    figures = counted(
        change(1, "2.00", "1.00", sku_id=7),
        change(2, "2.00", "1.00"),
        change(2, 3, 4),
        private=(2,),
    )
    assert figures.total == {"any": 2, "stock": 1}
    assert figures.drops == []
    assert figures.buckets[DAYS[2]] == Counter(any=2, stock=1)


def test_the_biggest_are_kept_in_order() -> None:
    figures = counted(
        *(change(number, "100.00", f"{100 - number}.00") for number in range(1, 6)),
        *(change(number, "100.00", f"{100 + number}.00") for number in range(6, 9)),
        top=2,
    )
    assert [move.product_id for move in figures.drops] == [5, 4]
    assert [move.product_id for move in figures.rises] == [8, 7]
    assert figures.total == {"any": 8, "cheaper": 5, "dearer": 3}


def test_the_most_changed_have_most_changes_then_the_biggest() -> None:
    figures = counted(
        change(1, 1, 2),
        change(2, "1.00", "1.10"),
        change(3, "1.00", "1.20"),
        change(4, 1, 2),
        change(4, 2, 3),
        change(5, "1.00", "9.00", sku_id=1),
    )
    assert figures.most_changed == [4, 3]


def shown(first_seen_at: datetime | None = None) -> dict[str, Any]:
    return {"price": Decimal("9.90"), "stock": 5, "first_seen_at": first_seen_at}


def test_curve_begins_with_the_old_value() -> None:
    at = NOW - timedelta(hours=1)
    changes = [change(1, "12.50", "9.90"), change(1, 5, None)]
    curves = product_curves(shown(), changes, PERIOD)
    assert curves["price"].points == [(PERIOD.start, Decimal("12.50")), (at, Decimal("9.90"))]
    assert curves["stock"].points == [(PERIOD.start, 5), (at, None)]


def test_curve_without_changes_is_what_is_stored() -> None:
    curves = product_curves(shown(), [], PERIOD)
    assert curves["price"].points == [(PERIOD.start, Decimal("9.90"))]
    assert curves["stock"].points == [(PERIOD.start, 5)]


def test_curve_of_a_new_product_begins_when_it_was_first_seen() -> None:
    first_seen_at = NOW - timedelta(hours=5)
    curves = product_curves(shown(first_seen_at), [], PERIOD)
    assert curves["price"].points == [(first_seen_at, Decimal("9.90"))]


def test_long_curve_keeps_its_ends_and_extremes() -> None:
    chance = random.Random(3)
    values = [chance.randrange(10, 1000) for _ in range(5000)]
    values[1234], values[4321] = 1, 9999
    times = [PERIOD.start + number * timedelta(minutes=2) for number in range(5000)]
    changes = [{"at": at, "old": 0, "new": value} for at, value in zip(times, values, strict=True)]
    long = curve(PERIOD.start, changes, now=None)
    assert long.total == 5001
    assert len(long.points) <= MAX_POINTS
    assert long.points == sorted(long.points)
    assert (long.points[0], long.points[-1]) == ((PERIOD.start, 0), (times[-1], values[-1]))
    assert {(times[1234], 1), (times[4321], 9999)} <= set(long.points)
    assert set(long.points[1:]) <= set(zip(times, values, strict=True))


def test_products_that_go_off_sale_and_come_back() -> None:
    figures = counted(
        change(1, True, False, field="available"),
        change(2, True, False, field="available", hours=3),
        change(2, False, True, field="available", hours=2),
        change(3, False, True, field="available"),
        change(4, None, True, field="available"),
    )
    assert figures.total == {"any": 4, "off sale": 1, "back on sale": 1}
    assert figures.events["off sale"] == [Event(1, NOW - timedelta(hours=1))]


def test_what_is_off_sale_again_has_not_gone_off_sale() -> None:
    figures = counted(
        change(1, False, True, field="available", hours=3),
        change(1, True, False, field="available", hours=2),
    )
    assert figures.total == {"any": 1}
    assert figures.events["off sale"] == []


def promotion(product_id: int, old: str | None, new: str | None, hours: int) -> dict[str, Any]:
    return change(product_id, old, new, hours=hours, field="promotion_price")


def test_promotions_count_however_long_they_run() -> None:
    figures = counted(
        promotion(1, None, "3.20", 9),
        promotion(1, "3.20", "3.10", 8),
        promotion(1, "3.10", None, 7),
        promotion(2, None, "4.00", 6),
        promotion(3, "5.00", None, 5),
        promotion(3, None, "5.50", 4),
        promotion(4, "1.00", "2.00", 3),
        promotion(5, None, "1.00", 2),
        promotion(6, None, "1.00", 1) | {"sku_id": 7},
        private=(5,),
    )
    assert figures.total == {"any": 6, "promotion began": 3, "promotion ended": 2}
    times = {hours: NOW - timedelta(hours=hours) for hours in range(10)}
    assert figures.events["promotion began"] == [
        Event(3, times[4], Decimal("5.50")),
        Event(2, times[6], Decimal("4.00")),
        Event(1, times[9], Decimal("3.20")),
    ]
    assert figures.events["promotion ended"] == [
        Event(3, times[5], Decimal("5.00")),
        Event(1, times[7], Decimal("3.10")),
    ]
    assert figures.most_changed == []


class Price(Decimal):
    """A price of which it is known whether it is still held."""


def test_of_the_products_that_changed_only_those_are_held_that_are_shown() -> None:
    held: weakref.WeakSet[Price] = weakref.WeakSet()
    most = 0

    def changes() -> Iterator[dict[str, Any]]:
        nonlocal most
        for product_id in range(3000):
            for hours in (1, 2):
                old, new = (Price(number) for number in (100 + product_id % 7, 100 + hours))
                held.update((old, new))
                most = max(most, len(held))
                at = NOW - timedelta(hours=hours)
                yield {
                    "sku_id": None,
                    "product_id": product_id,
                    "field": "promotion_price" if product_id % 2 else "price",
                    "old": old,
                    "new": new,
                    "at": at,
                }

    figures = count_changes(changes(), ProductCounter([], PERIOD), PERIOD, top=5)
    assert figures.total["any"] == 3000
    assert len(figures.drops) == len(figures.rises) == 5
    assert 0 < most < 300


def test_the_latest_events_are_kept() -> None:
    made = [promotion(number, None, "1.00", number) for number in range(1, 6)]
    figures = counted(*made, top=2)
    assert [event.product_id for event in figures.events["promotion began"]] == [1, 2]
    assert figures.total["promotion began"] == 5
