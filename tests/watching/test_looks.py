from __future__ import annotations

import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from ali1688_spider.watching.looks import Look, PageRow
from ali1688_spider.watching.schedule import Budget, Schedule
from ali1688_spider.watching.watched_product import DAY, WatchedProduct

NOW = 1_700_000_000.0
PRODUCTS = [WatchedProduct("a", NOW, 0, 2, 10 * DAY)] * 20


def schedule(calls: float = 20 / DAY) -> Schedule:
    return Schedule("adaptive", Budget(calls), PRODUCTS, len(PRODUCTS))


def row(kind: str = "keyword", **fields: Any) -> PageRow:
    record = {"product_id": 7, "price": Decimal("2.5"), **fields}
    read = PageRow.read(record, kind)
    assert read is not None
    return read


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# Rows


@pytest.mark.parametrize("product_id", [None, "7", 0, True])
def test_a_row_without_a_product_is_none(product_id: Any) -> None:
    assert PageRow.read({"product_id": product_id}, "shop") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"price": Decimal(3)},
        {"promotion_price": Decimal(2)},
        {"modified_at": at(NOW)},
    ],
)
def test_what_a_page_shows_has_moved(fields: dict[str, Any]) -> None:
    known = row().merged("")

    assert row(**fields).has_moved(known, NOW)
    assert not row(sales_30d=9, name="杯").has_moved(known, NOW)


def test_a_change_before_the_last_fetch_is_known() -> None:
    known = row(modified_at=at(NOW - 9000)).merged("")
    moved = row(modified_at=at(NOW))

    assert moved.has_moved(known, NOW - 60)
    assert moved.has_moved(known, NOW + 60)  # clocks differ
    assert not moved.has_moved(known, NOW + 600)


def test_the_first_row_of_a_product_has_moved_when_it_is_modified_since() -> None:
    assert not row().has_moved("", NOW)
    assert row(modified_at=at(NOW)).has_moved("", NOW - 1)
    assert not row(modified_at=at(NOW)).has_moved("", NOW)


def test_each_kind_of_search_is_compared_with_itself() -> None:
    known = row(promotion_price=Decimal(2)).merged("")
    known = row("shop").merged(known)

    assert not row(promotion_price=Decimal(2)).has_moved(known, NOW)
    assert not row("shop").has_moved(known, NOW)
    assert row().has_moved(known, NOW)  # the campaign has ended
    assert row().merged(known).count("=") == 2


@pytest.mark.parametrize("known", ["nonsense", "= =", "keyword", "shop=1"])
def test_nonsense_is_not_known(known: str) -> None:
    assert row(modified_at=at(NOW)).has_moved(known, NOW - 1)


# Looks


def test_a_page_that_shows_all_is_looked_at_more_often_than_one_that_shows_little() -> None:
    each, all_shown, none_shown = schedule(), Look(), Look()
    for day in range(1, 11):
        changes = round(each.rate(PRODUCTS[0]) * DAY * len(PRODUCTS))
        all_shown = all_shown.looked(PRODUCTS, changes, NOW + day * DAY, each)
        none_shown = none_shown.looked(PRODUCTS, 0, NOW + day * DAY, each)

    assert all_shown.share > 0.8
    assert none_shown.share < 0.1
    assert all_shown.interval is not None
    assert none_shown.interval is None or none_shown.interval > 1.5 * all_shown.interval
    assert all_shown.demand > 0


def test_a_state_survives_its_text() -> None:
    look = Look().looked(PRODUCTS, 1, NOW, schedule()).looked(PRODUCTS, 2, NOW + DAY, schedule())

    read = Look.decode(look.encode())

    assert read.looked_at == look.looked_at
    assert read.interval == pytest.approx(look.interval)
    assert read.demand == pytest.approx(look.demand)
    assert (read.moved, read.expected) == pytest.approx((look.moved, look.expected))
    assert Look.decode("") == Look()
    assert Look.decode(Look(NOW).encode()) == Look(NOW)


@pytest.mark.parametrize("text", ["x", "1,2", "1,2,3,4,nan", "-1,2,3,4,5", "1,2,3,4,5,6", "[]"])
def test_any_other_text_starts_over(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Look.decode(text) == Look()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "The state of a look is unreadable" in record.getMessage()
