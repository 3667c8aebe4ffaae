from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali1688_spider.watching.change_rate import (
    DAY,
    MEMORY,
    PRIOR_CHANGES,
    Observations,
    Tally,
    drawn_to_mean,
)

intervals = st.floats(min_value=1.0, max_value=100 * DAY)
histories = st.lists(st.tuples(intervals, st.booleans()), max_size=40)
means = st.floats(min_value=1e-9, max_value=1e-2)


def observed(history: list[tuple[float, bool]]) -> Observations:
    observations = Observations()
    for interval, changed in history:
        observations = observations.update(interval, changed=changed)
    return observations


def exact_rate(history: list[tuple[float, bool]], mean: float) -> float:
    """The likeliest rate of the faded history, every interval by itself, by bisection."""
    low, high = -40.0, 10.0
    while high - low > 1e-6:
        rate = math.exp((low + high) / 2)
        slope = PRIOR_CHANGES * (1 - rate / mean)
        for age, (interval, changed) in enumerate(reversed(history)):
            expected = rate * interval
            if changed:
                expected = -expected / math.expm1(expected) if expected < 500 else 0.0
            slope -= (1 - 1 / MEMORY) ** age * expected
        low, high = (math.log(rate), high) if slope > 0 else (low, math.log(rate))
    return math.exp(low)


@pytest.mark.parametrize(("count", "changes"), [(1, 1), (2, 1), (10, 3), (10, 10), (50, 49)])
def test_equal_intervals_give_the_published_estimator(count: int, changes: int) -> None:
    unchanged = Tally(count - changes, (count - changes) * DAY)
    observations = Observations(unchanged, (Tally(changes, changes * DAY),))

    published = -math.log((count - changes + 0.5) / (count + 0.5)) / DAY

    assert observations.rate == pytest.approx(published, rel=1e-5)


def test_without_a_change_the_estimate_is_zero() -> None:
    assert Observations().rate == 0
    assert observed([(DAY, False), (2 * DAY, False)]).rate == 0


@pytest.mark.parametrize("interval", [0.0, -1.0, math.nan])
def test_an_interval_without_length_is_refused(interval: float) -> None:
    with pytest.raises(ValueError, match="observes nothing"):
        Observations().update(interval, changed=True)


def test_old_observations_fade() -> None:
    observations = observed([(DAY, True)] * 30 + [(DAY, False)] * 70)
    kept = 1 - 1 / MEMORY

    assert observations.count == pytest.approx((1 - kept**100) / (1 - kept), rel=1e-4)
    assert observations.changes == pytest.approx(kept**70 * (1 - kept**30) / (1 - kept), rel=1e-4)
    assert observed([(DAY, True)] + [(DAY, False)] * 500).changed == ()


def test_changes_after_similar_intervals_are_kept_together() -> None:
    observations = observed([(3600, True), (4000, True), (30 * DAY, True), (3700, True)])

    assert [round(each.count) for each in observations.changed] == [3, 1]
    assert observations.count == pytest.approx(4, rel=0.02)


def test_one_long_pause_does_not_hide_what_short_intervals_said() -> None:
    hourly = [(3600.0, index % 2 == 0) for index in range(20)]

    before, after = observed(hourly), observed([*hourly, (30 * DAY, True)])

    assert after.rate == pytest.approx(before.rate, rel=0.01)


@given(history=histories, mean=means)
def test_the_belief_is_near_the_exact_maximum(
    history: list[tuple[float, bool]], mean: float
) -> None:
    belief = drawn_to_mean(observed(history), mean)

    assert 0.85 * exact_rate(history, mean) < belief.mean < 1.02 * exact_rate(history, mean)


@given(history=histories, interval=intervals, mean=means)
def test_a_change_speaks_for_a_higher_rate(
    history: list[tuple[float, bool]], interval: float, mean: float
) -> None:
    observations = observed(history)
    changed = drawn_to_mean(observations.update(interval, changed=True), mean)
    unchanged = drawn_to_mean(observations.update(interval, changed=False), mean)

    assert changed.shape > unchanged.shape
    assert changed.mean > 0.9 * unchanged.mean
    assert unchanged.mean > 0


@given(history=histories, mean=means)
def test_a_higher_category_mean_draws_higher(
    history: list[tuple[float, bool]], mean: float
) -> None:
    observations = observed(history)

    low, high = drawn_to_mean(observations, mean), drawn_to_mean(observations, 2 * mean)

    assert low.mean < high.mean < 2.001 * low.mean


@given(mean=means, weight=st.floats(min_value=0.1, max_value=100))
def test_without_observations_the_belief_is_the_categorys_mean(mean: float, weight: float) -> None:
    belief = drawn_to_mean(Observations(), mean, weight)

    assert belief.mean == pytest.approx(mean)
    assert belief.shape == weight


@pytest.mark.parametrize("per_day", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("wrong", [0.2, 5.0])
def test_irregular_observations_find_the_true_rate(per_day: float, wrong: float) -> None:
    random_ = random.Random(7)
    rate, history = per_day / DAY, []
    for _ in range(200):
        interval = random_.lognormvariate(0, 1) * DAY / per_day
        history.append((interval, random_.random() < -math.expm1(-rate * interval)))

    assert observed(history).rate == pytest.approx(rate, rel=0.2)
    assert drawn_to_mean(observed(history), wrong * rate).mean == pytest.approx(rate, rel=0.2)


def test_the_average_estimate_of_many_products_is_nearly_right() -> None:
    random_ = random.Random(1)
    chance = -math.expm1(-0.5)
    estimates = [
        observed([(DAY, random_.random() < chance) for _ in range(8)]).rate for _ in range(3000)
    ]

    assert sum(estimates) / len(estimates) == pytest.approx(0.5 / DAY, rel=0.05)
