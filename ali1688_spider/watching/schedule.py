"""What is known of a watched product, and how long to wait until its next fetch.

Pure arithmetic, one product at a time, in three steps:

* **Rate.** A product's change rate is its observed changes divided by its observed time, shrunk to
  the mean of all products while little is observed. A fetch shows at most one change, however many
  there were; of an interval that ended with one, only a part therefore counts as observed time.
  Rates come out too high by up to two thirds (at two changes an interval), and too low from seven
  changes an interval on.
* **Frequency.** With a change rate ``r`` that is known roughly (gamma distributed with shape 2), a
  copy of age ``t`` is fresh with chance ``P(t) = (1 + r t / 2)^-2``. Fetching every ``t`` seconds
  gains ``integral of P from 0 to t - t P(t)`` seconds of freshness per call. Calls are spent best
  when this gain is the same for all products, which here means ``1 / t = scale * sqrt(r) - r / 2``:
  what changes more often is fetched more often, until it changes too often to be kept fresh.
* **Scale.** One number for all products: with it, the calls that a sample of them asks for are
  those of the budget.

The rule of equal gain: J. Cho, H. Garcia-Molina, Effective page refresh policies for Web crawlers,
ACM TODS 28(4), 2003; Y. Azar et al., Tractable near-optimal policies for crawling, PNAS 115(32),
2018. ``benchmarks/watch_simulator.py`` measures what it brings.
"""

from __future__ import annotations

import enum
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)

DAY = 86400.0  # seconds
MIN_INTERVAL = 600.0
MAX_INTERVAL = 30 * DAY

OVERBOOKING = 1.1
"""How many times the budget is asked for: calls wait a tenth of the mean interval, so that the
queue is rarely empty. The quota has to hold them back."""

STRATEGIES = ("adaptive", "uniform")
"""Often-changing products more often, or all equally often."""

FIRST_BACK_OFF = DAY
"""Seconds after which a product found removed is fetched again, doubled each time."""

MEMORY = 100.0
"""Fetches after which an observation counts 1/e: rates drift, and old evidence must not bind."""

_MAX_DOUBLINGS = 30
_CHANGED_PART = 0.15  # of an interval with changes; exact for six, tried in the simulator
_FIRST_PRODUCTS = 5  # with a change a day each: what is assumed before anything was observed
_HALVINGS = 50
_PRIORITY_OF_ONE_A_DAY = 500  # of a hint of a product with a change a day
_PRIORITIES_OF_A_FACTOR = 100  # of ten between the rates of two products
_NUMBERS = 6  # of a state that has all
LARGEST = 1e11  # seconds; more than any number of a state


