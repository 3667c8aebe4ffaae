"""Numbers, money, times and findings as people read them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import CrawlFigures, Curve, PriceMove, Report

NOTHING = "–"
MINUS = "\u2212"
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def count(number: int | None, one: str = "", many: str = "") -> str:
    """Return ``10,000``, or with a noun ``1 product`` or ``2 products``."""
    if number is None:
        return NOTHING
    noun = one if number == 1 else many
    return f"{number:,} {noun}" if noun else f"{number:,}"


def money(amount: Decimal | None) -> str:
    """Return ``¥12.50``: every digit that the amount has, and at least two decimals."""
    if amount is None:
        return NOTHING
    digits = f"{amount:,f}"
    whole, _, decimals = digits.partition(".")
    return f"¥{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def difference(amount: Decimal) -> str:
    """Return ``+¥1.00`` or ``−¥2.60``."""
    return f"{'+' if amount > 0 else MINUS}{money(abs(amount))}"


def percent(part: Decimal) -> str:
    """Return ``+3.2 %`` or ``−20.8 %`` for 0.032 and -0.208."""
    sign = "+" if part > 0 else MINUS
    rounded = abs(part * 100).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return f"{sign}{rounded:,f} %" if rounded else f"less than {sign}0.1 %"


def share(part: int, whole: int) -> str:
    """Return ``3.2 %`` for 32 of 1000."""
    return f"{100 * part / whole:.1f} %"


def day(when: date) -> str:
    """Return ``23 Nov``."""
    return f"{when.day} {_MONTHS[when.month - 1]}"


def minute(when: datetime | None) -> str:
    """Return ``2026-11-23 10:00``, in UTC."""
    return NOTHING if when is None else f"{when:%Y-%m-%d %H:%M}"


def duration(seconds: float | None) -> str:
    """Return ``8 s``, ``12 min`` or ``3 h 12 min``."""
    if seconds is None:
        return NOTHING
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"


def value_range(title: str, curve: Curve, text: Callable[[Any], str]) -> str:
    """Return ``Price now ¥9.90, lowest ¥8.00, highest ¥12.50``."""
    now, known = f"{title} now {text(curve.points[-1][1])}", curve.known
    if not known or min(known) == max(known):
        return now
    return f"{now}, lowest {text(min(known))}, highest {text(max(known))}"


def price_sentences(report: Report) -> list[str]:
    """Return what happened to prices and stock, in sentences."""
    if not report.products.total:
        return ["No product is stored yet; scrapy crawl product collects some."]
    changes = report.changes
    products = count(report.products.total, "product", "products")
    sentences = [
        f"Of {products} {count(changes.cheaper)} became cheaper and {count(changes.dearer)} dearer."
        if changes.cheaper or changes.dearer
        else f"Of {products} none has another price than on {day(report.period.start)}."
    ]
    if changes.drops:
        sentences.append(f"The biggest drop: {_move(report, changes.drops[0])}.")
    if changes.rises:
        sentences.append(f"The biggest rise: {_move(report, changes.rises[0])}.")
    return [*sentences, _stock_sentence(report)]


def crawl_sentences(figures: CrawlFigures, daily_quota: int) -> list[str]:
    """Return the sum of all crawls, in sentences."""
    numbers, waited = figures.total.numbers, figures.total.waited
    calls, retries, failed = numbers["calls"], numbers["retries"], numbers["failed_calls"]
    quota = f"; the quota allows {count(daily_quota)} a day" if daily_quota else ""
    crawls = count(figures.count, "crawl", "crawls")
    sentences = [f"{crawls} made {count(calls, 'call', 'calls')}{quota}."]
    if hits := numbers["cache/hit"]:
        sentences.append(f"{count(hits, 'answer', 'answers')} came from the cache.")
    errors = figures.total.errors.total()
    of_calls = f" ({share(errors, calls)})" if calls else ""
    sentences.append(
        f"{count(errors, 'answer was an error', 'answers were errors')}{of_calls}, "
        f"{count(retries, 'call was', 'calls were')} tried again, {count(failed)} given up."
        if errors or retries or failed
        else "No call failed."
    )
    if waited >= 1:
        sentences.append(f"Calls waited {duration(waited)} for the quota.")
    return sentences


def _move(report: Report, move: PriceMove) -> str:
    product = report.shown.get(move.product_id)
    name = product.name if product and product.name else "product"
    prices = f"from {money(move.old)} to {money(move.new)}"
    return f"{name} ({move.product_id}), {prices} ({percent(move.change)})"


def _stock_sentence(report: Report) -> str:
    changes = report.changes
    parts = [
        f"{count(number)} {what}"
        for number, what in (
            (changes.sold_out, "sold out"),
            (changes.back_in_stock, "came back in stock"),
            (changes.removed, "disappeared from the platform"),
        )
        if number
    ]
    if not parts:
        return "None sold out, came back in stock or disappeared."
    *first, last = parts
    return f"{', '.join(first)} and {last}." if first else f"{last}."
