"""How long to wait between two fetches of a product.

A strategy spends a given rate of calls, the budget, on all watched products. It sees one product
and the sums over all (``totals``), so that every worker can ask it by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ali1688_spider.watching.change_rate import DAY, PRIOR_CHANGES, ChangeRate, drawn_to_mean
from ali1688_spider.watching.crawl_value import crawl_value, interval_worth

if TYPE_CHECKING:
    from collections.abc import Callable

    from ali1688_spider.watching.product import WatchedProduct
    from ali1688_spider.watching.totals import Totals

MIN_INTERVAL = 600.0
MAX_INTERVAL = 30 * DAY

_GAIN = 0.3  # of the threshold's correction while every product is fetched once
_STEP = 1.0  # largest logarithm of the pressure that one fetch may answer to


OVERBOOKING = 1.1
"""How many times the budget is asked for: calls wait a tenth of the mean interval, so that the
queue hardly runs empty. What paces the calls has to hold them back."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The calls that watching may spend, and the bounds of every product's interval.

    Attributes:
        calls_per_second: For all products together; infinite without a limit.
        min_interval: Seconds; no product is fetched more often.
        max_interval: Seconds; no product is to be fetched less often.

    Raises:
        ValueError: The rate is not positive, or the bounds are not in order.
    """

    calls_per_second: float
    min_interval: float = MIN_INTERVAL
    max_interval: float = MAX_INTERVAL

    def __post_init__(self) -> None:
        if not self.calls_per_second > 0:
            raise ValueError(f"{self.calls_per_second} calls per second watch nothing")
        if not 0 < self.min_interval <= self.max_interval < math.inf:
            raise ValueError(
                f"the shortest interval ({self.min_interval} s) must be positive and not above "
                f"the longest ({self.max_interval} s)"
            )

    def bounded(self, interval: float) -> float:
        """Return the interval within the bounds."""
        return min(self.max_interval, max(self.min_interval, interval))

    def suffices(self, watched: int) -> bool:
        """Return whether so many products can all be fetched as often as the bounds allow."""
        return self.calls_per_second * self.min_interval >= watched


class Strategy(Protocol):
    """Decides when a product is fetched again."""

    @property
    def budget(self) -> Budget:
        """What may be spent."""

    def next_interval(self, product: WatchedProduct, totals: Totals) -> float:
        """Return the seconds until the next fetch, within the budget's bounds.

        Args:
            product: With the observation of the fetch just made.
            totals: As last read.
        """

    def correction(self, interval: float, late: float, totals: Totals) -> float:
        """Return what to add to ``totals.correction`` after a fetch.

        Args:
            interval: Seconds until the product's next fetch.
            late: Seconds that the fetch just made came after its time.
            totals: As last read.
        """


@dataclass(frozen=True, slots=True)
class UniformStrategy:
    """Fetches every product equally often, as often as the budget allows."""

    budget: Budget

    def next_interval(self, product: WatchedProduct, totals: Totals) -> float:  # noqa: ARG002
        """Return the number of products over the budget, the same for all of them."""
        return self.budget.bounded(totals.watched / self.budget.calls_per_second)

    def correction(self, interval: float, late: float, totals: Totals) -> float:  # noqa: ARG002
        """Return 0: there is nothing to correct."""
        return 0.0


@dataclass(frozen=True, slots=True)
class AdaptiveStrategy:
    """Fetches every product when that buys as much freshness as any other call (``crawl_value``).

    The threshold is what a fetch of an average, unknown product is worth after the interval of
    the uniform strategy, times a correction that all workers share. After each fetch the
    correction rises a little if more calls are asked for than the budget allows or if calls wait,
    and falls a little if the budget is not used up: the sum of what all products ask for settles
    at the budget. Where fewer calls can be made than the budget says, calls wait until their
    lateness has raised the threshold.

    Products that surely change too fast for the budget end at its longest interval.
    """

    budget: Budget

    def next_interval(self, product: WatchedProduct, totals: Totals) -> float:
        """Return the time after which the product's crawl value reaches the threshold."""
        budget = self.budget
        if budget.suffices(totals.watched):
            return budget.min_interval
        rate = drawn_to_mean(product.observations, totals.category_mean(product.category))
        unknown = ChangeRate(PRIOR_CHANGES, PRIOR_CHANGES / totals.mean)
        typical = crawl_value(unknown, totals.watched / budget.calls_per_second)
        threshold = typical * math.exp(totals.correction)
        return interval_worth(rate, threshold, budget.min_interval, budget.max_interval)

    def correction(self, interval: float, late: float, totals: Totals) -> float:
        """Return the step of the correction; 0 when the product's interval cannot follow it."""
        budget, watched = self.budget, totals.watched
        if budget.suffices(watched) or not totals.demand:
            return 0.0
        wait = late * budget.calls_per_second / watched  # in intervals of the uniform strategy
        pressure = totals.demand / budget.calls_per_second * (1 + wait) / OVERBOOKING
        if interval >= budget.max_interval if pressure > 1 else interval <= budget.min_interval:
            return 0.0
        return _GAIN / watched * max(-_STEP, min(_STEP, math.log(pressure)))


STRATEGIES: dict[str, Callable[[Budget], Strategy]] = {
    "adaptive": AdaptiveStrategy,
    "uniform": UniformStrategy,
}
"""The strategies by the names that users give them."""
