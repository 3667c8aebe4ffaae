"""The numbers behind the charts."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ali1688_spider.gateway.fields import UNLIMITED
from ali1688_spider.reporting.figures import HOUR, Curve, Period
from ali1688_spider.reporting.page import HEIGHT, WIDTH, line, readings, templates, x
from ali1688_spider.reporting.texts import Text

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


def test_unlimited_stock_is_at_the_upper_edge() -> None:
    half = PERIOD.start + (PERIOD.end - PERIOD.start) / 2
    assert path((PERIOD.start, UNLIMITED), (half, 10)) == f"M0.0 4.0 H500.0 V60.0 H{WIDTH}"
    values = (0, 10, UNLIMITED, 10)
    times = [PERIOD.start + (PERIOD.end - PERIOD.start) / 4 * number for number in range(4)]
    drawn = path(*zip(times, values, strict=True))
    assert drawn == f"M0.0 96.0 H250.0 V24.0 H500.0 V4.0 H750.0 V24.0 H{WIDTH}"
    assert path((PERIOD.start, UNLIMITED)) == f"M0.0 4.0 H{WIDTH}"


def test_curves_are_read_together() -> None:
    at = [PERIOD.start + number * (PERIOD.end - PERIOD.start) / 10 for number in range(4)]
    price = Curve([(at[0], Decimal(1)), (at[2], Decimal(2))], 2)
    stock = Curve([(at[1], 5), (at[2], None), (at[3], 7)], 3)
    assert list(readings({"price": price, "stock": stock})) == [
        (at[0], {"price": 1, "stock": None}),
        (at[1], {"price": 1, "stock": 5}),
        (at[2], {"price": 2, "stock": None}),
        (at[3], {"price": 2, "stock": 7}),
    ]


def test_a_time_outside_the_period_is_at_its_edge() -> None:
    day = timedelta(days=1)
    assert [x(PERIOD.start - day, PERIOD), x(PERIOD.end + day, PERIOD)] == ["0.0", f"{WIDTH}.0"]


def bars(
    days: dict[datetime, Counter[str]], up: str, down: str = "", *, hours: bool = False
) -> str:
    wording = "{when}: {up} dearer, {down} cheaper" if down else "{when}: {up}"
    period = replace(PERIOD, step=HOUR) if hours else PERIOD
    title = Text("Title", "标题")
    module = templates.get_template("parts.html").module
    return str(module.bars(title, "up", period, days, up, down, wording))


MONDAY, TUESDAY = datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)


def test_bars_share_one_axis() -> None:
    drawn = bars({MONDAY: Counter(a=6), TUESDAY: Counter(a=2, b=4)}, "a", "b")
    assert 'aria-label="Title" data-zh-label="标题"' in drawn
    assert re.findall(r'<li data-x="(.*?)"><span data-zh="(.*?)">(.*?)<', drawn) == [
        ("0.00", "11月23日：6 个涨价，0 个降价", "23 Nov: 6 dearer, 0 cheaper"),
        ("500.00", "11月24日：2 个涨价，4 个降价", "24 Nov: 2 dearer, 4 cheaper"),
    ]
    assert re.findall(
        r'<rect class="(\w+)" x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)"/>', drawn
    ) == [
        ("up", "50.00", "0.00", "400.00", "60.00"),
        ("down", "50.00", "60.00", "400.00", "0.00"),
        ("up", "550.00", "40.00", "400.00", "20.00"),
        ("down", "550.00", "60.00", "400.00", "40.00"),
    ]
    assert 'y1="60.00"' in drawn
    assert re.findall(r">([^<>]+)</span></span>", drawn) == ["23 Nov", "at most 6 a day", "24 Nov"]


def test_bars_of_hours() -> None:
    drawn = bars({MONDAY + n * HOUR: Counter(a=n) for n in range(2)}, "a", hours=True)
    assert "23 Nov 01:00: 1<" in drawn
    axis = ["23 Nov 00:00", "at most 1 an hour", "23 Nov 01:00"]
    assert re.findall(r">([^<>]+)</span></span>", drawn) == axis


def test_bars_of_nothing_have_no_height() -> None:
    drawn = bars({MONDAY: Counter()}, "a")
    assert ">23 Nov: 0</span>" in drawn
    assert 'class="up" x="100.00" y="0.00" width="800.00" height="0.00"' in drawn
