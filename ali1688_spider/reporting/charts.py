"""The numbers of the page's charts, in the units of an SVG of 1000 by 100."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from ali1688_spider.reporting.figures import Curve, Period

WIDTH = 1000
HEIGHT = 100
GAP = 0.2
"""The part of a bar's room that stays empty."""


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
