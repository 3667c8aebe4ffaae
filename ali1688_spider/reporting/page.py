"""Renders the report's templates to one page that needs nothing else, and can load nothing else.

``templates/base.html`` is the frame of every page: style, script, and a policy that allows these
two by their hash and nothing from anywhere. A page extends it; ``templates/parts.html`` has the
tables and charts. All values are escaped.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from decimal import Decimal
from inspect import isfunction
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from ali1688_spider.reporting import formatting

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import Curve, Period, Report

WIDTH, HEIGHT = 1000, 100
"""Of the charts, in units of their SVG."""


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


def page(report: Report, daily_quota: int) -> str:
    """Return the page of a report, in HTML; a quota of 0 calls a day is no limit."""
    return templates.get_template("report.html").render(report=report, daily_quota=daily_quota)


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
templates.globals |= {"csp_hash": csp_hash, "line": line, "width": WIDTH, "height": HEIGHT}
