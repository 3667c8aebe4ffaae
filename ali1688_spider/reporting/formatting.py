"""Numbers, money, times and findings as people read them, in English and Chinese."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from functools import reduce
from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway.fields import UNLIMITED
from ali1688_spider.reporting.figures import DAY
from ali1688_spider.reporting.texts import Text, sentences, text

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import CrawlFigures, Curve, Period, PriceMove, Report

NOTHING = "–"
MINUS = "\u2212"
CHINA = timezone(timedelta(hours=8))
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def count(number: int | None) -> str:
    """Return ``10,000``."""
    return NOTHING if number is None else f"{number:,}"


def stock(pieces: int | None) -> Text | str:
    """Return ``10,000``, or ``unlimited``."""
    return text("unlimited") if pieces == UNLIMITED else count(pieces)


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


def percent(part: Decimal) -> Text:
    """Return ``+3.2 %`` or ``−20.8 %`` for 0.032 and -0.208."""
    sign = "+" if part > 0 else MINUS
    rounded = abs(part * 100).quantize(Decimal("0.1"), ROUND_HALF_UP)
    if not rounded:
        return text("less than {percent} %", percent=f"{sign}0.1")
    return text("{percent} %", percent=f"{sign}{rounded:,f}")


def share(part: int, whole: int) -> Text:
    """Return ``3.2 %`` for 32 of 1000."""
    return text("{percent} %", percent=f"{100 * part / whole:.1f}")


def most(buckets: Mapping[datetime, Counter[str]], *kinds: str) -> int:
    """Return how many of some kinds together the day or hour with most of them counts."""
    return max(sum(numbers[kind] for kind in kinds) for numbers in buckets.values())


def moment(when: datetime, period: Period) -> Text:
    """Return ``23 Nov``, in a period of hours ``23 Nov 10:00`` (UTC)."""
    time = "" if period.step == DAY else f" {when:%H:%M}"
    day = Text(f"{when.day} {_MONTHS[when.month - 1]}", f"{when.month}月{when.day}日")
    return Text(*(f"{each}{time}" for each in day))


def beginning(period: Period, *, year: bool = False) -> Text:
    """Return ``16 Nov`` or ``23 Nov 10:00 (UTC)``, with the year on demand."""
    start = period.start
    when = moment(start, period)
    if year:
        name = f"{start.day} {_MONTHS[start.month - 1]}"
        when = Text(when.en.replace(name, f"{name} {start.year}"), f"{start.year}年{when.zh}")
    return when if period.step == DAY else text("{time} (UTC)", time=when)


def minute(when: datetime) -> str:
    """Return ``2026-11-23 10:00``, in the time's own zone."""
    return f"{when:%Y-%m-%d %H:%M}"


def whole(when: datetime, period: Period) -> str:
    """Return ``2026-11-23``, in a period of hours ``2026-11-23 10:00`` (UTC)."""
    return f"{when:%Y-%m-%d}" if period.step == DAY else minute(when)


def part(title: Text, shown: int, number: int) -> Text:
    """Return the title of a list that shows so many of a number."""
    if shown >= number:
        return title
    return text("{title}: {shown} of {count}", title=title, shown=shown, count=number)


def clock(when: datetime) -> Text:
    """Return a time on this machine's clock and in China."""
    local, china = when.astimezone(), minute(when.astimezone(CHINA))
    if local.utcoffset() == CHINA.utcoffset(None):
        return text("{china} China time", china=china)
    offset = f"{local:%z}"
    zone = f"UTC{offset[:3]}:{offset[3:5]}" if local.utcoffset() else "UTC"
    return text("{local} ({zone}), {china} China time", local=minute(local), zone=zone, china=china)


def duration(seconds: float) -> Text:
    """Return ``8 s``, ``12 min`` or ``3 h 12 min``."""
    whole = round(seconds)
    if whole < 120:
        return text("{seconds} s", seconds=whole)
    hours, minutes = divmod(round(whole / 60), 60)
    if hours:
        return text("{hours} h {minutes} min", hours=hours, minutes=minutes)
    return text("{minutes} min", minutes=minutes)


def value_range(title: Text, curve: Curve, shown: Callable[[Any], Text | str]) -> Text:
    """Return ``Price now ¥9.90, lowest ¥8.00, highest ¥12.50``."""
    now, known = shown(curve.points[-1][1]), curve.known
    if not known or min(known) == max(known):
        return text("{title} now {now}", title=title, now=now)
    ends = {"lowest": shown(min(known)), "highest": shown(max(known))}
    return text(
        "{title} now {now}, lowest {lowest}, highest {highest}", title=title, now=now, **ends
    )


