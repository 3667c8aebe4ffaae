"""Numbers, money, times and findings as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import CrawlFigures, Curve, Report

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


def most(days: Mapping[date, Counter[str]], *kinds: str) -> int:
    """Return how many of some kinds together the day with most of them counts."""
    return max(sum(numbers[kind] for kind in kinds) for numbers in days.values())


def day(when: date) -> str:
    """Return ``23 Nov``."""
    return f"{when.day} {_MONTHS[when.month - 1]}"


def minute(when: datetime) -> str:
    """Return ``2026-11-23 10:00``, in UTC."""
    return f"{when:%Y-%m-%d %H:%M}"


def duration(seconds: float) -> str:
    """Return ``8 s``, ``12 min`` or ``3 h 12 min``."""
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
    cheaper, dearer = changes.total["cheaper"], changes.total["dearer"]
    products = count(report.products.total, "product", "products")
    sentences = [
        f"Of {products} {count(cheaper)} became cheaper and {count(dearer)} dearer."
        if cheaper or dearer
        else f"Of {products} none has another price than on {day(report.period.start)}."
    ]
    for word, moves in (("drop", changes.drops), ("rise", changes.rises)):
        for move in moves[:1]:
            product = report.shown.get(move.product_id)
            name = (product and product["name"]) or "product"
            prices = f"from {money(move.old)} to {money(move.new)} ({percent(move.change)})"
            sentences.append(f"The biggest {word}: {name} ({move.product_id}), {prices}.")
    phrases = {
        "sold out": "sold out",
        "back in stock": "came back in stock",
        "off sale": "went off sale",
        "back on sale": "came back on sale",
        "removed": "disappeared from the platform",
    }
    numbers = {kind: changes.total[kind] for kind in phrases if changes.total[kind]}
    *first, last = [f"{count(number)} {phrases[kind]}" for kind, number in numbers.items()] or [
        "None sold out, came back in stock or disappeared"
    ]
    return [*sentences, f"{', '.join(first)} and {last}." if first else f"{last}."]


def crawl_sentences(figures: CrawlFigures, daily_quota: int) -> list[str]:
    """Return the sum of all crawls, in sentences."""
    numbers, waited = figures.numbers, figures.numbers["quota/wait_seconds"]
    calls, retries, failed = numbers["calls"], numbers["retries"], numbers["failed_calls"]
    quota = f"; the quota allows {count(daily_quota)} a day" if daily_quota else ""
    crawls = count(figures.count, "crawl", "crawls")
    sentences = [f"{crawls} made {count(calls, 'call', 'calls')}{quota}."]
    if hits := numbers["cache/hit"]:
        sentences.append(f"{count(hits, 'response', 'responses')} came from the cache.")
    errors = figures.errors.total()
    of_calls = f" ({share(errors, calls)})" if calls else ""
    sentences.append(
        f"{count(errors, 'response was an error', 'responses were errors')}{of_calls}, "
        f"{count(retries, 'call was', 'calls were')} tried again, {count(failed)} given up."
        if errors or retries or failed
        else "No call failed."
    )
    if waited >= 1:
        sentences.append(f"Calls waited {duration(waited)} for the quota.")
    return sentences
