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
from typing import NamedTuple

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
        changes: How many fetches found a change; old ones fade.
        seconds: Observed time in which these changes happened; it fades likewise.
    """

    fingerprint: str = ""
    fetched_at: float | None = None
    removals: int = 0
    changes: float = 0.0
    seconds: float = 0.0

    def fetched(self, fingerprint: str | None, now: float) -> tuple[Outcome, WatchedProduct]:
        """Return what a fetch found, and the state after it.

        The first fetch shows no change, as there is nothing to compare with. Nothing is observed by
        the fetch that finds a removed product again, nor by one not later than the one before.

        Args:
            fingerprint: Of the response; None when the product was removed from the platform.
            now: Time of the fetch (UTC, seconds since the epoch).
        """
        before = now if self.fetched_at is None else self.fetched_at
        latest = max(before, now)
        if fingerprint is None:
            gone = replace(self, fetched_at=latest, removals=self.removals + 1)
            return Outcome.REMOVED, gone
        is_changed = self.fingerprint not in {"", fingerprint}
        changes, seconds = self.changes, self.seconds
        if now > before and not self.removals:
            kept = 1 - 1 / MEMORY
            part = _CHANGED_PART if is_changed else 1.0
            changes, seconds = kept * changes + is_changed, kept * seconds + part * (now - before)
        outcome = Outcome.CHANGED if is_changed else Outcome.UNCHANGED
        return outcome, WatchedProduct(fingerprint, latest, 0, changes, seconds)

    def encode(self) -> str:
        """Return the state after a fetch as text: the fingerprint, then a list of the numbers."""
        numbers = f"{self.removals},{self.changes:.6g},{self.seconds:.6g}"
        return f"{self.fingerprint}[{self.fetched_at:.15g},{numbers}]"

    @classmethod
    def decode(cls, text: str) -> WatchedProduct:
        """Return the state of :meth:`encode`; a new one for an empty text.

        A text that cannot be read gives a new one too, with a warning: the product is still
        watched, and no other is affected.
        """
        fingerprint, bracket, numbers = text.partition("[")
        try:
            return cls(fingerprint, *_read_numbers(bracket + numbers)) if text else cls()
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


def _read_numbers(text: str) -> tuple[float, int, float, float]:
    """Return time of the last fetch, removals, changes and seconds.

    Raises:
        ValueError, TypeError, ArithmeticError, RecursionError: The text is anything else.
    """
    numbers = json.loads(text)
    if any(type(number) not in {int, float} for number in numbers):
        raise ValueError(f"{text[:100]!r} is no list of numbers")
    fetched_at, removals, changes, seconds = map(float, numbers)
    if not all(0 <= number < LARGEST for number in (fetched_at, removals, changes, seconds)):
        raise ValueError(f"{text[:100]!r} has a number out of bounds")
    return fetched_at, int(removals), changes, seconds


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
        self.mean_rate = changes / (_FIRST_PRODUCTS * DAY + sum(each.seconds for each in present))
        """Changes per second of all products together."""
        removed_part = 1 - len(present) / len(sample) if sample else 0.0
        calls = budget.calls_per_second / max(1.0, watched * (1 - removed_part))
        self._scale: float | None = None
        self._uniform = budget.bounded(1 / calls)
        if strategy == "adaptive" and self._uniform > budget.min_interval:
            rates = [self.rate(each) for each in present] or [self.mean_rate]
            self._scale = self._fit(rates, OVERBOOKING * calls)

    def rate(self, product: WatchedProduct) -> float:
        """Return a product's changes per second, shrunk to the mean of all; positive."""
        return (product.changes + 1) / (product.seconds + 1 / self.mean_rate)

    def interval(self, product: WatchedProduct) -> float:
        """Return the seconds until the product's next fetch, within the budget's bounds."""
        if product.removals:
            back_off = FIRST_BACK_OFF * 2.0 ** min(product.removals - 1, _MAX_DOUBLINGS)
            return self._budget.bounded(back_off)
        if self._scale is None:
            return self._uniform
        return 1 / self._frequency(self.rate(product), self._scale)

    def fraction_fresh(self, sample: Sequence[WatchedProduct], now: float) -> float | None:
        """Return the expected part of the products whose stored copy is right at *now*, 0 to 1.

        Products not fetched yet are not fresh; products removed from the platform are left out.
        None when no product counts.
        """
        present = [each for each in sample if not each.removals]
        fresh = sum(
            (1 + self.rate(each) * max(0.0, now - each.fetched_at) / 2) ** -2
            for each in present
            if each.fetched_at is not None
        )
        return fresh / len(present) if present else None

    def _frequency(self, rate: float, scale: float) -> float:
        frequency = scale * math.sqrt(rate) - rate / 2
        return min(1 / self._budget.min_interval, max(1 / self._budget.max_interval, frequency))

    def _fit(self, rates: Sequence[float], frequency: float) -> float:
        """Return the scale with which the rates' mean frequency is the wanted one."""
        low, high = 0.0, (1 / self._budget.min_interval + max(rates) / 2) / math.sqrt(min(rates))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if sum(self._frequency(rate, middle) for rate in rates) < frequency * len(rates):
                low = middle
            else:
                high = middle
        return low
