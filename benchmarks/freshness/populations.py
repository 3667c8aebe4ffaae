"""The products that are watched in a simulation, with all of their changes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ali1688_spider.watching.watched_product import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator

CATEGORIES = 20
MOST = 48 / DAY  # changes per second of the fastest product


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
