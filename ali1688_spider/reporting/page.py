"""Renders the report's templates to one page that needs nothing else, and can load nothing else.

``templates/base.html`` is the frame of every page: style, script, and a policy that allows these
two by their hash and nothing from anywhere. A page extends it; ``templates/parts.html`` has the
tables and charts. All values are escaped.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from ali1688_spider.reporting import charts, formatting
from ali1688_spider.reporting.formatting import count, day

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ali1688_spider.reporting.charts import BarChart
    from ali1688_spider.reporting.figures import Report

EXPECTED_REASONS = {"finished", "shutdown", "idle", "cancelled"}
"""Close reasons that need no attention."""


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
templates.globals |= {
    name: getattr(formatting, name)
    for name in (
        *("count", "money", "difference", "percent", "share", "day", "minute", "duration"),
        *("value_range", "price_sentences", "crawl_sentences"),
    )
} | {"csp_hash": csp_hash, "line": charts.line}


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
    yield "Prices: dearer above the line, cheaper below", "up", charts.bar_chart(prices)
    for title, numbers in (
        ("Products whose stock changed", {date: changed[date]["stock"] for date in changed}),
        (
            "Products by the day they were last collected",
            {date: collected[date] for date in report.period.days},
        ),
    ):
        bars = [(f"{day(date)}: {count(number)}", number, 0) for date, number in numbers.items()]
        yield title, "plain", charts.bar_chart(bars)
