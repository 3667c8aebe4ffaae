from __future__ import annotations

import math
import random
import statistics
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.watching.schedule import OVERBOOKING, Budget
from ali1688_spider.watching.watched_product import DAY
from benchmarks.freshness import tables
from benchmarks.freshness.policies import MULTIPLICATIVE, Local
from benchmarks.freshness.populations import alike, mixed
from benchmarks.freshness.simulation import World, simulate

if TYPE_CHECKING:
    from benchmarks.freshness.tables import Results


@pytest.fixture(scope="module")
def results() -> Results:
    return tables.compare("mixed", 200, 60, [1])


@pytest.fixture(scope="module")
def means() -> Results:
    means = [name for name in tables.MEANS if not name.startswith("batches")]
    return tables.compare_means(200, 90, [1], budgets=[0.2], means=means)


@pytest.mark.parametrize("per_day", [0.2, 0.5, 1.0])
def test_adaptive_keeps_more_fresh_than_every_other_strategy(
    results: Results, per_day: float
) -> None:
    others = "uniform", *MULTIPLICATIVE
    margins = {other: tables.margins(results, per_day, "adaptive", other)[0] for other in others}

    assert min(margins.values()) > 0
    assert results[per_day, "adaptive"][0].used > 0.97


def test_the_tables_have_a_row_for_every_run(results: Results, means: Results) -> None:
    rows = tables.table(results).splitlines()[2:]

    assert len(rows) == len(tables.BUDGETS) * len(tables.POLICIES)
    assert rows[1].startswith("| 0.2 | uniform | ")
    assert "calls per product and day" in tables.verdict(results)
    rows = tables.means_table(means).splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == ["uniform", *list(tables.MEANS)[:-1]]


# Hints, pages and batches: at 0.2 calls per product and day


def test_hints_for_all_changes_come_near_to_what_is_possible(means: Results) -> None:
    assert tables.parts_of_oracle(means, 0.2, "hints for all")[0] > 0.95
    assert tables.margins(means, 0.2, "hints for all", "uniform")[0] > 12


def test_hints_for_half_of_the_changes_gain_most_of_what_is_possible(means: Results) -> None:
    assert tables.parts_of_oracle(means, 0.2, "hints for half")[0] > 0.9
    assert tables.margins(means, 0.2, "hints for half", "uniform")[0] > 2.5


def test_products_of_which_hints_tell_are_told_apart_from_others(means: Results) -> None:
    followed = "hints for half of the products"
    assert tables.parts_of_oracle(means, 0.2, followed)[0] > 0.9
    assert tables.margins(means, 0.2, followed, "uniform")[0] > 5


def test_pages_of_many_watched_products_pay(means: Results) -> None:
    assert tables.margins(means, 0.2, "pages of 50", "uniform")[0] > 2
    assert tables.parts_of_oracle(means, 0.2, "pages of 50")[0] > 0.93
    assert 0.03 < means[0.2, "pages of 50"][0].looks < 0.2


def test_pages_of_few_do_not_harm(means: Results) -> None:
    assert tables.margins(means, 0.2, "pages of 10", "uniform")[0] > -1


def test_batches_are_as_many_times_the_budget() -> None:
    batches = tables.compare_means(100, 30, [1], budgets=[0.2], means=["batches of 50"])

    assert tables.parts_of_oracle(batches, 0.2, "batches of 50")[0] > 0.95
    assert batches[0.2, "batches of 50"][0].fresh > 0.8


# The simulation itself


def test_uniform_is_as_fresh_as_the_formula_says() -> None:
    world = World(alike(300, 40, random.Random(2)))
    budget = Budget(300 / DAY)

    result = simulate(Local("uniform", budget, world), world, budget, 40)

    assert result.fresh_late == pytest.approx(1 - math.exp(-1), abs=0.015)
    assert result.used == pytest.approx(1)
    assert statistics.median(result.ages) == pytest.approx(DAY / 2, rel=0.1)


def test_demand_settles_at_the_overbooked_budget() -> None:
    world = World(mixed(200, 60, random.Random(3)))
    budget = Budget(100 / DAY)
    policy = Local("adaptive", budget, world)

    simulate(policy, world, budget, 60)

    demand = sum(1 / policy.draw().interval(each) for each in policy.products)
    assert demand == pytest.approx(OVERBOOKING * budget.calls_per_second, rel=0.1)


@pytest.mark.parametrize("served", [0.5, 0.8])
def test_where_fewer_calls_can_be_made_adaptive_is_fresher_too(served: float) -> None:
    world = World(mixed(150, 90, random.Random(4)))
    budget = Budget(150 / DAY)
    adaptive, uniform = (
        simulate(Local(strategy, budget, world), world, budget, 90, served)
        for strategy in ("adaptive", "uniform")
    )

    assert adaptive.used > 0.97
    assert adaptive.fresh > uniform.fresh
    assert max(adaptive.ages) < 9 * DAY


def test_the_expected_fraction_fresh_is_the_true_one() -> None:
    world = World(mixed(200, 60, random.Random(5)))
    budget = Budget(200 / DAY)
    policy = Local("adaptive", budget, world)

    result = simulate(policy, world, budget, 60)

    expected = policy.draw().fraction_fresh(policy.products, 60 * DAY)
    assert expected == pytest.approx(result.fresh_late, abs=0.06)
