"""Numbers, money and times as people read them."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime

NOTHING = "–"
MINUS = "\u2212"
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def count(number: int, one: str = "", many: str = "") -> str:
    """Return ``10,000``, or with a noun ``1 product`` or ``2 products``."""
    noun = one if number == 1 else many
    return f"{number:,} {noun}" if noun else f"{number:,}"


def money(amount: Decimal | None) -> str:
    """Return ``¥12.50``; every digit that the amount has, and two decimals at least."""
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
    rounded = abs(part * 100).quantize(Decimal("0.1"), ROUND_HALF_UP)
    if not rounded:
        return f"less than {'+' if part > 0 else MINUS}0.1 %"
    return f"{'+' if part > 0 else MINUS}{rounded:,f} %"


def day(when: date) -> str:
    """Return ``23 Nov``."""
    return f"{when.day} {_MONTHS[when.month - 1]}"


def minute(when: datetime | None) -> str:
    """Return ``2026-11-23 10:00``, in UTC."""
    return NOTHING if when is None else f"{when:%Y-%m-%d %H:%M}"


def duration(seconds: float) -> str:
    """Return ``8 s``, ``12 min`` or ``3 h 12 min``."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"
