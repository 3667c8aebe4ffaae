"""Compares strategies of watching products, by simulation: how much of the store is right?

Run ``python benchmarks/watch_simulator.py``: it writes ``watch_simulator.md`` next to this file,
which also says what is simulated. ``--quick`` prints one small population instead.
"""

from __future__ import annotations

import argparse
import inspect
import math
import random
import statistics
import time
from bisect import bisect_right
from dataclasses import dataclass
from heapq import heapify, heapreplace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ali1688_spider.watching.schedule import DAY, OVERBOOKING, Budget, Schedule, WatchedProduct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BUDGETS = (0.2, 0.5, 1.0)  # calls per product and day
CATEGORIES = 20
WORKERS = 4
SAMPLE = 100
DRAW_EVERY = 20  # calls of a worker between two samples
MOST = 48 / DAY  # changes per second of the fastest product
NEVER = math.inf


@dataclass(frozen=True)
class Truth:
    """One product as it really is; strategies do not see it.

    Attributes:
        category: Its number, from 1.
        rate: Mean change rate in changes per second.
        changes: Times of its changes in seconds from the start, ascending.
    """

    category: int
    rate: float
    changes: list[float]


Population = list[Truth]


def mixed(number: int, days: float, random_: random.Random) -> Population:
    """Median 0.3 changes a day, nine in ten between 0.015 and 6; categories differ.

    Half of the products change by day only, a fifth in bursts. (Of the Web pages that Ntoulas, Cho
    and Olston followed in 2004, half did not change in a year: such rates spread wider still.)
    """
    return _lognormal(number, days, random_, 0.3, (1.0, 1.5), shifting=False)


def narrow(number: int, days: float, random_: random.Random) -> Population:
    """As mixed, but nine in ten between 0.04 and 4 changes a day: there is less to gain."""
    return _lognormal(number, days, random_, 0.4, (0.8, 1.1), shifting=False)


def shifting(number: int, days: float, random_: random.Random) -> Population:
    """As mixed, but a third of the products gets another rate halfway."""
    return _lognormal(number, days, random_, 0.3, (1.0, 1.5), shifting=True)


def alike(number: int, days: float, random_: random.Random) -> Population:
    """One change a day, all of them: nothing to learn, equal intervals are the best."""
    return [
        Truth(1 + i % CATEGORIES, 1 / DAY, list(_changes(random_, 1 / DAY, 0, days * DAY)))
        for i in range(number)
    ]


def _lognormal(
    number: int,
    days: float,
    random_: random.Random,
    median: float,
    spread: tuple[float, float],
    *,
    shifting: bool,
) -> Population:
    medians = [median / DAY * random_.lognormvariate(0, spread[0]) for _ in range(CATEGORIES)]
    half, end = days * DAY / 2, days * DAY
    population = []
    for i in range(number):
        category, kind = i % CATEGORIES, random_.random()
        own = (medians[category] * random_.lognormvariate(0, spread[1]) for _ in range(2))
        rates = [min(MOST, rate) for rate in own]
        if not shifting or random_.random() > 1 / 3:
            rates[1] = rates[0]
        times = [
            change
            for rate, start, stop in ((rates[0], 0.0, half), (rates[1], half, end))
            for change in _changes_of_kind(kind, random_, rate, start, stop)
        ]
        population.append(Truth(1 + category, sum(rates) / 2, times))
    return population


def _changes_of_kind(
    kind: float, random_: random.Random, rate: float, start: float, stop: float
) -> list[float]:
    if kind < 0.5:  # between 8 and 24 o'clock, as often in sum
        by_day = _changes(random_, 1.5 * rate, start, stop)
        return [each for each in by_day if each % DAY >= DAY / 3]
    if kind < 0.7:  # on average three changes within a few hours
        bursts = _changes(random_, rate / 3, start, stop)
        return sorted(each for first in bursts for each in _burst(random_, first) if each < stop)
    return list(_changes(random_, rate, start, stop))


