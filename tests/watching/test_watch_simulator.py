from __future__ import annotations

import importlib.util
import math
import random
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.watching.schedule import DAY, OVERBOOKING, Budget

if TYPE_CHECKING:
    from collections.abc import Iterator

SIMULATOR = Path(__file__).parents[2] / "benchmarks" / "watch_simulator.py"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("watch_simulator", SIMULATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def results(simulator: Any) -> Any:
    return simulator.compare("mixed", 200, 60, [1])


@pytest.mark.parametrize("per_day", [0.2, 0.5, 1.0])
def test_adaptive_keeps_more_fresh_than_every_other_strategy(
    simulator: Any, results: Any, per_day: float
) -> None:
    others = "uniform", *simulator.MULTIPLICATIVE
    margins = {other: simulator.margins(results, per_day, "adaptive", other)[0] for other in others}

    assert min(margins.values()) > 0
    assert results[per_day, "adaptive"][0].used > 0.97


def test_the_table_has_a_row_for_every_run(simulator: Any, results: Any) -> None:
    rows = simulator.table(results).splitlines()[2:]

    assert len(rows) == len(simulator.BUDGETS) * len(simulator.POLICIES)
    assert rows[1].startswith("| 0.2 | uniform | ")
    assert "calls per product and day" in simulator.verdict(results)


def test_uniform_is_as_fresh_as_the_formula_says(simulator: Any) -> None:
    population = simulator.alike(300, 40, random.Random(2))
    budget = Budget(300 / DAY)

    uniform = simulator.Local("uniform", budget, 300)
    result = simulator.simulate(uniform, population, budget, 40)

    assert result.fresh_late == pytest.approx(1 - math.exp(-1), abs=0.015)
    assert result.used == pytest.approx(1)
    assert statistics.median(result.ages) == pytest.approx(DAY / 2, rel=0.1)


def test_demand_settles_at_the_overbooked_budget(simulator: Any) -> None:
    population = simulator.mixed(200, 60, random.Random(3))
    budget = Budget(100 / DAY)
    policy = simulator.Local("adaptive", budget, 200)

    simulator.simulate(policy, population, budget, 60)

    demand = sum(1 / policy.draw().interval(each) for each in policy.products)
    assert demand == pytest.approx(OVERBOOKING * budget.calls_per_second, rel=0.1)


@pytest.mark.parametrize("served", [0.5, 0.8])
def test_where_fewer_calls_can_be_made_adaptive_is_fresher_too(
    simulator: Any, served: float
) -> None:
    population = simulator.mixed(150, 90, random.Random(4))
    budget = Budget(150 / DAY)
    adaptive, uniform = (
        simulator.simulate(simulator.Local(strategy, budget, 150), population, budget, 90, served)
        for strategy in ("adaptive", "uniform")
    )

    assert adaptive.used > 0.97
    assert adaptive.fresh > uniform.fresh
    assert max(adaptive.ages) < 9 * DAY


def test_the_expected_fraction_fresh_is_the_true_one(simulator: Any) -> None:
    population = simulator.mixed(200, 60, random.Random(5))
    budget = Budget(200 / DAY)
    policy = simulator.Local("adaptive", budget, 200)

    result = simulator.simulate(policy, population, budget, 60)

    expected = policy.draw().fraction_fresh(policy.products, 60 * DAY)
    assert expected == pytest.approx(result.fresh_late, abs=0.06)
