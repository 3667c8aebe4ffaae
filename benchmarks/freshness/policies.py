"""The strategies that are compared: the package's own, others' and those of oracles."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from ali1688_spider.watching.looks import Look
from ali1688_spider.watching.schedule import OVERBOOKING, Budget, Schedule
from ali1688_spider.watching.watched_product import WatchedProduct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.freshness.simulation import World

WORKERS = 4
SAMPLE = 100
DRAW_EVERY = 20  # calls of a worker between two samples


class Local:
    """A strategy of the package as workers run it, with samples drawn from time to time."""

    def __init__(self, strategy: str, budget: Budget, world: World) -> None:
        number = len(world.population)
        self.strategy, self.budget = strategy, budget
        self.products = [WatchedProduct()] * number
        self.versions = [0] * number  # in the place of fingerprints
        self.pages = world.pages()
        self.looks = [Look()] * len(self.pages)
        self.draw_every = DRAW_EVERY * world.at_once
        self.random = random.Random(0)
        self.now = 0.0
        self.schedules = [self.draw()] * WORKERS
        self.calls = 0

    def draw(self) -> Schedule:
        sample = self.random.sample(self.products, min(SAMPLE, len(self.products)))
        calls = sum(each.demand for each in self.looks)
        number, now = len(self.products), self.now
        return Schedule(self.strategy, self.budget, sample, number, now=now, looks=calls)

    def schedule(self, now: float) -> Schedule:
        self.now = now
        worker, turn = self.calls % WORKERS, self.calls // WORKERS
        self.calls += 1
        if turn % self.draw_every == 0:
            self.schedules[worker] = self.draw()
        return self.schedules[worker]

    def fetched(self, index: int, now: float, changed: bool | None) -> float:  # noqa: FBT001
        schedule = self.schedule(now)
        self.versions[index] += bool(changed)
        _, product = self.products[index].fetched(str(self.versions[index]), now)
        self.products[index] = product
        return schedule.interval(product)

    def hinted(self, index: int, now: float, within: float = 0.0) -> float | None:
        product = self.products[index].hinted(now, within)
        self.products[index] = product
        return self.schedules[0].hint_priority(product, now)

    def looked(self, page: int, moved: int, now: float) -> float | None:
        shown = [self.products[index] for index in self.pages[page]]
        self.looks[page] = self.looks[page].looked(shown, moved, now, self.schedule(now))
        return self.looks[page].interval or self.budget.max_interval


class Multiplicative:
    """Longer after a fetch that found nothing new, shorter after one that did."""

    def __init__(self, budget: Budget, world: World, longer: float, shorter: float) -> None:
        self.budget = budget
        self.longer, self.shorter = longer, shorter
        number = len(world.population)
        self.intervals = [number / budget.calls_per_second] * number

    def fetched(self, index: int, now: float, changed: bool | None) -> float:  # noqa: ARG002, FBT001
        factor = 1.0 if changed is None else self.shorter if changed else self.longer
        self.intervals[index] = self.budget.bounded(self.intervals[index] * factor)
        return self.intervals[index]

    def hinted(self, index: int, now: float, within: float = 0.0) -> None:
        """Leave it to the schedule."""

    def looked(self, page: int, moved: int, now: float) -> None:
        """Look no more."""


class Oracle:
    """The best calls for the true mean rates: what no strategy that has to learn can know.

    It has the hints and the pages of its world, and knows which part of the changes they tell. All
    its calls gain the same, where they gain it: ``price`` seconds of freshness each. It asks for a
    tenth more than the budget, so that its queue is as rarely empty as others'. What a hint tells
    of a product that changes too fast is fetched when nothing else is due.
    """

    def __init__(self, budget: Budget, world: World) -> None:
        self.budget = budget
        self.rates = [each.rate for each in world.population]
        self.told = [max(told, world.shown) for told in world.told_parts()]
        self.pages = world.pages()
        low, high = math.log(1e-3), math.log(budget.max_interval)
        for _ in range(20):
            middle = (low + high) / 2
            demand = self._demand(math.exp(middle), is_instant=not self.pages)
            is_too_much = demand > OVERBOOKING * budget.calls_per_second
            low, high = (middle, high) if is_too_much else (low, middle)
        self.price = math.exp(low)
        self.intervals = self._intervals(self.price)
        self.look_intervals = [self._look_interval(page, self.price) for page in self.pages]

    def fetched(self, index: int, now: float, changed: bool | None) -> float:  # noqa: ARG002, FBT001
        return self.intervals[index]

    def hinted(self, index: int, now: float, within: float = 0.0) -> float | None:  # noqa: ARG002
        gain = 1 / self.rates[index]
        return gain if gain >= self.price else -1 / gain

    def looked(self, page: int, moved: int, now: float) -> float | None:  # noqa: ARG002
        return self.look_intervals[page]

    def _demand(self, price: float, *, is_instant: bool) -> float:
        """Return the calls per second that are worth this price."""
        demand = sum(1 / interval for interval in self._intervals(price))
        if is_instant:
            told = zip(self.told, self.rates, strict=True)
            return demand + sum(part * rate for part, rate in told if rate * price <= 1)
        for page in self.pages:
            every = self._look_interval(page, price)
            if every is None:
                continue
            fetched = [each for each in page if self.rates[each] * price <= 1]
            shown = [self.told[each] * self.rates[each] for each in fetched]
            demand += (1 + sum(-math.expm1(-each * every) for each in shown)) / every
        return demand

    def _intervals(self, price: float) -> list[float]:
        told = zip(self.rates, self.told, strict=True)
        return [self._interval(rate, part * rate, price) for rate, part in told]

    def _interval(self, rate: float, told: float, price: float) -> float:
        """Return after how long a fetch is worth its price, though no hint has come.

        With ``told`` and ``silent`` changes, a cycle ends with a fetch after ``t`` or with a hint.
        Its freshness beyond the price, per time, is highest where ``F - exp(-silent t) L = price``
        with ``F = (1 - exp(-rate t)) / rate`` and ``L = (1 - exp(-told t)) / told``, or ``t``.
        """
        silent = rate - told
        low, high = 0.0, NEVER_DUE if told else self.budget.max_interval
        for _ in range(50):
            t = (low + high) / 2
            length = -math.expm1(-told * t) / told if told else t
            gain = -math.expm1(-rate * t) / rate - math.exp(-silent * t) * length
            low, high = (t, high) if gain < price else (low, t)
        return max(self.budget.min_interval, high)

    def _look_interval(self, page: Sequence[int], price: float) -> float | None:
        """Return after how long what a look shows, beyond the fetches it leads to, is worth it."""
        fetched = [each for each in page if self.rates[each] * price < 1]
        rates = [(self.rates[each], self.told[each] * self.rates[each]) for each in fetched]
        if sum(1 / rate - price for rate, _ in rates) <= price:
            return None
        low, high = 0.0, NEVER_DUE
        for _ in range(50):
            t = (low + high) / 2
            gain = 0.0
            for rate, told in rates:
                age = told * t
                gain += (1 / rate - price) * (1 - (1 + age) * math.exp(-age))
            low, high = (t, high) if gain < price else (low, t)
        return max(self.budget.min_interval, high)


NEVER_DUE = 1e9  # seconds
MULTIPLICATIVE = ("× 1.5 / × 0.5", "× 1.2 / × 0.8")
