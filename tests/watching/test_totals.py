from __future__ import annotations

import random

import pytest

from ali1688_spider.watching.change_rate import DAY, Observations, Tally
from ali1688_spider.watching.product import WatchedProduct
from ali1688_spider.watching.schedule import Outcome, Schedule
from ali1688_spider.watching.strategies import AdaptiveStrategy, Budget
from ali1688_spider.watching.totals import FIRST_RATE, Totals, differences


def seen(category: int, per_day: float, count: float = 1000.0) -> WatchedProduct:
    """A product observed so often that its estimate is its rate."""
    share = 0.001 * per_day
    changed = Tally(share * count, share * count * DAY / 1000)
    unchanged = Tally((1 - share) * count, (1 - share) * count * DAY / 1000)
    return WatchedProduct(category, Observations(unchanged, (changed,)), 0.0, DAY)


def test_before_any_observation_the_mean_is_what_was_expected() -> None:
    assert Totals(0).mean == pytest.approx(FIRST_RATE)
    assert Totals(0).category_mean(7) == pytest.approx(FIRST_RATE)


def test_a_category_with_products_has_a_mean_of_its_own() -> None:
    totals = Totals.of([seen(1, 0.1) for _ in range(200)] + [seen(2, 4.0) for _ in range(200)])

    assert totals.category_mean(1) == pytest.approx(0.1 / DAY, rel=0.6)
    assert totals.category_mean(2) == pytest.approx(4.0 / DAY, rel=0.1)
    assert totals.mean == pytest.approx(2.05 / DAY, rel=0.1)
    assert totals.category_mean(3) == totals.mean


def test_products_not_fetched_yet_are_taken_to_ask_as_the_others() -> None:
    totals = Totals.of([seen(1, 1.0), seen(1, 1.0), WatchedProduct(), WatchedProduct()])

    assert totals.watched == 4
    assert totals.demand == pytest.approx(4 / DAY)
    assert Totals(5).demand == 0


def test_rounding_never_makes_a_mean_negative() -> None:
    assert Totals(1, {"rates": -1e-12, "weights": -1e-12}).mean == FIRST_RATE


def test_differences_added_one_by_one_are_the_sums_counted_anew() -> None:
    random_ = random.Random(3)
    schedule = Schedule(AdaptiveStrategy(Budget(40 / DAY)))
    products = [WatchedProduct() for _ in range(40)]
    totals = Totals(len(products))
    for step in range(1, 600):
        index = random_.randrange(len(products))
        appointment = schedule.fetched(
            products[index],
            random_.choice(list(Outcome)),
            totals,
            now=1000.0 * step,
            category=random_.choice([0, 1, 2]),
        )
        totals.add(appointment.differences)
        products[index] = WatchedProduct.decode(appointment.product.encode())

    anew = Totals.of(products, totals.correction)

    assert anew.watched == totals.watched
    for name in {*anew.sums, *totals.sums}:
        assert totals.sums.get(name, 0) == pytest.approx(anew.sums.get(name, 0), abs=1e-9)


def test_a_product_no_longer_watched_takes_its_share_away() -> None:
    product = seen(4, 2.0)
    totals = Totals.of([product])

    totals.add(differences(product, None))

    assert set(totals.sums.values()) == {0.0}


def test_nothing_changes_without_a_difference() -> None:
    assert differences(seen(1, 1.0), seen(1, 1.0)) == {}
    assert differences(WatchedProduct(), WatchedProduct()) == {}
