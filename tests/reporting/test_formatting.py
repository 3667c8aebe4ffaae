from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from ali1688_spider.reporting import formatting
from ali1688_spider.reporting.figures import CrawlFigures


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
    assert formatting.money(Decimal(amount)) == text


def test_unknown_money() -> None:
    assert formatting.money(None) == "–"


def test_difference() -> None:
    assert formatting.difference(Decimal(1)) == "+¥1.00"
    assert formatting.difference(Decimal("-2.6")) == "\u2212¥2.60"


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
    assert formatting.percent(Decimal(part)) == text


def test_count() -> None:
    assert formatting.count(10_000) == "10,000"
    assert formatting.count(None) == "–"
    assert formatting.count(1, "product", "products") == "1 product"
    assert formatting.count(2, "product", "products") == "2 products"


def test_times() -> None:
    assert formatting.day(date(2026, 11, 3)) == "3 Nov"
    assert formatting.minute(datetime(2026, 11, 3, 4, 5, 59, tzinfo=UTC)) == "2026-11-03 04:05"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119.4, "119 s"), (120, "2 min"), (3599, "1 h 0 min"), (11520, "3 h 12 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


def test_crawls_in_words() -> None:
    numbers = {"calls": 2000, "retries": 1, "failed_calls": 2, "cache/hit": 1}
    numbers["quota/wait_seconds"] = 11520
    figures = CrawlFigures(2, Counter(numbers), Counter(rate_limit=20))
    assert formatting.crawl_sentences(figures, daily_quota=100_000) == [
        "2 crawls made 2,000 calls; the quota allows 100,000 a day.",
        "1 response came from the cache.",
        "20 responses were errors (1.0 %), 1 call was tried again, 2 given up.",
        "Calls waited 3 h 12 min for the quota.",
    ]


def test_crawls_without_failure_or_quota() -> None:
    figures = CrawlFigures(1, Counter(calls=1))
    assert formatting.crawl_sentences(figures, daily_quota=0) == [
        "1 crawl made 1 call.",
        "No call failed.",
    ]