def _burst(random_: random.Random, first: float) -> Iterator[float]:
    yield first
    while random_.random() < 2 / 3:
        first += random_.expovariate(1 / 7200)
        yield first


def _changes(random_: random.Random, rate: float, start: float, stop: float) -> Iterator[float]:
    now = start + random_.expovariate(rate)
    while now < stop:
        yield now
        now += random_.expovariate(rate)


POPULATIONS = {each.__name__: each for each in (mixed, narrow, shifting, alike)}


class Policy(Protocol):
    """Says in how many seconds to fetch a product again that was fetched ``now``."""

    def fetched(self, index: int, now: float, changed: bool | None) -> float: ...  # noqa: FBT001


class Local:
    """A strategy of the package as workers run it, with samples drawn from time to time."""

    def __init__(self, strategy: str, budget: Budget, number: int) -> None:
        self.strategy, self.budget = strategy, budget
        self.products = [WatchedProduct()] * number
        self.versions = [0] * number  # in the place of fingerprints
        self.random = random.Random(0)
        self.schedules = [self.draw()] * WORKERS
        self.calls = 0

    def draw(self) -> Schedule:
        sample = self.random.sample(self.products, min(SAMPLE, len(self.products)))
        return Schedule(self.strategy, self.budget, sample, len(self.products))

    def fetched(self, index: int, now: float, changed: bool | None) -> float:  # noqa: FBT001
        worker, turn = self.calls % WORKERS, self.calls // WORKERS
        self.calls += 1
        if turn % DRAW_EVERY == 0:
            self.schedules[worker] = self.draw()
        self.versions[index] += bool(changed)
        _, product = self.products[index].fetched(str(self.versions[index]), now)
        self.products[index] = product
        return self.schedules[worker].interval(product)


class Multiplicative:
    """Longer after a fetch that found nothing new, shorter after one that did."""

    def __init__(self, budget: Budget, number: int, longer: float, shorter: float) -> None:
        self.budget = budget
        self.longer, self.shorter = longer, shorter
        self.intervals = [number / budget.calls_per_second] * number

    def fetched(self, index: int, now: float, changed: bool | None) -> float:  # noqa: ARG002, FBT001
        factor = 1.0 if changed is None else self.shorter if changed else self.longer
        self.intervals[index] = self.budget.bounded(self.intervals[index] * factor)
        return self.intervals[index]


class Oracle:
    """The best intervals for the true mean rates: what no strategy that has to learn can know.

    They ask for a tenth more than the budget, so that its queue is as rarely empty as others'.
    """

    def __init__(self, budget: Budget, population: Population) -> None:
        low, high = math.log(1e-3), math.log(budget.max_interval)
        for _ in range(20):
            middle = (low + high) / 2
            intervals = self._intervals(budget, population, math.exp(middle))
            demand = sum(1 / each for each in intervals)
            is_too_much = demand > OVERBOOKING * budget.calls_per_second
            low, high = (middle, high) if is_too_much else (low, middle)
        self.intervals = self._intervals(budget, population, math.exp(low))

    @staticmethod
    def _intervals(budget: Budget, population: Population, gain: float) -> list[float]:
        """Return when a fetch gains so many seconds of freshness, product by product.

        That is the ``t`` with ``1 - (1 + rate * t) * exp(-rate * t) = rate * gain``.
        """
        intervals = []
        for each in population:
            low, high = 0.0, each.rate * budget.max_interval
            for _ in range(40):
                middle = (low + high) / 2
                is_less = 1 - (1 + middle) * math.exp(-middle) < each.rate * gain
                low, high = (middle, high) if is_less else (low, middle)
            intervals.append(budget.bounded(high / each.rate))
        return intervals

    def fetched(self, index: int, now: float, changed: bool | None) -> float:  # noqa: ARG002, FBT001
        return self.intervals[index]


