"""Charts as SVG; what they show is in their label, too, for those who do not see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ali1688_spider.reporting.markup import element

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from xml.etree.ElementTree import Element

    from ali1688_spider.reporting.figures import Curve
    from ali1688_spider.reporting.period import Period

Bar: TypeAlias = "tuple[str, int, int]"

WIDTH = 1000
HEIGHT = 100
GAP = 0.2
"""The part of a bar's room that stays empty."""


def bars(label: str, data: Sequence[Bar], kind: str) -> Element:
    """Return a bar chart.

    Args:
        label: What it shows, in a sentence.
        data: For each bar its title, how far it goes up, and how far it goes down.
        kind: The class of what goes up; what goes down is ``down``.
    """
    up = max((bar[1] for bar in data), default=0)
    down = max((bar[2] for bar in data), default=0)
    scale = HEIGHT / max(up + down, 1)
    axis = up * scale
    room = WIDTH / max(len(data), 1)
    drawn: list[Element] = []
    for index, (title, above, below) in enumerate(data):
        x, width = index * room + room * GAP / 2, room * (1 - GAP)
        shapes = [
            _bar(kind, x, axis - above * scale, width, above * scale),
            _bar("down", x, axis, width, below * scale),
            _bar("touch", index * room, 0, room, HEIGHT),
        ]
        drawn.append(element("g", element("title", title), *shapes))
    line = element("line", class_="axis", x1="0", x2=str(WIDTH), y1=f"{axis:.2f}", y2=f"{axis:.2f}")
    return _chart("bars", label, *drawn, line)


def steps(label: str, curve: Curve[Any], period: Period, kind: str) -> Element:
    """Return the line of a value over time; where there is none, the line is interrupted.

    Args:
        label: What it shows, in a sentence.
        curve: The values.
        period: What the width stands for.
        kind: The line's class.
    """
    known = [value for _, value in curve.points if value is not None]
    if not known:
        return _chart("steps", label)
    low, high = min(known), max(known)
    span = float(high - low) or 1.0

    def x(when: datetime) -> str:
        return f"{WIDTH * ((when - period.start) / (period.end - period.start)):.1f}"

    def y(value: Any) -> str:
        # A line that never moves lies in the middle; others have the whole height.
        part = 0.5 if low == high else float(value - low) / span
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
    return _chart("steps", label, element("path", class_=kind, d=" ".join(path)))


def _bar(kind: str, x: float, y: float, width: float, height: float) -> Element:
    return element(
        "rect",
        class_=kind,
        x=f"{x:.2f}",
        y=f"{y:.2f}",
        width=f"{width:.2f}",
        height=f"{height:.2f}",
    )


def _chart(kind: str, label: str, *shapes: Element) -> Element:
    return element(
        "svg",
        *shapes,
        class_=kind,
        role="img",
        aria_label=label,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
    )
