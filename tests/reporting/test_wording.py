from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from ali1688_spider.reporting import wording


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("12.5", "¥12.50"),
        ("12.50", "¥12.50"),
        ("12", "¥12.00"),
        ("0.125", "¥0.125"),
        ("1.2300", "¥1.23"),
        ("1E+3", "¥1,000.00"),
        ("9999999999999999.99", "¥9,999,999,999,999,999.99"),
    ],
)
def test_money_is_exact(amount: str, text: str) -> None:
    assert wording.money(Decimal(amount)) == text


def test_unknown_money() -> None:
    assert wording.money(None) == "–"


def test_difference() -> None:
    assert wording.difference(Decimal(1)) == "+¥1.00"
    assert wording.difference(Decimal("-2.6")) == "\u2212¥2.60"


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("-0.208", "\u221220.8 %"),
        ("0.0325", "+3.3 %"),
        ("0.0004", "less than +0.1 %"),
        ("-0.0004", "less than \u22120.1 %"),
        ("98", "+9,800.0 %"),
    ],
)
def test_percent(part: str, text: str) -> None:
    assert wording.percent(Decimal(part)) == text


def test_count() -> None:
    assert wording.count(10_000) == "10,000"
    assert wording.count(1, "product", "products") == "1 product"
    assert wording.count(2, "product", "products") == "2 products"


def test_times() -> None:
    assert wording.day(date(2026, 11, 3)) == "3 Nov"
    assert wording.minute(datetime(2026, 11, 3, 4, 5, 59, tzinfo=UTC)) == "2026-11-03 04:05"
    assert wording.minute(None) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119.4, "119 s"), (120, "2 min"), (3599, "1 h 0 min"), (11520, "3 h 12 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text
