from __future__ import annotations

import pytest

from ali1688_spider.watching.change_rate import DAY, Observations
from ali1688_spider.watching.product import WatchedProduct
from ali1688_spider.watching.schedule import Appointment, Outcome, Schedule
from ali1688_spider.watching.strategies import AdaptiveStrategy, Budget, UniformStrategy
from ali1688_spider.watching.totals import Totals

NOW = 1_700_000_000.0
UNIFORM = Schedule(UniformStrategy(Budget(10 / DAY)))


def fetched(
    product: WatchedProduct,
    outcome: Outcome = Outcome.UNCHANGED,
    now: float = NOW,
    category: int = 5,
    schedule: Schedule = UNIFORM,
) -> Appointment:
    return schedule.fetched(product, outcome, Totals(10), now=now, category=category)


def test_the_first_fetch_observes_nothing() -> None:
    appointment = fetched(WatchedProduct(), Outcome.CHANGED)

    assert appointment.product == WatchedProduct(5, Observations(), NOW, DAY)
    assert appointment.delay == DAY
    assert appointment.differences == {"scheduled": 1, "demand": 1 / DAY}


@pytest.mark.parametrize("outcome", [Outcome.CHANGED, Outcome.UNCHANGED])
def test_a_later_fetch_is_an_observation(outcome: Outcome) -> None:
    first = fetched(WatchedProduct()).product

    second = fetched(first, outcome, NOW + 100).product

    changed = outcome is Outcome.CHANGED
    assert second.observations == Observations().update(100, changed=changed)
    assert second.fetched_at == NOW + 100


def test_an_answer_that_is_not_later_is_no_observation() -> None:
    first = fetched(WatchedProduct()).product

    assert fetched(first, Outcome.CHANGED, NOW - 3).product == first
    assert fetched(first, Outcome.CHANGED, NOW).product == first


def test_a_removed_product_backs_off_to_the_longest_interval() -> None:
    product, delays, now = fetched(WatchedProduct()).product, [], NOW
    for _ in range(7):
        appointment = fetched(product, Outcome.REMOVED, now)
        product, now = appointment.product, now + appointment.delay
        delays.append(appointment.delay / DAY)

    assert delays == [1, 2, 4, 8, 16, 30, 30]
    assert product.removals == 7
    assert product.observations == Observations()


def test_a_product_removed_for_ever_stays_within_the_bounds() -> None:
    product = WatchedProduct(fetched_at=NOW, interval=DAY, removals=100_000)
    daily = Schedule(UniformStrategy(Budget(1.0, min_interval=2 * DAY)))

    assert fetched(product, Outcome.REMOVED, NOW + 1).delay == 30 * DAY
    assert fetched(WatchedProduct(), Outcome.REMOVED, schedule=daily).delay == 2 * DAY


def test_a_product_that_returns_is_watched_as_before() -> None:
    before = fetched(fetched(WatchedProduct()).product, Outcome.CHANGED, NOW + 100).product
    removed = fetched(before, Outcome.REMOVED, NOW + 200).product

    returned = fetched(removed, Outcome.CHANGED, NOW + 300).product

    assert returned.removals == 0
    assert returned.observations == before.observations
    assert returned.interval == DAY


def test_an_answer_without_a_category_keeps_the_known_one() -> None:
    product = fetched(WatchedProduct(), category=5).product

    assert fetched(product, now=NOW + 1, category=0).product.category == 5
    assert fetched(product, now=NOW + 1, category=6).product.category == 6


def test_a_product_that_changes_its_category_takes_its_share_along() -> None:
    first = fetched(WatchedProduct()).product
    second = fetched(first, Outcome.CHANGED, NOW + DAY).product

    moved = fetched(second, Outcome.CHANGED, NOW + 2 * DAY, category=6).differences

    assert moved["weights:5"] < 0 < moved["weights:6"]
    assert moved["rates:5"] < 0 < moved["rates:6"]


def test_lateness_raises_the_threshold_for_all() -> None:
    schedule = Schedule(AdaptiveStrategy(Budget(10 / DAY)))
    product = WatchedProduct(5, Observations(), NOW, DAY)
    totals = Totals(10, {"scheduled": 10, "demand": 10 / DAY})

    punctual, late = (
        schedule.fetched(
            product, Outcome.UNCHANGED, totals, now=NOW + DAY + wait, category=5
        ).differences["correction"]
        for wait in (0, 2 * DAY)
    )

    assert punctual < 0 < late


def test_the_state_to_be_stored_is_the_one_that_is_read_again() -> None:
    schedule = Schedule(AdaptiveStrategy(Budget(10 / DAY)))
    product, now = WatchedProduct(), NOW + 0.123456789
    for index in range(50):
        outcome = Outcome.CHANGED if index % 3 else Outcome.UNCHANGED
        appointment = fetched(product, outcome, now, schedule=schedule)
        product = WatchedProduct.decode(appointment.product.encode())
        assert product == appointment.product
        now += appointment.delay * 1.01
