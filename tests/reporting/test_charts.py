"""The numbers behind the charts."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, date, datetime

from ali1688_spider.reporting.figures import Curve, Period
from ali1688_spider.reporting.page import HEIGHT, WIDTH, line, templates

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


def bars(days: dict[date, Counter[str]], up: str, down: str = "") -> str:
    return str(templates.get_template("parts.html").module.bars("Title", "up", days, up, down))


def test_bars_share_one_axis() -> None:
    monday, tuesday = date(2026, 11, 23), date(2026, 11, 24)
    drawn = bars({monday: Counter(a=6), tuesday: Counter(a=2, b=4)}, "a", "b")
    assert 'aria-label="Title. 23 Nov: 6 a, 0 b; 24 Nov: 2 a, 4 b."' in drawn
    assert re.findall(r"<title>(.*)</title>", drawn) == ["23 Nov: 6 a, 0 b", "24 Nov: 2 a, 4 b"]
    assert re.findall(
        r'<rect class="(\w+)" x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)"/>', drawn
    ) == [
        ("up", "50.00", "0.00", "400.00", "60.00"),
        ("down", "50.00", "60.00", "400.00", "0.00"),
        ("touch", "0.00", "0.00", "500.00", "100.00"),
        ("up", "550.00", "40.00", "400.00", "20.00"),
        ("down", "550.00", "60.00", "400.00", "40.00"),
        ("touch", "500.00", "0.00", "500.00", "100.00"),
    ]
    assert 'y1="60.00"' in drawn
    assert "<span>23 Nov</span><span>at most 6 a day</span><span>24 Nov</span>" in drawn


def test_bars_of_nothing_have_no_height() -> None:
    drawn = bars({date(2026, 11, 23): Counter()}, "a")
    assert "<title>23 Nov: 0</title>" in drawn
    assert 'class="up" x="100.00" y="0.00" width="800.00" height="0.00"' in drawn
