"""How long to wait until a watched product's next fetch.

Pure arithmetic, one product at a time, in three steps:

* **Rates.** A product's change rate is its observed changes divided by its observed time, shrunk to
  the mean of all products while little is observed. A fetch shows at most one change, however many
  there were; of an interval that ended with one, only a part therefore counts as observed time.
  Rates come out too high by up to two thirds (at two changes an interval), and too low from seven
  changes an interval on. Where hints tell of changes, there are two rates: of the changes that are
  told, which is the number of hints, and of the untold ones, of which the fetches tell that no hint
  had asked for. Products with more hints are taken to have more untold changes too.
* **Frequency.** With a change rate ``r`` that is known roughly (gamma distributed with shape 2), a
  copy of age ``t`` is fresh with chance ``P(t) = (1 + r t / 2)^-2``. Fetching every ``t`` seconds
  gains ``integral of P from 0 to t - t P(t)`` seconds of freshness per call. Calls are spent best
  when this gain is the same for all products, which here means ``1 / t = scale * sqrt(r) - r / 2``:
  what changes more often is fetched more often, until it changes too often to be kept fresh. With
  untold changes at the rate ``u`` it becomes ``sqrt(u) * (scale - sqrt(r) / 2)``: exact for short
  intervals and at the bound, where fetching stops to pay. A fetch that a hint asks for gains
  ``2 / r``, so that slow products go first, and it pays under the same bound.
* **Scale.** One number for all products: with it, the calls that a sample of them asks for, hints
  and looks at pages included, are those of the budget.

The rule of equal gain: J. Cho, H. Garcia-Molina, Effective page refresh policies for Web crawlers,
ACM TODS 28(4), 2003; Y. Azar et al., Tractable near-optimal policies for crawling, PNAS 115(32),
2018. ``benchmarks/freshness`` measures what it brings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ali1688_spider.watching.watched_product import DAY, WatchedProduct

MIN_INTERVAL = 600.0
MAX_INTERVAL = 30 * DAY

OVERBOOKING = 1.1
"""How many times the budget is asked for: calls wait a tenth of the mean interval, so that the
queue is rarely empty. The quota has to hold them back."""

STRATEGIES = ("adaptive", "uniform")
"""Often-changing products more often, or all equally often."""

FIRST_BACK_OFF = DAY
"""Seconds after which a product found removed is fetched again, doubled each time."""

FIRST_PRIORITY = 500
"""Of the first fetch of a product; a hint of one that changes once a day is as urgent."""

_MAX_DOUBLINGS = 30
_FIRST_PRODUCTS = 5  # with a change a day each: what is assumed before anything was observed
_HALVINGS = 50
_HINTS_OVERDUE = 2.0  # times as many are missing as are to be expected: they may have stopped
_DOUBT = 3  # the power by which that is believed
_PRIORITIES_OF_A_FACTOR = 100  # of ten between the rates of two products


@dataclass(frozen=True, slots=True)
class Budget:
    """The calls that watching may spend, and the bounds of every product's interval.

    Attributes:
        calls_per_second: Fetches of products, of all together; infinite without a limit.
        min_interval: Seconds; no product is fetched more often.
        max_interval: Seconds; no product is to be fetched less often.
        products_per_call: How many fetches one call makes; a look at a page costs as much.
    """

    calls_per_second: float
    min_interval: float = MIN_INTERVAL
    max_interval: float = MAX_INTERVAL
    products_per_call: int = 1

    def bounded(self, interval: float) -> float:
        """Return the interval within the bounds."""
        return min(self.max_interval, max(self.min_interval, interval))


class Schedule:
    """The intervals of all watched products.

    Args:
        strategy: One of :data:`STRATEGIES`.
        budget: What may be spent.
        sample: Some of the products, drawn without preference; new ones may be missing.
        watched: The number of all.
        now: Time until which no hint has come but those that are known (UTC, seconds since the
            epoch).
        looks: Calls per second that looks at pages ask for, at a scale of 1: about as many times
            more at another scale.

    Attributes:
        scale: The number from which all intervals follow, in the unit of the square root of a rate;
            None where all are equal. A call gains ``1 / (2 * scale^2)`` seconds of freshness.
    """

    def __init__(
        self,
        strategy: str,
        budget: Budget,
        sample: Sequence[WatchedProduct],
        watched: int,
        *,
        now: float = 0.0,
        looks: float = 0.0,
    ) -> None:
        self._budget = budget
        self._now = now
        present = [each for each in sample if not each.removals]
        self._learn(present)
        removed_part = 1 - len(present) / len(sample) if sample else 0.0
        present_products = max(1.0, watched * (1 - removed_part))
        calls = budget.calls_per_second / present_products
        self._looks = looks * budget.products_per_call / present_products
        self.scale: float | None = None
        self._uniform = budget.bounded(1 / calls)
        if strategy == "adaptive" and self._uniform > budget.min_interval:
            self.scale = self._fit(present or [WatchedProduct()], OVERBOOKING * calls)

    def _learn(self, products: Sequence[WatchedProduct]) -> None:
        told = [each.hint_evidence(self._now) for each in products]
        hints = sum(number for number, _, _ in told)
        time = sum(seconds - unseen for _, seconds, unseen in told)
        self._mean_told = hints / max(1.0, time) if hints else 0.0
        # Where hints tell of some products only, these have hardly any other changes.
        with_hints = [each for each in products if each.hints]
        others = [each for each in products if not each.hints]
        mean = _mean_rate(products)
        self._mean_untold = _mean_rate(others, _FIRST_PRODUCTS, mean) if with_hints else mean
        self._mean_untold_with_hints = _mean_rate(with_hints, 1, mean)
        seconds = sum(each.seconds for each in with_hints)
        expected = sum(self._told(each) * each.seconds for each in with_hints)
        self._usual_told = expected / seconds if expected else 1.0
        self._still_told = self._part_still_told(products)

    def _part_still_told(self, products: Sequence[WatchedProduct]) -> float:
        """Return 1, or less when hints have stopped: the part that still comes.

        While they come, one was to be expected on average since the last one of each product.
        """
        told = [each for each in products if each.hints and each.last_hint_at]
        missing = sum(self._told(each) * max(0.0, self._now - each.last_hint_at) for each in told)
        return min(1.0, _HINTS_OVERDUE * (len(told) + 1) / max(1.0, missing)) ** _DOUBT

    def _told(self, product: WatchedProduct) -> float:
        if not self._mean_told:
            return 0.0
        hints, seconds, unseen = product.hint_evidence(self._now)
        return (hints + 1) / (seconds - unseen + 1 / self._mean_told)

    def told_rate(self, product: WatchedProduct) -> float:
        """Return the changes per second of which hints tell, shrunk to the mean of all."""
        return self._still_told * self._told(product)

    def _hints_per_second(self, product: WatchedProduct) -> float:
        if not self._mean_told:
            return 0.0
        hints, seconds, _ = product.hint_evidence(self._now)
        return self._still_told * hints / (seconds + 1 / self._mean_told)

    def untold_rate(self, product: WatchedProduct) -> float:
        """Return the changes per second of which no hint tells, likewise; positive.

        The mean is that of products with as many hints, or without any.
        """
        told, mean = self._told(product), self._mean_untold
        if product.hints and told:
            mean = self._mean_untold_with_hints * told / self._usual_told
        no_more_told = (1 - self._still_told) * told
        return (product.changes + 1) / (product.seconds + 1 / mean) + no_more_told

    def rate(self, product: WatchedProduct) -> float:
        """Return a product's changes per second; positive."""
        return self.untold_rate(product) + self.told_rate(product)

    def interval(self, product: WatchedProduct) -> float:
        """Return the seconds until the product's next fetch, within the budget's bounds."""
        if product.removals:
            back_off = FIRST_BACK_OFF * 2.0 ** min(product.removals - 1, _MAX_DOUBLINGS)
            return self._budget.bounded(back_off)
        if self.scale is None:
            return self._uniform
        rates = self.untold_rate(product), self.rate(product)
        return 1 / self._frequency(*rates, self.scale)

    def hint_priority(self, product: WatchedProduct, now: float) -> int:
        """Return the priority of a fetch that a hint asks for; slow products go first.

        Below 0 when it is worth less than the call would be elsewhere: a product that changes so
        often is out of date soon after its fetch. It waits until nothing else is due, but not for
        more than the longest interval.
        """
        rate = self.rate(product)
        slower = round(-_PRIORITIES_OF_A_FACTOR * math.log10(rate * DAY))  # than a change a day
        if self.scale is None or self._pays(rate, self.scale):
            return max(1, FIRST_PRIORITY + slower)
        if product.fetched_at and now - product.fetched_at >= self._budget.max_interval:
            return 1
        return min(-1, slower - FIRST_PRIORITY)

    def look_interval(self, products: Sequence[WatchedProduct], share: float) -> float | None:
        """Return the seconds until the next look at a page, within the bounds; None if none pays.

        A look gains what the fetches gain that it leads to, beyond the worth of their calls.

        Args:
            products: The watched products that the page shows.
            share: Part of their changes that show on the page, 0 to 1.
        """
        if self.scale is None:
            return self._uniform
        price = 1 / (2 * self.scale**2)
        price_of_look = price * self._budget.products_per_call
        gains = [
            (2 / rate - price, math.sqrt(share) * rate / 2)
            for rate in map(self.rate, products)
            if 2 / rate > price
        ]
        if sum(gain for gain, _ in gains) <= price_of_look:
            return None
        low, high = self._budget.min_interval, self._budget.max_interval
        while high > 1.01 * low:
            middle = math.sqrt(low * high)
            known = ((gain, rate * middle) for gain, rate in gains)
            if sum(gain * (age / (1 + age)) ** 2 for gain, age in known) < price_of_look:
                low = middle
            else:
                high = middle
        return high

    def fraction_fresh(self, sample: Sequence[WatchedProduct], now: float) -> float | None:
        """Return the expected part of the products whose stored copy is right at *now*, 0 to 1.

        Products not fetched yet are not fresh, nor are those of which a hint waits; products
        removed from the platform are left out. None when no product counts.
        """
        present = [each for each in sample if not each.removals]
        fresh = sum(
            (1 + self.untold_rate(each) * max(0.0, now - each.fetched_at) / 2) ** -2
            for each in present
            if each.fetched_at is not None and each.hinted_at is None
        )
        return fresh / len(present) if present else None

    def _frequency(self, untold: float, rate: float, scale: float) -> float:
        frequency = math.sqrt(untold) * (scale - math.sqrt(rate) / 2)
        return min(1 / self._budget.min_interval, max(1 / self._budget.max_interval, frequency))

    @staticmethod
    def _pays(rate: float, scale: float) -> bool:
        return scale > math.sqrt(rate) / 2

    def _fit(self, products: Sequence[WatchedProduct], frequency: float) -> float:
        """Return the scale with which the products' mean frequency is the wanted one."""
        rates = [(self.untold_rate(each), self.rate(each)) for each in products]
        lowest, highest = min(untold for untold, _ in rates), max(rate for _, rate in rates)
        told = map(self._hints_per_second, products)
        curves = [
            (math.sqrt(untold), math.sqrt(rate) / 2, hints)
            for (untold, rate), hints in zip(rates, told, strict=True)
        ]
        low, high = 1e-9, 1 / self._budget.min_interval / math.sqrt(lowest) + math.sqrt(highest) / 2
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            demand = self._demand(curves, middle) / len(rates) + middle * self._looks
            if demand < frequency:
                low = middle
            else:
                high = middle
        return low

    def _demand(self, curves: Sequence[tuple[float, float, float]], scale: float) -> float:
        """Return the calls per second of all: :meth:`_frequency`, and hints where these pay.

        Each curve has the root of the untold rate, half the root of the whole rate, and the hints
        per second. Written out: it is most of the work of a schedule.
        """
        lowest, highest = 1 / self._budget.max_interval, 1 / self._budget.min_interval
        demand = 0.0
        for slope, bound, hints in curves:
            frequency = slope * (scale - bound)
            if frequency < lowest:
                demand += lowest
            elif frequency > highest:
                demand += highest
            else:
                demand += frequency
            if scale > bound:
                demand += hints
        return demand


def _mean_rate(
    products: Sequence[WatchedProduct],
    assumed: float = _FIRST_PRODUCTS,
    assumed_rate: float = 1 / DAY,
) -> float:
    """Return the untold changes per second of some products; *assumed* ones are among them."""
    changes = assumed + sum(each.changes for each in products)
    return changes / (assumed / assumed_rate + sum(each.seconds for each in products))
