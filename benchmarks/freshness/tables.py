"""Comparisons of policies over the same populations, and their tables."""

from __future__ import annotations

import random
import statistics
from typing import TYPE_CHECKING

from ali1688_spider.watching.schedule import Budget
from ali1688_spider.watching.watched_product import DAY
from benchmarks.freshness.policies import MULTIPLICATIVE, Local, Multiplicative, Oracle
from benchmarks.freshness.populations import POPULATIONS
from benchmarks.freshness.simulation import World, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.freshness.populations import Population
    from benchmarks.freshness.simulation import Policy, Result

BUDGETS = (0.2, 0.5, 1.0)  # calls per product and day
MEANS_BUDGETS = (0.05, 0.2, 1.0)
SHOWN = 0.5  # of the changes, on pages
BATCH = 50

POLICIES: dict[str, Callable[[Budget, World], Policy]] = {
    "adaptive": lambda budget, world: Local("adaptive", budget, world),
    "uniform": lambda budget, world: Local("uniform", budget, world),
    MULTIPLICATIVE[0]: lambda budget, world: Multiplicative(budget, world, 1.5, 0.5),
    MULTIPLICATIVE[1]: lambda budget, world: Multiplicative(budget, world, 1.2, 0.8),
    "oracle": Oracle,
}

MEANS: dict[str, Callable[[Population, int], World]] = {
    "adaptive": lambda products, seed: World(products, seed=seed),
    "hints for half": lambda products, seed: World(products, told=0.5, seed=seed),
    "hints for half of the products": lambda products, seed: World(
        products, told=1.0, followed=0.5, seed=seed
    ),
    "hints for all": lambda products, seed: World(products, told=1.0, seed=seed),
    "pages of 10": lambda products, seed: World(products, page=10, shown=SHOWN, seed=seed),
    "pages of 50": lambda products, seed: World(products, page=50, shown=SHOWN, seed=seed),
    "batches of 50": lambda products, seed: World(products, at_once=BATCH, seed=seed),
}
"""What the package's adaptive strategy may have, beside one call for one product."""

Results = dict[tuple[float, str], list["Result"]]  # by budget and policy, one per seed


def compare(name: str, number: int, days: float, seeds: Sequence[int]) -> Results:
    """Run all policies at all budgets over the same populations."""
    results: Results = {}
    for seed in seeds:
        world = World(POPULATIONS[name](number, days, random.Random(seed)))
        for per_day in BUDGETS:
            budget = Budget(per_day * number / DAY)
            for policy, make in POLICIES.items():
                result = simulate(make(budget, world), world, budget, days)
                results.setdefault((per_day, policy), []).append(result)
    return results


def compare_means(
    number: int,
    days: float,
    seeds: Sequence[int],
    budgets: Sequence[float] = MEANS_BUDGETS,
    means: Sequence[str] = tuple(MEANS),
) -> Results:
    """Run the adaptive strategy and an oracle with the same means, and the uniform one.

    The oracle's results stand under the name of the means with ``, oracle`` behind.
    """
    results: Results = {}
    for seed in seeds:
        products = POPULATIONS["mixed"](number, days, random.Random(seed))
        for per_day in budgets:
            world, budget = World(products), Budget(per_day * number / DAY)
            uniform = simulate(Local("uniform", budget, world), world, budget, days)
            results.setdefault((per_day, "uniform"), []).append(uniform)
            for name in means:
                world = MEANS[name](products, seed)
                budget = Budget(per_day * number * world.at_once / DAY)
                for label, make in (("", POLICIES["adaptive"]), (", oracle", Oracle)):
                    result = simulate(make(budget, world), world, budget, days)
                    results.setdefault((per_day, name + label), []).append(result)
    return results


def margins(results: Results, per_day: float, policy: str, other: str) -> list[float]:
    """Return by how many percentage points a policy is fresher than another, seed by seed."""
    pairs = zip(results[per_day, policy], results[per_day, other], strict=True)
    return [100 * (run.fresh - against.fresh) for run, against in pairs]


