"""The numbers behind the charts."""

from __future__ import annotations

from datetime import UTC, datetime

from ali1688_spider.reporting.figures import Curve, Period
from ali1688_spider.reporting.page import HEIGHT, WIDTH, Bar, bar_chart, line

PERIOD = Period.last_days(10, datetime(2026, 11, 23, tzinfo=UTC))


def path(*points: tuple[datetime, int | None]) -> str:
    return line(Curve(list(points), len(points)), PERIOD)


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
    assert path((PERIOD.start, None)) == ""


def test_bars_share_one_axis() -> None:
    chart = bar_chart([("Monday", 6, 0), ("Tuesday", 2, 4)])
    assert (chart.axis, chart.room, chart.bar_width, chart.most) == (60, 500, 400, 6)
    assert chart.bars == [Bar("Monday", 50, 60, 0), Bar("Tuesday", 550, 20, 40)]


def test_bars_of_nothing_have_no_height() -> None:
    assert bar_chart([("Monday", 0, 0)]).bars == [Bar("Monday", 100, 0, 0)]
    assert bar_chart([]).bars == []
