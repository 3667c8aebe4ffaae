from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali1688_spider.watching.change_rate import DAY, Observations
from ali1688_spider.watching.product import WatchedProduct
from ali1688_spider.watching.strategies import (
    STRATEGIES,
    AdaptiveStrategy,
    Budget,
    UniformStrategy,
)
from ali1688_spider.watching.totals import Totals

HOUR = 3600.0

histories = st.lists(
    st.tuples(st.floats(min_value=1, max_value=30 * DAY), st.booleans()), max_size=20
)


def product(*history: tuple[float, bool]) -> WatchedProduct:
    observations = Observations()
    for interval, changed in history:
        observations = observations.update(interval, changed=changed)
    return WatchedProduct(1, observations, 0.0)


@pytest.mark.parametrize("calls", [0.0, -1.0, math.nan])
def test_a_budget_of_nothing_is_refused(calls: float) -> None:
    with pytest.raises(ValueError, match="watch nothing"):
        Budget(calls)


@pytest.mark.parametrize(("low", "high"), [(0, 10), (20, 10), (5, math.inf)])
def test_bounds_out_of_order_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="shortest interval"):
        Budget(1.0, low, high)


def test_uniform_spreads_the_budget() -> None:
    strategy = UniformStrategy(Budget(0.5))

    assert strategy.next_interval(product(), Totals(3600)) == 7200
    assert strategy.next_interval(product((DAY, True)), Totals(3600)) == 7200
    assert strategy.next_interval(product(), Totals(1)) == strategy.budget.min_interval
    assert strategy.next_interval(product(), Totals(10**9)) == strategy.budget.max_interval
    assert strategy.correction(7200, 100, Totals(3600)) == 0


@given(
    history=histories,
    watched=st.integers(min_value=0, max_value=10**7),
    calls=st.floats(min_value=1e-6, max_value=1e3) | st.just(math.inf),
    correction=st.floats(min_value=-20, max_value=20),
    name=st.sampled_from(sorted(STRATEGIES)),
)
def test_every_interval_is_within_the_bounds(
    history: list[tuple[float, bool]], watched: int, calls: float, correction: float, name: str
) -> None:
    strategy = STRATEGIES[name](Budget(calls, 300, 7 * DAY))

    interval = strategy.next_interval(
        product(*history), Totals(watched, {"correction": correction})
    )

    assert 300 <= interval <= 7 * DAY


@given(watched=st.integers(min_value=1, max_value=600), name=st.sampled_from(sorted(STRATEGIES)))
def test_a_budget_that_suffices_fetches_as_often_as_allowed(watched: int, name: str) -> None:
    strategy = STRATEGIES[name](Budget(1.0, min_interval=600))
    totals = Totals(watched, {"scheduled": watched, "demand": 1e-9})

    assert strategy.next_interval(product((DAY, False)), totals) == 600
    assert strategy.correction(600, 0.0, totals) == 0


def test_an_average_unknown_product_is_fetched_like_all_in_uniform() -> None:
    totals = Totals(1000)

    interval = AdaptiveStrategy(Budget(1000 / DAY)).next_interval(product(), totals)

    assert interval == pytest.approx(DAY, rel=1e-3)


def test_a_product_that_changes_more_often_is_fetched_more_often() -> None:
    strategy = AdaptiveStrategy(Budget(1000 / DAY))
    never, sometimes, often = (
        strategy.next_interval(
            product(*((DAY / 4, index % 10 < changes) for index in range(30))), Totals(1000)
        )
        for changes in (0, 2, 5)
    )

    assert often < sometimes < DAY < never


def test_a_product_surely_too_fast_for_the_budget_is_fetched_least() -> None:
    strategy = AdaptiveStrategy(Budget(100 / DAY))
    fast = product(*((HOUR, True) for _ in range(60)))

    assert strategy.next_interval(fast, Totals(1000)) == strategy.budget.max_interval


@given(history=histories, correction=st.floats(min_value=-3, max_value=3))
def test_a_higher_correction_never_shortens_an_interval(
    history: list[tuple[float, bool]], correction: float
) -> None:
    strategy = AdaptiveStrategy(Budget(1000 / DAY))
    low, high = (
        strategy.next_interval(product(*history), Totals(1000, {"correction": each}))
        for each in (correction, correction + 0.5)
    )

    assert low <= high


def step(demand: float, late: float = 0.0, interval: float = DAY) -> float:
    """The correction when the demand is this many times the budget."""
    strategy = AdaptiveStrategy(Budget(1000 / DAY))
    totals = Totals(1000, {"scheduled": 1000, "demand": demand * 1000 / DAY})
    return strategy.correction(interval, late, totals)


def test_the_threshold_rises_with_demand_and_with_lateness() -> None:
    assert step(2.0) > step(1.5) > 0 > step(0.9) > step(0.5)
    assert step(1.1) == pytest.approx(0, abs=1e-12)
    assert step(1.0, late=DAY) > step(1.0, late=DAY / 2) > 0
    assert step(1e9) == step(10.0) == pytest.approx(0.3 / 1000)


def test_a_product_at_its_bound_does_not_push_the_threshold_further() -> None:
    assert step(2.0, interval=30 * DAY) == 0
    assert step(0.5, interval=30 * DAY) < 0
    assert step(0.5, interval=600) == 0
    assert step(2.0, interval=600) > 0


def test_without_any_demand_there_is_nothing_to_correct() -> None:
    assert AdaptiveStrategy(Budget(1e-3)).correction(DAY, 0.0, Totals(1000)) == 0
