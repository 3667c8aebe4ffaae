"""What happened, in sentences and in a few big numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.reporting.markup import element
from ali1688_spider.reporting.wording import count, day, money, percent

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from ali1688_spider.reporting.figures import PriceMove, Report


def summary(report: Report) -> Element:
    """Return the page's beginning: sentences, then numbers."""
    return element(
        "header",
        element(
            "h1", f"Prices and stock since {day(report.period.start)} {report.period.start.year}"
        ),
        element("p", " ".join(sentences(report)), class_="lead"),
        _numbers(report),
    )


def sentences(report: Report) -> list[str]:
    """Return what happened to prices and stock, as somebody would tell it."""
    if not report.products.total:
        return ["No product is stored yet; scrapy crawl product collects some."]
    told = [_prices(report)]
    if report.changes.drops:
        told.append(f"The biggest drop: {_move(report, report.changes.drops[0])}.")
    if report.changes.rises:
        told.append(f"The biggest rise: {_move(report, report.changes.rises[0])}.")
    return [*told, _stock(report)]


def _prices(report: Report) -> str:
    products = count(report.products.total, "product", "products")
    cheaper, dearer = report.changes.cheaper, report.changes.dearer
    if not cheaper and not dearer:
        return f"Of {products} none has another price than on {day(report.period.start)}."
    return f"Of {products} {count(cheaper)} became cheaper and {count(dearer)} dearer."


def _move(report: Report, move: PriceMove) -> str:
    product = report.shown.get(move.product_id)
    name = product.name if product and product.name else "product"
    prices = f"from {money(move.old)} to {money(move.new)}"
    return f"{name} ({move.product_id}), {prices} ({percent(move.change)})"


def _stock(report: Report) -> str:
    changes = report.changes
    told = [
        f"{count(number)} {what}"
        for number, what in (
            (changes.sold_out, "sold out"),
            (changes.back_in_stock, "came back in stock"),
            (changes.removed, "disappeared from the platform"),
        )
        if number
    ]
    if not told:
        return "None sold out, came back in stock or disappeared."
    *first, last = told
    return f"{', '.join(first)} and {last}." if first else f"{last}."


def _numbers(report: Report) -> Element:
    products, changes = report.products, report.changes
    shown = (
        ("products stored", products.total, ""),
        ("collected", products.collected, ""),
        ("new", products.new, ""),
        ("changed", changes.changed, ""),
        ("cheaper", changes.cheaper, "down"),
        ("dearer", changes.dearer, "up"),
        ("sold out", changes.sold_out, ""),
        ("out of stock", products.out_of_stock, ""),
    )
    return element(
        "dl",
        *(
            element("div", element("dt", label), element("dd", count(number), class_=kind or None))
            for label, number, kind in shown
        ),
        class_="numbers",
    )