def price_sentences(report: Report) -> Text:
    """Return what happened to prices and stock."""
    if not report.products.total:
        return text("No product is stored yet; scrapy crawl product collects some.")
    changes = report.changes
    cheaper, dearer = changes.total["cheaper"], changes.total["dearer"]
    products = text("{n} product|{n} products", n=report.products.total)
    found = [
        text(
            "Of {products} {cheaper} became cheaper and {dearer} dearer.",
            products=products,
            cheaper=cheaper,
            dearer=dearer,
        )
        if cheaper or dearer
        else text(
            "Of {products} none has another price than on {since}.",
            products=products,
            since=beginning(report.period),
        )
    ]
    drop = "The biggest drop: {name} ({id}), from {old} to {new} ({percent})."
    rise = "The biggest rise: {name} ({id}), from {old} to {new} ({percent})."
    found += [_biggest(drop, move, report) for move in changes.drops[:1]]
    found += [_biggest(rise, move, report) for move in changes.rises[:1]]
    phrases = {
        "sold out": "{count} sold out",
        "back in stock": "{count} came back in stock",
        "off sale": "{count} went off sale",
        "back on sale": "{count} came back on sale",
        "removed": "{count} disappeared from the platform",
    }
    counted = [
        text(phrase, count=number)
        for kind, phrase in phrases.items()
        if (number := changes.total[kind])
    ]
    none = text("None sold out, came back in stock or disappeared.")
    found.append(_enumeration(counted) if counted else none)
    began, ended = (changes.total[f"promotion {what}"] for what in ("began", "ended"))
    if began or ended:
        begun = text("{n} product began a promotion|{n} products began a promotion", n=began)
        found.append(_enumeration([begun, text("{n} ended one", n=ended)]))
    return sentences(found)


def _biggest(sentence: str, move: PriceMove, report: Report) -> Text:
    product = report.shown.get(move.product_id)
    return text(
        sentence,
        name=(product and product["name"]) or text("product"),
        id=str(move.product_id),
        old=money(move.old),
        new=money(move.new),
        percent=percent(move.change),
    )


def _enumeration(texts: list[Text]) -> Text:
    """Return ``one, two and three``, and a full stop."""
    *several, last = texts
    if not several:
        return text("{what}.", what=last)
    first = reduce(lambda one, two: text("{first}, {then}", first=one, then=two), several)
    return text("{first} and {last}.", first=first, last=last)


def freshness_sentences(report: Report) -> list[Text]:
    """Return when the report and its data were made, and what was not seen in its time."""
    made = [text("Report made: {time}.", time=clock(report.period.end))]
    if observed := report.observed:
        made += [
            text("Newest observation shown: {time}.", time=clock(observed[-1])),
            text("Oldest observation shown: {time}.", time=clock(observed[0])),
        ]
    if report.products.not_seen:
        unseen = "{n} product was not seen in this time.|{n} products were not seen in this time."
        made.append(text(unseen, n=report.products.not_seen))
    elif report.products.total:
        made.append(text("All products were seen in this time."))
    return made


def crawl_sentences(figures: CrawlFigures, daily_quota: int) -> Text:
    """Return the sum of all crawls."""
    numbers, waited = figures.numbers, figures.numbers["quota/wait_seconds"]
    made = {
        "crawls": text("{n} crawl|{n} crawls", n=figures.count),
        "calls": text("{n} call|{n} calls", n=numbers["calls"]),
    }
    found = [
        text("{crawls} made {calls}; the quota allows {quota} a day.", quota=daily_quota, **made)
        if daily_quota
        else text("{crawls} made {calls}.", **made)
    ]
    if hits := numbers["cache/hit"]:
        cached = "{n} response came from the cache.|{n} responses came from the cache."
        found.append(text(cached, n=hits))
    failed, retries, given_up = figures.errors.total(), numbers["retries"], numbers["failed_calls"]
    if failed or retries or given_up:
        errors = text("{n} response was an error|{n} responses were errors", n=failed)
        if numbers["calls"]:
            part = share(failed, numbers["calls"])
            errors = text("{errors} ({share})", errors=errors, share=part)
        again = text("{n} call was tried again|{n} calls were tried again", n=retries)
        outcome = "{errors}, {retries}, {count} given up."
        found.append(text(outcome, errors=errors, retries=again, count=given_up))
    else:
        found.append(text("No call failed."))
    if waited >= 1:
        found.append(text("Calls waited {time} for the quota.", time=duration(waited)))
    return sentences(found)
