"""How often a product changes, estimated from fetches that only say "changed" or "unchanged".

A fetch shows at most one change, however many there were since the fetch before, so that counting
changes underestimates fast products. Under Poisson changes the likelihood of the observations
accounts for it:

* J. Cho, H. Garcia-Molina: Estimating frequency of change. ACM TOIT 3(3), 2003. Their estimator
  for equal intervals, ``-log((n - x + 0.5) / (n + 0.5)) / interval`` after ``x`` changes in ``n``
  fetches, is nearly unbiased, so that its average over a category's products is near the truth.
  For unequal intervals they maximise the likelihood.
* For one product a dozen fetches say little; its likelihood is therefore combined with a gamma
  prior around its category's mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY = 86400.0
"""In seconds."""

MEMORY = 100.0
"""Fetches after which an observation counts 1/e: rates drift, and old evidence must not bind."""

PRIOR_CHANGES = 2.0
"""Weight of the category's mean: as much as this many changes seen in the product itself."""

_ALIKE = 4.0  # intervals within this factor share a tally: 10 % off the likeliest rate at most
_NEGLIGIBLE = 0.01  # faded observations below which a tally is dropped
_LONG = 50.0  # expected changes per interval from which "changed" says nothing more
_PRECISION = 1e-6


@dataclass(frozen=True, slots=True)
class Tally:
    """Some observations: how many, and the sum of their intervals.

    Attributes:
        count: Not whole, as old observations fade.
        seconds: From each fetch to the one before.
    """

    count: float = 0.0
    seconds: float = 0.0

    @property
    def interval(self) -> float:
        """Mean interval in seconds, 0 without observations."""
        return self.seconds / self.count if self.count else 0.0

    def faded(self) -> Tally:
        """Return what is left of the tally after one more fetch."""
        kept = 1 - 1 / MEMORY
        return Tally(six_digits(self.count * kept), six_digits(self.seconds * kept))

    def __add__(self, other: Tally) -> Tally:
        return Tally(six_digits(self.count + other.count), six_digits(self.seconds + other.seconds))


@dataclass(frozen=True, slots=True)
class Observations:
    """What the fetches of one product said.

    Attributes:
        unchanged: The observations that found no change.
        changed: Those that found one, those with intervals of similar length together; a change
            found after a long interval says less than one found after a short one.
    """

    unchanged: Tally = field(default_factory=Tally)
    changed: tuple[Tally, ...] = ()

    def update(self, interval_seconds: float, *, changed: bool) -> Observations:
        """Return the observations with one more.

        Args:
            interval_seconds: Time since the fetch before; intervals may differ.
            changed: Whether the product differs from what that fetch found.

        Raises:
            ValueError: The interval is not positive.
        """
        if not interval_seconds > 0:
            raise ValueError(f"an interval of {interval_seconds} seconds observes nothing")
        observed = Tally(1.0, six_digits(interval_seconds))
        unchanged, earlier = self.unchanged.faded(), [each.faded() for each in self.changed]
        if changed:
            return Observations(unchanged, _grouped([*earlier, observed]))
        return Observations(unchanged + observed, _grouped(earlier))

    @property
    def count(self) -> float:
        """Number of observations."""
        return self.unchanged.count + self.changes

    @property
    def changes(self) -> float:
        """Number of observations that found a change."""
        return sum(each.count for each in self.changed)

    @property
    def rate(self) -> float:
        """Cho & Garcia-Molina's bias-corrected estimate, in changes per second.

        The maximum of the likelihood with half an unchanged interval added: with equal intervals
        exactly the published estimator. 0 without a change.
        """
        if not self.changed:
            return 0.0
        interval = self.unchanged.interval or min(each.interval for each in self.changed)
        return _likeliest(self.changed, 0.0, self.unchanged.seconds + interval / 2)


@dataclass(frozen=True, slots=True)
class ChangeRate:
    """A belief about a product's change rate: a gamma distribution.

    Attributes:
        shape: Number of changes that the belief rests on; the higher, the surer.
        seconds: The time in which so many changes happen.
    """

    shape: float
    seconds: float

    @property
    def mean(self) -> float:
        """The expected rate in changes per second."""
        return self.shape / self.seconds


def drawn_to_mean(
    observations: Observations, category_mean: float, weight: float = PRIOR_CHANGES
) -> ChangeRate:
    """Return the belief about a product's rate: its own observations and its category.

    The rate is the one that makes observations and prior likeliest (on the scale of its
    logarithm). It is the category's mean without observations and tends to the product's own
    estimate as they grow.

    Args:
        observations: Of this product.
        category_mean: Changes per second; positive.
        weight: How many observed changes the category's mean counts for; positive.
    """
    seconds = weight / category_mean + observations.unchanged.seconds
    shape = weight + observations.changes
    return ChangeRate(shape, shape / _likeliest(observations.changed, weight, seconds))


def six_digits(value: float) -> float:
    """Return the value as states hold it: short to write, and the same when read again."""
    return float(f"{value:.6g}")


def _likeliest(changed: tuple[Tally, ...], exact: float, seconds: float) -> float:
    """Return the rate at which changes were likeliest to be seen like this.

    The root of ``exact + sum(count * u / (e^u - 1)) - rate * seconds``, with ``u`` the changes
    expected in an interval. The function falls and is convex, so that Newton's method climbs to
    the root from any lower bound; ``u / (e^u - 1) > 1 - u / 2`` gives one.

    Args:
        changed: Intervals in which something changed, once or more often.
        exact: Number of changes known besides.
        seconds: Time known to be without further changes.
    """
    count = exact + sum(each.count for each in changed)
    rate = max(exact / seconds, count / (seconds + sum(each.seconds for each in changed) / 2))
    step = rate
    while step > _PRECISION * rate:
        value, slope = exact - rate * seconds, seconds
        for each in changed:
            expected = min(rate * each.interval, _LONG)
            grown = math.expm1(expected)
            value += each.count * expected / grown
            slope -= each.seconds * (grown - expected * (grown + 1)) / grown**2
        step = value / slope
        rate += step
    return rate


def _grouped(tallies: Iterable[Tally]) -> tuple[Tally, ...]:
    """Put tallies of similar intervals together and leave out those that have faded away."""
    groups: dict[int, Tally] = {}
    for each in tallies:
        if each.count > _NEGLIGIBLE:
            length = math.floor(math.log(each.interval, _ALIKE))
            groups[length] = groups[length] + each if length in groups else each
    return tuple(groups.values())
