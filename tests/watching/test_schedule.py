from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali1688_spider.watching.schedule import (
    MAX_INTERVAL,
    MIN_INTERVAL,
    STRATEGIES,
    Budget,
    Schedule,
)
from ali1688_spider.watching.watched_product import DAY, MEMORY, Outcome, WatchedProduct
from tests.watching.observations import HOUR, NOW, histories, observed


def schedule(
    *products: WatchedProduct, watched: int = 1000, calls: float = 1000 / DAY, strategy: str = ""
) -> Schedule:
    return Schedule(strategy or "adaptive", Budget(calls), products, watched)


# Hints


def hinted(product: WatchedProduct, *seconds: float) -> WatchedProduct:
    """A product of which hints came so long after its last fetch."""
    assert product.fetched_at is not None
    for each in seconds:
        product = product.hinted(product.fetched_at + each)
    return product


def test_a_change_that_a_hint_told_is_no_evidence_of_others() -> None:
    before = observed((DAY, True), (DAY, False))
    assert before.fetched_at is not None
    outcome, after = hinted(before, HOUR).fetched("new", before.fetched_at + 2 * HOUR)
    kept = 1 - 1 / MEMORY

    assert outcome is Outcome.CHANGED
    assert (after.changes, after.seconds) == (kept * before.changes, kept * before.seconds)
    assert after.hints == kept
    assert after.hint_seconds == pytest.approx(kept * (before.seconds + 2 * HOUR))
    assert after.hinted_at is None


def test_a_hint_of_nothing_is_as_good_as_any_other_fetch() -> None:
    before = observed((DAY, False))
    assert before.fetched_at is not None
    at = before.fetched_at + DAY

    (told, after), (plain, usual) = hinted(before, HOUR).fetched("0", at), before.fetched("0", at)

    assert told is plain
    assert (after.changes, after.seconds) == (usual.changes, usual.seconds)


def test_hints_that_come_together_are_one() -> None:
    product = hinted(observed(), HOUR, HOUR + 5, HOUR + 10, 3 * HOUR)

    assert product.new_hints == 2
    assert (product.hinted_at, product.last_hint_at) == (NOW + HOUR, NOW + 3 * HOUR)


def test_hints_that_wait_count() -> None:
    waiting = hinted(observed(), *(hours * HOUR for hours in range(1, 25)))
    each = Schedule("adaptive", Budget(1 / DAY), [waiting], 1, now=NOW + DAY)

    assert each.told_rate(waiting) == pytest.approx(24 / DAY, rel=0.1)


def test_what_looks_tell_may_have_happened_several_times() -> None:
    by_message, by_look = observed(), observed()
    for number in range(20):
        at = NOW + (number + 1) * DAY
        _, by_message = by_message.hinted(at).fetched(str(number), at)
        _, by_look = by_look.hinted(at, DAY).fetched(str(number), at)
    each = schedule(by_message, by_look)

    assert each.told_rate(by_look) > 2 * each.told_rate(by_message)


def test_hints_that_have_stopped_are_waited_for_no_longer() -> None:
    products = []
    for _ in range(10):
        product = observed()
        for day in range(20):
            at = NOW + (day + 1) * DAY
            _, product = product.hinted(at).fetched(str(day), at)
        products.append(product)
    soon, late = (
        Schedule("adaptive", Budget(5 / DAY), products, 10, now=NOW + days * DAY)
        for days in (21, 60)
    )

    assert soon.told_rate(product) > 20 * late.told_rate(product)
    assert late.untold_rate(product) > 1.5 * soon.untold_rate(product)
    assert late.interval(product) < 0.5 * soon.interval(product)


def test_a_removed_product_has_no_hint_left() -> None:
    _, removed = hinted(observed(), HOUR).fetched(None, NOW + DAY)

    assert (removed.removals, removed.hinted_at, removed.new_hints) == (1, None, 0)


def test_hinted_products_that_change_rarely_go_first() -> None:
    rarely, often = observed(*[(DAY, False)] * 20), observed(*[(HOUR, True)] * 20)
    each = schedule(rarely, often, calls=math.inf)
    priorities = [each.hint_priority(product, NOW) for product in (rarely, observed(), often)]

    assert priorities == sorted(priorities, reverse=True)
    assert len(set(priorities)) == 3
    assert min(priorities) >= 1
    assert max(priorities) <= 1000


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_hint_of_a_product_too_fast_for_the_budget_waits(strategy: str) -> None:
    fast = observed(*[(HOUR, True)] * 60)
    others = [observed(*[(10 * DAY, index % 2 == 0) for index in range(8)])] * 20
    each = schedule(fast, *others, calls=100 / DAY, strategy=strategy)

    assert (each.hint_priority(fast, NOW) < 0) is (strategy == "adaptive")
    assert each.hint_priority(fast, NOW + 40 * DAY) >= 1
    assert each.hint_priority(others[0], NOW) >= 1


