from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from ali1688_spider.gateway.fields import UNLIMITED
from ali1688_spider.reporting import formatting
from ali1688_spider.reporting.figures import CrawlFigures, Period


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
    assert formatting.percent(Decimal(part)).en == text


def test_count() -> None:
    assert formatting.count(10_000) == "10,000"
    assert formatting.count(None) == "–"


def test_stock() -> None:
    assert formatting.stock(1234) == "1,234"
    assert formatting.stock(None) == "–"
    assert formatting.stock(UNLIMITED) == ("unlimited", "不限")


def test_times() -> None:
    now = datetime(2026, 11, 10, 4, 5, 59, tzinfo=UTC)
    days, hours = Period.last_days(7, now), Period.last_hours(7, now)
    assert formatting.moment(now, days) == ("10 Nov", "11月10日")
    assert formatting.moment(now, hours) == ("10 Nov 04:05", "11月10日 04:05")
    assert formatting.minute(now) == "2026-11-10 04:05"
    assert formatting.whole(now, days) == "2026-11-10"
    assert formatting.whole(now, hours) == "2026-11-10 04:05"
    assert formatting.beginning(days) == ("3 Nov", "11月3日")
    assert formatting.beginning(days, year=True) == ("3 Nov 2026", "2026年11月3日")
    assert formatting.beginning(hours).en == "9 Nov 21:00 (UTC)"
    assert formatting.beginning(hours, year=True).en == "9 Nov 2026 21:00 (UTC)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119.4, "119 s"), (120, "2 min"), (3599, "1 h 0 min"), (11520, "3 h 12 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert formatting.duration(seconds).en == text


def test_crawls_in_words() -> None:
    numbers = {"calls": 2000, "retries": 1, "failed_calls": 2, "cache/hit": 1}
    numbers["quota/wait_seconds"] = 11520
    figures = CrawlFigures(2, Counter(numbers), Counter(rate_limit=20))
    english, chinese = formatting.crawl_sentences(figures, daily_quota=100_000)
    assert english == (
        "2 crawls made 2,000 calls; the quota allows 100,000 a day. "
        "1 response came from the cache. "
        "20 responses were errors (1.0 %), 1 call was tried again, 2 given up. "
        "Calls waited 3 h 12 min for the quota."
    )
    assert chinese == (
        "2 次采集共 2,000 次调用；每日配额 100,000 次。"
        "1 次响应来自缓存。"
        "20 次响应出错（1.0%），1 次调用重试，2 次放弃。"
        "调用等待配额共 3 小时 12 分钟。"
    )


def test_crawls_without_failure_or_quota() -> None:
    figures = CrawlFigures(1, Counter(calls=1))
    assert formatting.crawl_sentences(figures, daily_quota=0).en == (
        "1 crawl made 1 call. No call failed."
    )