MULTIPLICATIVE = ("× 1.5 / × 0.5", "× 1.2 / × 0.8")
POLICIES: dict[str, Callable[[Budget, Population], Policy]] = {
    "adaptive": lambda budget, products: Local("adaptive", budget, len(products)),
    "uniform": lambda budget, products: Local("uniform", budget, len(products)),
    MULTIPLICATIVE[0]: lambda budget, products: Multiplicative(budget, len(products), 1.5, 0.5),
    MULTIPLICATIVE[1]: lambda budget, products: Multiplicative(budget, len(products), 1.2, 0.8),
    "oracle": Oracle,
}


@dataclass
class Result:
    """What one run came to.

    Attributes:
        fresh: Part of the products whose stored copy is right, average over the whole time.
        fresh_late: The same over the second half.
        ages: Time since the fetch of the stored copy, in seconds; a sample.
        outdated: Time since the stored copy stopped being right, 0 while it is; a sample.
        used: Part of the budget that was spent.
    """

    fresh: float
    fresh_late: float
    ages: list[float]
    outdated: list[float]
    used: float


class Store:
    """What is stored of each product, and how long it was right."""

    def __init__(self, population: Population, end: float) -> None:
        self.population = population
        self.end = end
        self.fetched_at: list[float | None] = [None] * len(population)
        self.right_until = [0.0] * len(population)
        self.fresh_seconds = [0.0, 0.0]  # in the first and in the second half
        self.ages: list[float] = []
        self.outdated: list[float] = []

    def fetch(self, index: int, now: float) -> bool | None:
        """Store a product; return whether it had changed, None for the first time."""
        changed = self._count(index, now)
        changes = self.population[index].changes
        following = bisect_right(changes, now)
        self.fetched_at[index] = now
        self.right_until[index] = changes[following] if following < len(changes) else NEVER
        return changed

    def sample(self, now: float) -> None:
        """Note the ages of all stored copies."""
        for fetched_at, until in zip(self.fetched_at, self.right_until, strict=True):
            if fetched_at is not None:
                self.ages.append(now - fetched_at)
                self.outdated.append(max(0.0, now - until))

    def close(self) -> None:
        """Count what is stored at the end."""
        for index in range(len(self.population)):
            self._count(index, self.end)

    def _count(self, index: int, now: float) -> bool | None:
        fetched_at, until = self.fetched_at[index], self.right_until[index]
        if fetched_at is None:
            return None
        half, until_ = self.end / 2, min(until, now)
        self.fresh_seconds[0] += max(0.0, min(until_, half) - fetched_at)
        self.fresh_seconds[1] += max(0.0, until_ - max(fetched_at, half))
        return until <= now


def simulate(
    policy: Policy, population: Population, budget: Budget, days: float, served: float = 1.0
) -> Result:
    """Run one policy over one population; all products are due at the start.

    Args:
        policy: Knows the budget.
        population: What it watches.
        budget: What may be spent.
        days: Length of the run.
        served: Slots there really are per call of the budget.
    """
    store = Store(population, days * DAY)
    queue = [(0.0, index) for index in range(len(population))]
    heapify(queue)
    per_second = served * budget.calls_per_second
    slots = int(days * DAY * per_second)
    samples = random.Random(0)
    sample_at, used = 0.0, 0
    for slot in range(slots):
        now = slot / per_second
        if now >= sample_at:
            store.sample(now)
            sample_at += DAY * samples.uniform(0.5, 1.5)
        due, index = queue[0]
        if due > now:
            continue
        used += 1
        delay = policy.fetched(index, now, store.fetch(index, now))
        heapreplace(queue, (now + delay, index))
    store.close()
    whole = len(population) * store.end
    first, second = store.fresh_seconds
    return Result(
        (first + second) / whole, 2 * second / whole, store.ages, store.outdated, used / slots
    )


Results = dict[tuple[float, str], list[Result]]  # by budget and policy, one per seed


def compare(name: str, number: int, days: float, seeds: Sequence[int]) -> Results:
    """Run all policies at all budgets over the same populations."""
    results: Results = {}
    for seed in seeds:
        population = POPULATIONS[name](number, days, random.Random(seed))
        for per_day in BUDGETS:
            budget = Budget(per_day * number / DAY)
            for policy, make in POLICIES.items():
                result = simulate(make(budget, population), population, budget, days)
                results.setdefault((per_day, policy), []).append(result)
    return results


