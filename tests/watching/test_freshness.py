from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali1688_spider.watching.change_rate import DAY, ChangeRate, Observations, drawn_to_mean
from ali1688_spider.watching.freshness import chance_fresh, fraction_fresh, mean_freshness
from ali1688_spider.watching.product import WatchedProduct
from ali1688_spider.watching.totals import Totals

NOW = 1_700_000_000.0

rates = st.builds(
    ChangeRate,
    st.floats(min_value=0.3, max_value=300) | st.just(1.0),
    st.floats(min_value=600, max_value=100 * DAY),
)
ages = st.floats(min_value=60, max_value=60 * DAY)


def test_a_certain_rate_gives_the_exponential() -> None:
    rate = ChangeRate(1e7, 1e7 * DAY / 2)

    assert chance_fresh(rate, DAY) == pytest.approx(math.exp(-2), rel=1e-5)
    assert mean_freshness(rate, DAY) == pytest.approx((1 - math.exp(-2)) / 2, rel=1e-5)


def test_a_rate_of_shape_one_gives_the_logarithm() -> None:
    assert mean_freshness(ChangeRate(1.0, DAY), 2 * DAY) == pytest.approx(math.log(3) / 2)


@given(rate=rates, interval=ages)
def test_mean_freshness_is_the_average_of_the_chance(rate: ChangeRate, interval: float) -> None:
    longer = 1.01 * interval

    fresh = longer * mean_freshness(rate, longer) - interval * mean_freshness(rate, interval)

    tolerance = 1e-9 * interval
    least, most = chance_fresh(rate, longer), chance_fresh(rate, interval)
    assert least - tolerance < fresh / (longer - interval) < most + tolerance


def test_a_copy_just_fetched_is_fresh() -> None:
    rate = ChangeRate(2, DAY)

    assert chance_fresh(rate, 0) == 1
    assert mean_freshness(rate, 0) == 1


def test_the_fraction_counts_what_is_unfetched_and_leaves_out_what_is_removed() -> None:
    totals = Totals(4)
    rate = drawn_to_mean(Observations(), totals.mean)
    products = [
        WatchedProduct(),
        WatchedProduct(fetched_at=NOW, interval=DAY),
        WatchedProduct(fetched_at=NOW - DAY, interval=DAY),
        WatchedProduct(fetched_at=NOW, interval=DAY, removals=1),
    ]

    assert fraction_fresh(products, totals, NOW) == pytest.approx(
        (0 + 1 + chance_fresh(rate, DAY)) / 3
    )


def test_a_product_seen_to_change_often_counts_less() -> None:
    often = rarely = Observations()
    for _ in range(10):
        often, rarely = often.update(DAY, changed=True), rarely.update(DAY, changed=False)
    totals = Totals(1)

    stale = fraction_fresh([WatchedProduct(1, often, NOW - DAY, DAY)], totals, NOW)
    fresh = fraction_fresh([WatchedProduct(1, rarely, NOW - DAY, DAY)], totals, NOW)

    assert stale == pytest.approx(chance_fresh(drawn_to_mean(often, totals.mean), DAY))
    assert fresh == pytest.approx(chance_fresh(drawn_to_mean(rarely, totals.mean), DAY))
    assert stale is not None
    assert fresh is not None
    assert stale < fresh / 3


def test_a_clock_that_is_behind_makes_nothing_fresher_than_fresh() -> None:
    product = WatchedProduct(fetched_at=NOW + 5, interval=DAY)

    assert fraction_fresh([product], Totals(1), NOW) == 1


def test_nothing_watched_has_no_freshness() -> None:
    assert fraction_fresh([], Totals(0), NOW) is None
    assert fraction_fresh([WatchedProduct(removals=2)], Totals(1), NOW) is None
