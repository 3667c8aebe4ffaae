"""The page's sections on prices and stock."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from ali1688_spider.reporting.charts import bars, steps
from ali1688_spider.reporting.markup import element
from ali1688_spider.reporting.tables import Cell, name_cell, table
from ali1688_spider.reporting.wording import (
    NOTHING,
    count,
    day,
    difference,
    minute,
    money,
    percent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from xml.etree.ElementTree import Element

    from ali1688_spider.reporting.figures import Curve, PriceMove, ProductCurves, Report

DAY_COLUMNS = (
    "Day (UTC)",
    "Cheaper#",
    "Dearer#",
    "Stock changed#",
    "Any change#",
    "Collected last#",
)
MOVE_COLUMNS = (
    "Name",
    "Percent#",
    "Before#",
    "Now#",
    "Difference#",
    "Stock#",
    "Changes#",
    "Product#",
    "Supplier",
)


def days(report: Report) -> Element:
    """Return what happened on each day."""
    period_days = report.period.days
    changed = {date: report.changes.days.get(date, Counter()) for date in period_days}
    collected = report.products.collected_on
    prices = [
        (
            f"{day(date)}: {count(it['dearer'])} dearer, {count(it['cheaper'])} cheaper",
            it["dearer"],
            it["cheaper"],
        )
        for date, it in changed.items()
    ]
    stock = [(f"{day(d)}: {count(it['stock'])}", it["stock"], 0) for d, it in changed.items()]
    last = [(f"{day(d)}: {count(collected[d])}", collected[d], 0) for d in period_days]
    rows = [
        [
            Cell(date.isoformat(), date.toordinal()),
            *(Cell(count(it[kind]), it[kind]) for kind in ("cheaper", "dearer", "stock", "any")),
            Cell(count(collected[date]), collected[date]),
        ]
        for date, it in changed.items()
    ]
    return element(
        "section",
        element("h2", "Day by day"),
        element(
            "div",
            _bars("Prices: dearer above the line, cheaper below", prices, "up", report),
            _bars("Products whose stock changed", stock, "plain", report),
            _bars("Products by the day they were last collected", last, "plain", report),
            class_="charts",
        ),
        element(
            "details",
            element("summary", "The numbers"),
            table("days", "Products by day", DAY_COLUMNS, rows),
        ),
    )


def moves(report: Report) -> Element:
    """Return the biggest drops and rises."""
    changes = report.changes
    return element(
        "section",
        element("h2", "Biggest price changes"),
        _moves("drops", "Biggest drops", changes.drops, changes.cheaper, report),
        _moves("rises", "Biggest rises", changes.rises, changes.dearer, report),
    )


def curves(report: Report) -> Element:
    """Return the curves of the chosen products."""
    missing = ", ".join(map(str, report.missing))
    return element(
        "section",
        element("h2", "Price and stock over time"),
        element("p", f"Not stored: {missing}.") if missing else None,
        None if report.curves else element("p", "No product to show."),
        element("div", *(_curves(shown, report) for shown in report.curves), class_="cards"),
    )


def _bars(label: str, data: Sequence[tuple[str, int, int]], kind: str, report: Report) -> Element:
    most = max((above + below for _, above, below in data), default=0)
    told = f"{label}. {'; '.join(title for title, _, _ in data)}."
    return element(
        "figure",
        element("figcaption", label),
        bars(told, data, kind),
        element(
            "div",
            element("span", day(report.period.start)),
            element("span", f"at most {count(most)} a day"),
            element("span", day(report.period.end)),
            class_="axis",
        ),
    )


def _moves(
    table_name: str, title: str, shown: list[PriceMove], total: int, report: Report
) -> Element:
    if not shown:
        return element("p", f"{title}: none.")
    rows = []
    for move in shown:
        product = report.shown.get(move.product_id)
        kind = "down" if move.change < 0 else "up"
        name, supplier, stock = None, None, None
        if product is not None:
            name, supplier, stock = product.name, product.supplier, product.stock
        rows.append(
            [
                name_cell(name),
                Cell(percent(move.change), move.change, kind),
                Cell(money(move.old), move.old),
                Cell(money(move.new), move.new),
                Cell(difference(move.new - move.old), move.new - move.old, kind),
                Cell(_stock(stock), -1 if stock is None else stock),
                Cell(count(move.changes), move.changes),
                Cell(str(move.product_id), move.product_id, "id"),
                name_cell(supplier),
            ]
        )
    caption = title if len(shown) >= total else f"{title}: {len(shown)} of {count(total)}"
    return table(table_name, caption, MOVE_COLUMNS, rows)


def _curves(shown: ProductCurves, report: Report) -> Element:
    product = shown.product
    return element(
        "article",
        element("h3", product.name or "no name", lang="zh" if product.name else None),
        element("p", str(product.product_id), class_="id"),
        _curve("Price", shown.price, report, money),
        _curve("Stock", shown.stock, report, _stock),
        element(
            "details",
            element("summary", "The values"),
            _values(f"price-{product.product_id}", "Price", shown.price, money),
            _values(f"stock-{product.product_id}", "Stock", shown.stock, _stock),
        ),
        class_="card",
    )


def _curve(title: str, curve: Curve[Any], report: Report, text: Callable[[Any], str]) -> Element:
    known = [value for _, value in curve.points if value is not None]
    now = text(curve.points[-1][1])
    told = f"{title} now {now}"
    if known and min(known) != max(known):
        told += f", lowest {text(min(known))}, highest {text(max(known))}"
    return element(
        "figure",
        element("figcaption", told),
        steps(f"{told}, since {day(report.period.start)}", curve, report.period, title.lower()),
        element(
            "div",
            element("span", day(report.period.start)),
            element("span", day(report.period.end)),
            class_="axis",
        ),
    )


def _values(name: str, title: str, curve: Curve[Any], text: Callable[[Any], str]) -> Element:
    shown = len(curve.points)
    caption = title if shown == curve.total else f"{title}: {shown} of {count(curve.total)} values"
    rows = [[Cell(minute(when)), Cell(text(value), value)] for when, value in curve.points]
    return table(name, caption, ("From (UTC)", f"{title}#"), rows)


def _stock(stock: int | None) -> str:
    return NOTHING if stock is None else count(stock)