def parts_of_oracle(results: Results, per_day: float, means: str) -> list[float]:
    """Return the freshness as a part of the oracle's, seed by seed."""
    oracle = results[per_day, f"{means}, oracle"]
    pairs = zip(results[per_day, means], oracle, strict=True)
    return [run.fresh / against.fresh for run, against in pairs]


COLUMNS = (
    "calls per product and day",
    "strategy",
    "fresh",
    "lowest – highest seed",
    "against uniform, in points: mean, worst seed",
    "fresh, second half",
    "age p50 / p95",
    "out of date for p50 / p95",
    "budget used",
)
MEANS_COLUMNS = (
    "calls per product and day",
    "means",
    "fresh",
    "lowest – highest seed",
    "against uniform, in points: mean, worst seed",
    "oracle",
    "part of the oracle's: mean, worst seed",
    "both in the second half",
    "calls for looks",
)


def table(results: Results) -> str:
    """Return a Markdown table: a row per budget and policy."""
    rows = []
    for (per_day, policy), runs in results.items():
        cells = (
            f"{per_day:g}",
            f"**{policy}**" if policy == "adaptive" else policy,
            *_fresh(results, per_day, policy),
            f"{_mean(run.fresh_late for run in runs):.1%}",
            _percentiles([age for run in runs for age in run.ages]),
            _percentiles([age for run in runs for age in run.outdated]),
            f"{_mean(run.used for run in runs):.1%}",
        )
        rows.append(cells)
    return _markdown(COLUMNS, rows)


def means_table(results: Results) -> str:
    """Return a Markdown table: a row per budget and means, beside the oracle with the same ones."""
    rows = []
    for (per_day, means), runs in results.items():
        if means.endswith(", oracle"):
            continue
        oracle = results.get((per_day, f"{means}, oracle"), [])
        compared = ("", "", "")
        if oracle:
            parts = parts_of_oracle(results, per_day, means)
            late = [_mean(run.fresh_late for run in each) for each in (runs, oracle)]
            compared = (
                f"{_mean(run.fresh for run in oracle):.1%}",
                f"{_mean(parts):.1%}, {min(parts):.1%}",
                f"{late[0]:.1%} of {late[1]:.1%}",
            )
        looks = _mean(run.looks for run in runs)
        cells = *_fresh(results, per_day, means), *compared, f"{looks:.0%}" if looks else ""
        rows.append((f"{per_day:g}", means, *cells))
    return _markdown(MEANS_COLUMNS, rows)


def verdict(results: Results) -> str:
    """Return the smallest margin of the adaptive strategy at each budget, over all seeds."""
    parts = []
    for per_day in BUDGETS:
        uniform = min(margins(results, per_day, "adaptive", "uniform"))
        others = min(
            margin
            for other in MULTIPLICATIVE
            for margin in margins(results, per_day, "adaptive", other)
        )
        parts.append(f"{uniform:+.2f} and {others:+.2f} at {per_day:g}")
    return (
        "Adaptive against uniform and against the better multiplicative schedule, in the worst "
        f"seed, in points: {'; '.join(parts)} calls per product and day."
    )


def _fresh(results: Results, per_day: float, policy: str) -> tuple[str, str, str]:
    fresh = [run.fresh for run in results[per_day, policy]]
    gains = margins(results, per_day, policy, "uniform")
    gain = "" if policy == "uniform" else f"{_mean(gains):+.2f}, {min(gains):+.2f}"
    return f"{_mean(fresh):.1%}", f"{min(fresh):.1%} – {max(fresh):.1%}", gain


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|--:|---|" + "--:|" * (len(columns) - 2)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _percentiles(seconds: list[float]) -> str:
    seconds = sorted(seconds)
    middle, high = (seconds[int(share * (len(seconds) - 1))] / 3600 for share in (0.5, 0.95))
    return f"{middle:.1f} / {high:.0f} h"


_mean = statistics.mean
