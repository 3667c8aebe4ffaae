from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali1688_spider.watching.change_rate import DAY, ChangeRate
from ali1688_spider.watching.crawl_value import crawl_value, interval_worth

SHORTEST, LONGEST = 60.0, 30 * DAY

rates = st.builds(
    ChangeRate,
    st.floats(min_value=0.3, max_value=300),
    st.floats(min_value=600, max_value=100 * DAY),
)
thresholds = st.floats(min_value=1.0, max_value=10 * DAY)


def certain(rate: float) -> ChangeRate:
    return ChangeRate(1e7, 1e7 / rate)


@pytest.mark.parametrize("expected", [0.1, 1.0, 5.0])
def test_of_a_certain_rate_it_is_the_published_value(expected: float) -> None:
    rate = 2 / DAY

    value = crawl_value(certain(rate), expected / rate)

    assert value == pytest.approx((1 - (1 + expected) * math.exp(-expected)) / rate, rel=1e-4)


@given(rate=rates, age=st.floats(min_value=60, max_value=60 * DAY))
def test_it_grows_with_the_age_and_stays_below_it(rate: ChangeRate, age: float) -> None:
    assert crawl_value(rate, 0) == 0
    assert 0 < crawl_value(rate, age) <= crawl_value(rate, 2 * age) < 2 * age


@given(rate=rates, threshold=thresholds)
def test_the_interval_reaches_the_threshold(rate: ChangeRate, threshold: float) -> None:
    interval = interval_worth(rate, threshold, SHORTEST, LONGEST)

    if interval == SHORTEST:
        assert crawl_value(rate, SHORTEST) >= threshold
    elif interval == LONGEST:
        assert crawl_value(rate, LONGEST) <= threshold
    else:
        assert SHORTEST < interval < LONGEST
        assert crawl_value(rate, interval) == pytest.approx(threshold, rel=1e-3)


@given(rate=rates, threshold=thresholds)
def test_a_higher_threshold_never_shortens_the_interval(rate: ChangeRate, threshold: float) -> None:
    lower = interval_worth(rate, threshold, SHORTEST, LONGEST)
    higher = interval_worth(rate, 1.5 * threshold, SHORTEST, LONGEST)

    assert lower <= higher


def test_what_changes_too_fast_for_the_threshold_is_left_for_last() -> None:
    threshold = DAY / 4

    slow, fitting, fast = (
        interval_worth(certain(per_day / DAY), threshold, SHORTEST, LONGEST)
        for per_day in (0.01, 1.0, 5.0)
    )

    assert fitting < slow < LONGEST
    assert fast == LONGEST


def test_what_may_be_slow_is_looked_at_again() -> None:
    threshold = DAY / 4
    unsure = ChangeRate(1.5, 1.5 * DAY / 5)

    assert interval_worth(unsure, threshold, SHORTEST, LONGEST) < LONGEST