def test_where_hints_tell_all_scheduled_fetches_become_rare() -> None:
    product = observed()
    for day in range(30):
        at = NOW + (day + 1) * DAY
        _, product = product.hinted(at - DAY / 2).fetched(str(day), at - DAY / 2)
        _, product = product.fetched(str(day), at)
    untold = [observed(*[(DAY, True)] * 30)]

    assert schedule(product).untold_rate(product) < 0.1 * schedule(product).rate(product)
    assert schedule(*untold).interval(untold[0]) < 0.5 * schedule(product).interval(product)


# Looks at pages


def test_a_page_of_more_products_is_looked_at_more_often() -> None:
    products = [observed((DAY, True), (DAY, False))] * 50
    each = schedule(*products)
    ten, fifty = each.look_interval(products[:10], 1.0), each.look_interval(products, 1.0)
    half = each.look_interval(products, 0.5)

    assert ten is not None
    assert fifty is not None
    assert half is not None
    assert MIN_INTERVAL <= fifty < 0.6 * ten
    assert fifty < half
    assert ten <= MAX_INTERVAL


def test_looks_do_not_pay_where_there_is_nothing_to_gain() -> None:
    fast = observed(*[(HOUR, True)] * 60)
    others = [observed(*[(10 * DAY, index % 2 == 0) for index in range(8)])] * 20
    each = schedule(fast, *others, calls=100 / DAY)

    assert each.look_interval([], 1.0) is None
    assert each.look_interval([fast] * 50, 1.0) is None
    assert each.look_interval(others, 1.0) is not None


def test_looks_cost_as_much_as_the_products_of_a_call() -> None:
    products = [observed((DAY, True), (DAY, False))] * 50
    one, fifty = (
        Schedule("adaptive", Budget(1000 / DAY, products_per_call=each), products, 1000)
        for each in (1, 50)
    )
    often, seldom = (each.look_interval(products, 1.0) for each in (one, fifty))

    assert often is not None
    assert seldom is None or seldom > 3 * often


def test_without_a_limit_pages_are_looked_at_as_often_as_allowed() -> None:
    assert schedule(calls=math.inf).look_interval([], 1.0) == MIN_INTERVAL


def test_looks_take_their_part_of_the_budget() -> None:
    products = [observed((DAY, True), (DAY, False))] * 9
    without = schedule(*products)
    looks = 500 / DAY / (without.scale or 1)
    beside = Schedule("adaptive", Budget(1000 / DAY), products, 1000, looks=looks)
    fetches = 1000 * sum(1 / beside.interval(each) for each in products) / len(products)

    assert fetches + looks * (beside.scale or 0) == pytest.approx(1100 / DAY, rel=1e-3)


# Rates


def test_before_any_observation_the_rate_is_one_change_a_day() -> None:
    for each in (schedule(), schedule(*[WatchedProduct()] * 50)):
        assert each.rate(WatchedProduct()) == pytest.approx(1 / DAY)


def test_an_unknown_product_is_taken_to_change_like_the_others() -> None:
    slow = [observed(*[(10 * DAY, False)] * 9, (10 * DAY, True)) for _ in range(200)]

    each = schedule(*slow)

    assert each.rate(observed()) == pytest.approx(0.01 / DAY, rel=0.2)


@given(history=histories, interval=st.floats(min_value=1.0, max_value=DAY))
def test_an_unchanged_fetch_lowers_the_rate(
    history: list[tuple[float, bool]], interval: float
) -> None:
    each = schedule()
    assert each.rate(observed(*history, (interval, False))) < each.rate(observed(*history)) * 1.02


@pytest.mark.parametrize("per_day", [0.1, 1.0, 8.0])
def test_irregular_observations_find_the_rate_roughly(per_day: float) -> None:
    random_ = random.Random(7)
    rate, history = per_day / DAY, []
    for _ in range(200):
        interval = random_.lognormvariate(0, 1) * DAY / per_day
        history.append((interval, random_.random() < -math.expm1(-rate * interval)))

    assert 0.9 * rate < schedule().rate(observed(*history)) < 1.7 * rate


# Intervals


def test_uniform_spreads_the_budget() -> None:
    def interval(watched: int, *history: tuple[float, bool]) -> float:
        each = schedule(watched=watched, calls=0.5, strategy="uniform")
        return each.interval(observed(*history))

    assert interval(3600) == interval(3600, (DAY, True)) == 7200
    assert interval(0) == interval(1) == MIN_INTERVAL
    assert interval(10**9) == MAX_INTERVAL