class Outcome(enum.Enum):
    """What a fetch found."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Budget:
    """The calls that watching may spend, and the bounds of every product's interval.

    Attributes:
        calls_per_second: For all products together; infinite without a limit.
        min_interval: Seconds; no product is fetched more often.
        max_interval: Seconds; no product is to be fetched less often.
    """

    calls_per_second: float
    min_interval: float = MIN_INTERVAL
    max_interval: float = MAX_INTERVAL

    def bounded(self, interval: float) -> float:
        """Return the interval within the bounds."""
        return min(self.max_interval, max(self.min_interval, interval))


@dataclass(frozen=True, slots=True)
class WatchedProduct:
    """What is kept of one watched product between two fetches.

    Attributes:
        fingerprint: Of the last response, see :func:`ali1688_spider.watching.watcher.fingerprint`;
            empty before the first.
        fetched_at: Time of the last fetch (UTC, seconds since the epoch), None before the first.
        removals: How many fetches in a row found the product removed from the platform.
        changes: How many fetches found a change of which no hint had told; old ones fade.
        seconds: Observed time in which these changes happened; it fades likewise.
        told: How many fetches found a change of which a hint had told; they fade likewise.
        told_seconds: Time until these hints, each from the fetch before; it fades likewise.
        hinted_at: Time of the first hint since the last fetch (UTC, seconds since the epoch); None
            when there was none.
    """

    fingerprint: str = ""
    fetched_at: float | None = None
    removals: int = 0
    changes: float = 0.0
    seconds: float = 0.0
    told: float = 0.0
    told_seconds: float = 0.0
    hinted_at: float | None = None

    def fetched(self, fingerprint: str | None, now: float) -> tuple[Outcome, WatchedProduct]:
        """Return what a fetch found, and the state after it.

        The first fetch shows no change, as there is nothing to compare with. Nothing is observed by
        the fetch that finds a removed product again, nor by one not later than the one before. A
        change that a hint told of says nothing about how often there are others.

        Args:
            fingerprint: Of the response; None when the product was removed from the platform.
            now: Time of the fetch (UTC, seconds since the epoch).
        """
        before = now if self.fetched_at is None else self.fetched_at
        latest = max(before, now)
        if fingerprint is None:
            gone = replace(self, fetched_at=latest, removals=self.removals + 1, hinted_at=None)
            return Outcome.REMOVED, gone
        is_changed = self.fingerprint not in {"", fingerprint}
        evidence = [self.changes, self.seconds, self.told, self.told_seconds]
        if now > before and not self.removals:
            found = self._evidence(is_changed=is_changed, before=before, now=now)
            evidence = [
                (1 - 1 / MEMORY) * old + new for old, new in zip(evidence, found, strict=True)
            ]
        outcome = Outcome.CHANGED if is_changed else Outcome.UNCHANGED
        return outcome, WatchedProduct(fingerprint, latest, 0, *evidence)

    def _evidence(self, before: float, now: float, *, is_changed: bool) -> tuple[float, ...]:
        """Return what a fetch adds to changes, seconds, told and told seconds."""
        if not is_changed:
            return 0, now - before, 0, 0
        if self.hinted_at is None:
            return 1, _CHANGED_PART * (now - before), 0, 0
        return 0, 0, 1, min(max(0.0, self.hinted_at - before), now - before)

    def encode(self) -> str:
        """Return the state after a fetch as text.

        That is the fingerprint, then a list of the numbers, the last two only where a hint has told
        of a change, then the time of a hint, whole seconds, where one waits.
        """
        numbers = f"{self.removals},{self.changes:.6g},{self.seconds:.6g}"
        if self.told:
            numbers += f",{self.told:.6g},{self.told_seconds:.6g}"
        hint = "" if self.hinted_at is None else f"{self.hinted_at:.0f}"
        return f"{self.fingerprint}[{self.fetched_at:.15g},{numbers}]{hint}"

    @classmethod
    def decode(cls, text: str) -> WatchedProduct:
        """Return the state of :meth:`encode`; a new one for an empty text.

        A text that cannot be read gives a new one too, with a warning: the product is still
        watched, and no other is affected.
        """
        fingerprint, _, rest = text.partition("[")
        numbers, _, hint = rest.rpartition("]")
        try:
            return cls(fingerprint, *_read_numbers(numbers, hint)) if text else cls()
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            logger.warning("The state of a watched product is unreadable, starting over: %s", error)
            return cls()


class NextFetch(NamedTuple):
    """When a watched product is fetched next.

    Attributes:
        product_id: The product.
        due: When (UTC, seconds since the epoch); None for as soon as it can be.
        product: What is known of it.
    """

    product_id: int
    due: float | None
    product: WatchedProduct

    @property
    def interval(self) -> float | None:
        """Seconds from the last fetch to this one; None when either is unknown."""
        if self.due is None or self.product.fetched_at is None:
            return None
        return max(0.0, self.due - self.product.fetched_at)


def _read_numbers(numbers: str, hint: str) -> tuple[float, int, float, float, float, float, Any]:
    """Return what follows the fingerprint, in the order of the attributes.

    Raises:
        ValueError, TypeError, ArithmeticError, RecursionError: The texts are anything else.
    """
    text = f"[{numbers},{hint}]" if hint else f"[{numbers}]"
    read = json.loads(text)
    if any(type(number) not in {int, float} for number in read):
        raise ValueError(f"{text[:100]!r} is no list of numbers")
    if not all(0 <= number < LARGEST for number in read):
        raise ValueError(f"{text[:100]!r} has a number out of bounds")
    hinted_at = float(read.pop()) if hint else None
    fetched_at, removals, changes, seconds, told, told_seconds = map(
        float, read if len(read) == _NUMBERS else [*read, 0, 0]
    )
    return fetched_at, int(removals), changes, seconds, told, told_seconds, hinted_at


class Schedule:
    """The intervals of all watched products.

    *strategy* is one of :data:`STRATEGIES`. *sample* has some of the products, drawn without
    preference; new ones may be missing. *watched* is the number of all.
    """

    def __init__(
        self, strategy: str, budget: Budget, sample: Sequence[WatchedProduct], watched: int
    ) -> None:
        self._budget = budget
        present = [each for each in sample if not each.removals]
        changes = _FIRST_PRODUCTS + sum(each.changes for each in present)
        seconds = _FIRST_PRODUCTS * DAY + sum(each.seconds for each in present)
        told = sum(each.told for each in present)
        self.mean_untold_rate = changes / seconds
        """Changes per second of which no hint tells, of all products together."""
        self.mean_rate = (changes + told) / (seconds + sum(each.told_seconds for each in present))
        """Changes per second of all products together."""
        removed_part = 1 - len(present) / len(sample) if sample else 0.0
        calls = budget.calls_per_second / max(1.0, watched * (1 - removed_part))
        self._scale: float | None = None
        self._uniform = budget.bounded(1 / calls)
        if strategy == "adaptive" and self._uniform > budget.min_interval:
            self._scale = self._fit(present or [WatchedProduct()], OVERBOOKING * calls)

    def rate(self, product: WatchedProduct) -> float:
        """Return a product's changes per second, shrunk to the mean of all; positive."""
        seconds = product.seconds + product.told_seconds
        return (product.changes + product.told + 1) / (seconds + 1 / self.mean_rate)

    def untold_rate(self, product: WatchedProduct) -> float:
        """Return the changes per second of which no hint tells, likewise."""
        rate = (product.changes + 1) / (product.seconds + 1 / self.mean_untold_rate)
        return min(rate, self.rate(product))

    def interval(self, product: WatchedProduct) -> float:
        """Return the seconds until the product's next fetch, within the budget's bounds."""
        if product.removals:
            back_off = FIRST_BACK_OFF * 2.0 ** min(product.removals - 1, _MAX_DOUBLINGS)
            return self._budget.bounded(back_off)
        if self._scale is None:
            return self._uniform
        rates = self.untold_rate(product), self.rate(product)
        return 1 / self._frequency(*rates, self._scale)

    def hint_priority(self, product: WatchedProduct) -> int | None:
        """Return the priority of a fetch that a hint asks for, from 1; slow products go first.

        None when it is worth less than the call would be elsewhere: a product that changes so often
        is out of date soon after its fetch. It waits for its own schedule.
        """
        rate = self.rate(product)
        if self._scale is not None and not self._pays(rate, self._scale):
            return None
        return max(
            1, round(_PRIORITY_OF_ONE_A_DAY - _PRIORITIES_OF_A_FACTOR * math.log10(rate * DAY))
        )

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
        rates = [
            (self.untold_rate(each), self.rate(each), self.told_rate(each)) for each in products
        ]
        lowest, highest = min(untold for untold, _, _ in rates), max(rate for _, rate, _ in rates)
        low, high = 0.0, 1 / self._budget.min_interval / math.sqrt(lowest) + math.sqrt(highest) / 2
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self._demand(rates, middle) < frequency * len(rates):
                low = middle
            else:
                high = middle
        return low

    def told_rate(self, product: WatchedProduct) -> float:
        """Return the changes per second of which hints tell."""
        if not product.told:
            return 0.0
        return product.told / (product.seconds + product.told_seconds + 1 / self.mean_rate)

    def _demand(self, rates: Sequence[tuple[float, float, float]], scale: float) -> float:
        return sum(
            self._frequency(untold, rate, scale) + (told if self._pays(rate, scale) else 0.0)
            for untold, rate, told in rates
        )
