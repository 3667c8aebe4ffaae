"""Renders the report's templates to one page that needs nothing else.

``templates/base.html`` is the frame of every page: style, script, and a policy that allows these
two by their hash and nothing from anywhere; the report also shows pictures of the platform. A page
extends it; ``templates/parts.html`` has the tables and charts. All values are escaped.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from inspect import isfunction
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ali1688_spider.gateway.fields import PICTURE_HOST, UNLIMITED
from ali1688_spider.gateway.identifiers import product_url
from ali1688_spider.reporting import formatting
from ali1688_spider.reporting.figures import HOUR

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import Curve, Document, Period, Report

WIDTH, HEIGHT = 1000, 100
"""Of the charts, in units of their SVG."""

_PICTURE = re.compile(rf"https?(://(?:[a-z0-9-]+\.)*{re.escape(PICTURE_HOST)}/\S+)", re.IGNORECASE)
_WEB = re.compile(r"https?://\S+", re.IGNORECASE)


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


def page(report: Report, daily_quota: int, *, images: bool = True) -> str:
    """Return the page of a report, in HTML; a quota of 0 calls a day is no limit.

    With *images* a browser loads the first picture of each product from the platform.
    """
    return templates.get_template("report.html").render(
        report=report, daily_quota=daily_quota, images=images
    )


def link(product_id: int, product: Document | None) -> str:
    """Return the address of a product's page."""
    url = product and product["url"]
    return url if isinstance(url, str) and _WEB.fullmatch(url) else product_url(product_id)


def picture(product: Document | None) -> str | None:
    """Return the address of a product's first picture, if it is on the platform's hosts."""
    match = _PICTURE.fullmatch(next(iter((product and product["images"]) or ()), ""))
    return f"https{match[1]}" if match else None


def x(when: datetime, period: Period) -> str:
    """Return where a time is in the charts of a period."""
    part = (when - period.start) / (period.end - period.start)
    return f"{WIDTH * min(max(part, 0), 1):.1f}"


def line(curve: Curve, period: Period) -> str:
    """Return the path of a curve in a period, interrupted where it has no value.

    An unlimited stock is above all others, at the upper edge.
    """
    if not curve.known:
        return ""
    limited = [value for value in curve.known if value != UNLIMITED]
    low, high = min(limited, default=0), max(limited, default=0)
    top = 4 if len(limited) == len(curve.known) else 24

    def y(value: Decimal | int) -> str:
        if value == UNLIMITED:
            return "4.0"
        # A line that never moves lies in the middle; others have the whole height.
        part = 0.5 if low == high else float(value - low) / float(high - low)
        return f"{HEIGHT - 4 - part * (HEIGHT - 4 - top):.1f}"

    path: list[str] = []
    is_open = False
    for when, value in curve.points:
        if is_open:
            path.append(f"H{x(when, period)}")
        if value is not None:
            path.append(f"V{y(value)}" if is_open else f"M{x(when, period)} {y(value)}")
        is_open = value is not None
    if is_open:
        path.append(f"H{WIDTH}")
    return " ".join(path)


def readings(curves: dict[str, Curve]) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """Yield each time at which one of some curves changes, with the values of all from then on."""
    changes = sorted(
        ((when, name, value) for name, curve in curves.items() for when, value in curve.points),
        key=itemgetter(0),
    )
    values = dict.fromkeys(curves)
    for when, at_once in groupby(changes, key=itemgetter(0)):
        values |= {name: value for _, name, value in at_once}
        yield when, values.copy()


templates.globals |= {name: each for name, each in vars(formatting).items() if isfunction(each)}
templates.globals |= {each.__name__: each for each in (csp_hash, line, link, picture, readings, x)}
templates.globals |= {
    "width": WIDTH,
    "height": HEIGHT,
    "picture_host": PICTURE_HOST,
    "unlimited": UNLIMITED,
    "hour": HOUR,
}