@given(
    history=histories,
    watched=st.integers(min_value=0, max_value=10**7),
    calls=st.floats(min_value=1e-6, max_value=1e3) | st.just(math.inf),
    strategy=st.sampled_from(STRATEGIES),
)
def test_every_interval_is_within_the_bounds(
    history: list[tuple[float, bool]], watched: int, calls: float, strategy: str
) -> None:
    product = observed(*history)

    interval = Schedule(strategy, Budget(calls, 300, 7 * DAY), [product], watched).interval(product)

    assert 300 <= interval <= 7 * DAY * (1 + 1e-9)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("watched", [0, 1, 600])
def test_a_budget_that_suffices_fetches_as_often_as_allowed(watched: int, strategy: str) -> None:
    each = schedule(watched=watched, calls=1.0, strategy=strategy)

    assert each.interval(observed((DAY, False))) == MIN_INTERVAL


def test_products_that_are_alike_get_the_same_share_of_the_overbooked_budget() -> None:
    products = [observed((DAY, True), (DAY, False))] * 9

    assert schedule(*products).interval(products[0]) == pytest.approx(DAY / 1.1, rel=1e-3)


@given(st.lists(histories, min_size=1, max_size=9))
def test_the_sample_asks_for_the_overbooked_budget(
    sample: list[list[tuple[float, bool]]],
) -> None:
    products = [observed(*history) for history in sample]
    each = schedule(*products)

    demand = sum(1 / each.interval(product) for product in products) / len(products)

    assert demand == pytest.approx(1.1 / DAY, rel=1e-3)


def test_a_product_that_changes_more_often_is_fetched_more_often() -> None:
    products = [
        observed(*((DAY / 4, index % 10 < changes) for index in range(30))) for changes in (0, 2, 5)
    ]
    never, sometimes, often = map(schedule(*products).interval, products)

    assert often < sometimes < never


def test_a_product_too_fast_for_the_budget_is_fetched_least() -> None:
    fast = observed(*[(HOUR, True)] * 60)
    others = [observed(*[(10 * DAY, index % 2 == 0) for index in range(8)])] * 20

    assert schedule(fast, *others, calls=100 / DAY).interval(fast) == pytest.approx(MAX_INTERVAL)


def test_removed_products_ask_for_nothing() -> None:
    _, removed = observed().fetched(None, NOW + DAY)
    for strategy in STRATEGIES:
        alone = schedule(*[observed()] * 5, watched=500, strategy=strategy)
        among_others = schedule(*[observed(), removed] * 5, watched=1000, strategy=strategy)

        assert alone.interval(observed()) == pytest.approx(among_others.interval(observed()))


def test_a_removed_product_backs_off_to_the_longest_interval() -> None:
    product, delays = observed(), []
    for day in range(7):
        _, product = product.fetched(None, NOW + day * DAY)
        delays.append(schedule().interval(product) / DAY)

    assert delays == [1, 2, 4, 8, 16, 30, 30]


def test_a_product_removed_for_ever_stays_within_the_bounds() -> None:
    at_least_two_days = Schedule("uniform", Budget(1.0, min_interval=2 * DAY), [], 10)

    assert schedule().interval(WatchedProduct("a", NOW, 100_000)) == MAX_INTERVAL
    assert at_least_two_days.interval(WatchedProduct("a", NOW, 1)) == 2 * DAY


# Freshness


def test_a_copy_just_fetched_is_fresh_and_gets_old() -> None:
    each = schedule()
    ages = [each.fraction_fresh([observed()], NOW + age) for age in (-5, 0, HOUR, DAY, 9 * DAY)]

    assert ages[:2] == [1, 1]
    assert ages == sorted(ages, key=lambda fresh: -(fresh or 0))
    assert ages[3] == pytest.approx((1 + 1 / 2) ** -2)


def test_the_fraction_counts_what_is_unfetched_and_leaves_out_what_is_removed() -> None:
    _, removed = observed().fetched(None, NOW)

    assert schedule().fraction_fresh([WatchedProduct(), observed(), removed], NOW) == 0.5


def test_a_product_seen_to_change_often_counts_less() -> None:
    each = schedule()
    often, rarely = observed(*[(DAY, True)] * 10), observed(*[(DAY, False)] * 10)
    stale, fresh = (each.fraction_fresh([product], NOW + 11 * DAY) for product in (often, rarely))

    assert stale is not None
    assert fresh is not None
    assert stale < fresh / 3


def test_nothing_watched_has_no_freshness() -> None:
    assert schedule().fraction_fresh([], NOW) is None
    assert schedule().fraction_fresh([WatchedProduct("a", NOW, 2)], NOW) is None
