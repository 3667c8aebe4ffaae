"""What the tests of the stores share."""

from __future__ import annotations

import pytest

from ali1688_spider.watching.change_rate import Observations
from ali1688_spider.watching.product import WatchedProduct
from ali1688_spider.watching.store import Change, Entry
from ali1688_spider.watching.totals import Totals, differences

FETCHED = WatchedProduct(5, Observations().update(100, changed=True), 1_700_000_000.0, 200.0)
AGAIN = WatchedProduct(5, Observations().update(300, changed=False), 1_700_000_300.0, 400.0)
TEXT = Entry(FETCHED, "0123456789ab").encode()
TEXT_AGAIN = Entry(AGAIN, "0123456789ab").encode()


def first_fetch(product_id: int, delay: float = 200.0) -> Change:
    return Change(product_id, "", TEXT, differences(WatchedProduct(), FETCHED), delay)


def second_fetch(product_id: int, delay: float = 400.0) -> Change:
    return Change(product_id, TEXT, TEXT_AGAIN, differences(FETCHED, AGAIN), delay)


def assert_sums(totals: Totals, expected: Totals) -> None:
    """Compare sums up to rounding; one that is missing is 0."""
    assert totals.watched == expected.watched
    assert _told(totals) == pytest.approx(_told(expected))


def _told(totals: Totals) -> dict[str, float]:
    return {name: value for name, value in totals.sums.items() if abs(value) > 1e-9}
