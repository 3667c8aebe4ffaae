"""Renders the dashboard's templates; the report's tables, charts and texts are theirs, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, PackageLoader

from ali1688_spider.dashboard.product_search import shortened
from ali1688_spider.dashboard.texts import CHINESE_TEXTS
from ali1688_spider.reporting.formatting import CHINA, NOTHING, duration, minute, money, stock
from ali1688_spider.reporting.page import HEIGHT, WIDTH, templates
from ali1688_spider.reporting.texts import Text, add_texts, text
from ali1688_spider.shutdown import ENDED_EARLY

if TYPE_CHECKING:
    from ali1688_spider.monitoring.state import Problem, State
    from ali1688_spider.statistics.sums import Minute

SECTIONS = ("problems", "numbers", "rate", "workers", "crawls", "failed", "changes")
"""What of the page is live; each is a macro of ``sections.html``."""

_FIELDS = {
    "price": "Price",
    "stock": "Stock",
    "status": "Status",
    "name": "Name",
    "promotion_price": "Promotion price",
    "available": "On sale",
}

add_texts(CHINESE_TEXTS)

assert templates.loader is not None
environment = templates.overlay(
    loader=ChoiceLoader([PackageLoader("ali1688_spider.dashboard"), templates.loader])
)
# An overlay shares the globals of what it lies over.
environment.globals = {**templates.globals}


def render(template: str, **values: Any) -> str:
    """Return a page."""
    return environment.get_template(template).render(**values)


def render_sections(state: State, changes: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the live parts of the page, each in HTML, by their names."""
    module: Any = environment.get_template("sections.html").make_module()
    return {name: str(getattr(module, name)(state, changes)) for name in SECTIONS}


def problem_text(problem: Problem) -> Text:
    """Return what is wrong."""
    return text(problem.what, **problem.values)


def problem_advice(problem: Problem) -> Text:
    """Return what to do about it."""
    return text(problem.how, **problem.values)


def age(seconds: float | None) -> Text | str:
    """Return ``12 min``, or a dash when there is nothing."""
    return NOTHING if seconds is None else duration(seconds)


def day_time(when: datetime | None) -> str:
    """Return ``11-29 10:00:05`` (UTC)."""
    return NOTHING if when is None else f"{when:%m-%d %H:%M:%S}"


def rate_path(minutes: Sequence[Minute]) -> str:
    """Return the path of the products of each full minute, above zero."""
    counts = [minute.products for minute in minutes[:-1]]
    if len(counts) < 2:
        return ""
    top = max(*counts, 1)
    points = [
        f"{WIDTH * n / (len(counts) - 1):.1f} {HEIGHT - 2 - (HEIGHT - 6) * each / top:.1f}"
        for n, each in enumerate(counts)
    ]
    return f"M{' L'.join(points)}"


def china_time(when: datetime) -> str:
    """Return ``2026-11-23 18:00``, as clocks in China show it."""
    return minute(when.astimezone(CHINA))


def changed_field(change: Mapping[str, Any]) -> Text:
    """Return what changed of a product or a SKU."""
    name = (
        text(_FIELDS[change["field"]])
        if change["field"] in _FIELDS
        else Text(*2 * (change["field"],))
    )
    if change["min_quantity"] is None:
        return name
    return text("{field} from {quantity} pieces on", field=name, quantity=change["min_quantity"])


def changed_value(change: Mapping[str, Any], side: str) -> Text | str:
    """Return what was there on one side of a change, ``old`` or ``new``."""
    value = change[side]
    match value:
        case None:
            return NOTHING
        case bool():
            return text("yes") if value else text("no")
        case Decimal():
            return money(value)
        case int():
            return stock(value)
    return shortened(value) or NOTHING


def changed_ratio(change: Mapping[str, Any]) -> Decimal | None:
    """Return how much a price or a stock changed, as a part of the old one."""
    return None if change["percent"] is None else Decimal(str(change["percent"])) / 100


def sku_name(sku: Mapping[str, Any]) -> str:
    """Return the attributes of a SKU, or its id where it has none."""
    attributes = sku["attributes"] or {}
    words = "; ".join(f"{name}: {value}" for name, value in attributes.items())
    return shortened(words or sku["sku_id"]) or NOTHING


environment.globals |= {
    each.__name__: each
    for each in (
        *(age, changed_field, changed_ratio, changed_value, china_time, day_time),
        *(problem_advice, problem_text, rate_path, shortened, sku_name),
    )
}
environment.globals["ended_early"] = ENDED_EARLY