INTRODUCTION = """\
# Watching products: which strategy keeps the store fresh?

Products change at random, each at a rate of its own. A limited number of calls a day tells, of one
product each, whether it changed since the call before; strategies learn nothing else (*oracle*
knows the true mean rates and shows what could be reached). All products are due at the start, and
the time of learning counts.

It runs as with Redis: a queue ordered by due time and one call per slot of the budget, made for
the product that has been due longest. A slot in which none is due is lost; calls for which there
is no slot wait. *adaptive* and *uniform* are the package's own strategies; {workers} workers take
turns, each with a sample of {sample} products that it draws once in {draw_every} calls. The
multiplicative schedules start from equal intervals and multiply a product's by the first factor
after a call that found nothing new, by the second after one that did (the second pair: Apache
Nutch's AdaptiveFetchSchedule). Intervals stay between 10 minutes and 30 days.

*Fresh* is the part of the products whose stored copy is right, averaged over the time. *Age* is
the time since the stored copy was fetched, *out of date for* the time since it stopped being
right. {products} products in {categories} categories, {days} days.

Written by `python benchmarks/watch_simulator.py` in {seconds:.0f} s.
"""

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


def table(results: Results) -> str:
    """Return a Markdown table: a row per budget and policy."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|--:|---|" + "--:|" * (len(COLUMNS) - 2)]
    for (per_day, policy), runs in results.items():
        fresh = [run.fresh for run in runs]
        gains = margins(results, per_day, policy, "uniform")
        cells = (
            f"{per_day:g}",
            f"**{policy}**" if policy == "adaptive" else policy,
            f"{statistics.mean(fresh):.1%}",
            f"{min(fresh):.1%} – {max(fresh):.1%}",
            "" if policy == "uniform" else f"{statistics.mean(gains):+.2f}, {min(gains):+.2f}",
            f"{statistics.mean(run.fresh_late for run in runs):.1%}",
            _percentiles([age for run in runs for age in run.ages]),
            _percentiles([age for run in runs for age in run.outdated]),
            f"{statistics.mean(run.used for run in runs):.1%}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def margins(results: Results, per_day: float, policy: str, other: str) -> list[float]:
    """Return by how many percentage points a policy is fresher than another, seed by seed."""
    pairs = zip(results[per_day, policy], results[per_day, other], strict=True)
    return [100 * (run.fresh - against.fresh) for run, against in pairs]


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


def _percentiles(seconds: list[float]) -> str:
    seconds = sorted(seconds)
    middle, high = (seconds[int(share * (len(seconds) - 1))] / 3600 for share in (0.5, 0.95))
    return f"{middle:.1f} / {high:.0f} h"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small population, printed only")
    parser.add_argument("--products", type=int, default=400)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--seeds", type=int, default=5, help="of the population 'mixed'")
    options = parser.parse_args()
    if options.quick:
        results = compare("mixed", 200, 60, [1])
        print(table(results), verdict(results), sep="\n\n")
        return
    started = time.perf_counter()
    parts: list[str] = []
    for name, make in POPULATIONS.items():
        seeds = range(1, 1 + (options.seeds if name == "mixed" else 2))
        results = compare(name, options.products, options.days, seeds)
        title = f"## {name.capitalize()}, {len(seeds)} seeds"
        parts += title, inspect.getdoc(make) or "", table(results), verdict(results)
        print(*parts[-4:], sep="\n\n", end="\n\n", flush=True)
    introduction = INTRODUCTION.format(
        workers=WORKERS,
        sample=SAMPLE,
        draw_every=DRAW_EVERY,
        products=options.products,
        categories=CATEGORIES,
        days=options.days,
        seconds=time.perf_counter() - started,
    )
    report = "\n\n".join([introduction.strip(), *parts])
    Path(__file__).with_suffix(".md").write_text(report + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
