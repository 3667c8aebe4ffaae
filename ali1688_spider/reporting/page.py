"""Renders the report's templates to one page that needs nothing else, and can load nothing else.

``templates/base.html`` is the frame of every page: style, script, and a policy that allows these
two by their hash and nothing from anywhere. A page extends it; ``templates/parts.html`` has the
tables and charts. All values are escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from inspect import isfunction
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from ali1688_spider.reporting import formatting
from ali1688_spider.reporting.formatting import count, day

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import Curve, Period, Report

EXPECTED_REASONS = {"finished", "shutdown", "idle", "cancelled"}
"""Close reasons that need no attention."""

WIDTH, HEIGHT = 1000, 100
"""Of the charts, in units of their SVG."""
GAP = 0.2
"""The part of a bar's room that stays empty."""


def csp_hash(text: str) -> str:
    """Return the source of a Content-Security-Policy that allows the element with this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


templates = Environment(
    loader=PackageLoader("ali1688_spider.reporting"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def page(report: Report) -> str:
    """Return the page of a report, in HTML."""
    return templates.get_template("report.html").render(
        report=report, day_charts=list(_day_charts(report)), expected_reasons=EXPECTED_REASONS
    )


def _day_charts(report: Report) -> Iterator[tuple[str, str, BarChart]]:
    """Yield the title, the class and the bars of each chart that has a bar a day."""
    changed, collected = report.changes.days, report.products.collected_on
    prices = [
        (
            f"{day(date)}: {count(kinds['dearer'])} dearer, {count(kinds['cheaper'])} cheaper",
            kinds["dearer"],
            kinds["cheaper"],
        )
        for date, kinds in changed.items()
    ]
    yield "Prices: dearer above the line, cheaper below", "up", bar_chart(prices)
    stocks = [(date, kinds["stock"]) for date, kinds in changed.items()]
    yield "Products whose stock changed", "plain", _daily(stocks)
    latest = [(date, collected[date]) for date in report.period.days]
    yield "Products by the day they were last collected", "plain", _daily(latest)


def _daily(numbers: Sequence[tuple[date, int]]) -> BarChart:
    return bar_chart([(f"{day(date)}: {count(number)}", number, 0) for date, number in numbers])


class Bar(NamedTuple):
    """One bar: its title, where it begins, and how far it goes up and down from the axis."""

    title: str
    x: float
    up: float
    down: float


class BarChart(NamedTuple):
    """Bars side by side; the axis is at the height *axis*, the tallest bar counts *most*."""

    bars: list[Bar]
    axis: float
    bar_width: float
    room: float
    most: int


def bar_chart(data: Sequence[tuple[str, int, int]]) -> BarChart:
    """Return the chart of bars that each have a title, and what they count up and down."""
    highest = max((above for _, above, _ in data), default=0)
    deepest = max((below for _, _, below in data), default=0)
    scale = HEIGHT / max(highest + deepest, 1)
    room = WIDTH / max(len(data), 1)
    return BarChart(
        bars=[
            Bar(title, index * room + room * GAP / 2, above * scale, below * scale)
            for index, (title, above, below) in enumerate(data)
        ],
        axis=highest * scale,
        bar_width=room * (1 - GAP),
        room=room,
        most=max((above + below for _, above, below in data), default=0),
    )


def line(curve: Curve, period: Period) -> str:
    """Return the path of a curve in a period, interrupted where it has no value."""
    if not curve.known:
        return ""
    low, high = min(curve.known), max(curve.known)

    def x(when: datetime) -> str:
        return f"{WIDTH * ((when - period.start) / (period.end - period.start)):.1f}"

    def y(value: Decimal | int) -> str:
        # A line that never moves lies in the middle; others have the whole height.
        part = 0.5 if low == high else float(value - low) / float(high - low)
        return f"{HEIGHT - 4 - part * (HEIGHT - 8):.1f}"

    path: list[str] = []
    is_open = False
    for when, value in curve.points:
        if is_open:
            path.append(f"H{x(when)}")
        if value is not None:
            path.append(f"V{y(value)}" if is_open else f"M{x(when)} {y(value)}")
        is_open = value is not None
    if is_open:
        path.append(f"H{WIDTH}")
    return " ".join(path)


templates.globals |= {name: each for name, each in vars(formatting).items() if isfunction(each)}
templates.globals |= {"csp_hash": csp_hash, "line": line}
