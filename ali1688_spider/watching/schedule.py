"""What follows from a fetch of a watched product: its next state, and when to fetch it again."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ali1688_spider.watching.change_rate import DAY, six_digits
from ali1688_spider.watching.totals import CORRECTION, differences

if TYPE_CHECKING:
    from ali1688_spider.watching.product import WatchedProduct
    from ali1688_spider.watching.strategies import Strategy
    from ali1688_spider.watching.totals import Totals

FIRST_BACK_OFF = DAY
"""Seconds after which a product found removed is asked for again, doubled with every time."""

_MAX_DOUBLINGS = 30


class Outcome(enum.Enum):
    """What a fetch found."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Appointment:
    """The next fetch of a product.

    Attributes:
        product: Its state to be stored.
        delay: Seconds until the fetch.
        differences: What to add to the shared sums, by name; to be added in the same transaction
            that replaces the old state, and only if that is still the stored one.
    """

    product: WatchedProduct
    delay: float
    differences: dict[str, float]


class Schedule:
    """Keeps the appointments of the watched products, one product at a time.

    Args:
        strategy: Decides about the intervals.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy

    def fetched(
        self,
        product: WatchedProduct,
        outcome: Outcome,
        totals: Totals,
        *,
        now: float,
        category: int,
    ) -> Appointment:
        """Return the appointment that follows from a fetch.

        The first fetch shows no change, there being nothing to compare with, nor does the one
        that finds a removed product again, nor one that is not later than the one before.

        Args:
            product: The state before.
            outcome: What the fetch found.
            totals: The sums, as last read.
            now: Time of the fetch (UTC, seconds since the epoch).
            category: The platform's category id, 0 if the answer names none.
        """
        now = round(now, 3)
        seen = self._observed(product, outcome, now, category or product.category)
        interval = six_digits(self._interval(seen, totals))
        seen = replace(seen, interval=interval)
        changes = differences(product, seen)
        correction = self.strategy.correction(interval, product.late(now), totals)
        if correction:
            changes[CORRECTION] = correction
        return Appointment(seen, interval, changes)

    @staticmethod
    def _observed(
        product: WatchedProduct, outcome: Outcome, now: float, category: int
    ) -> WatchedProduct:
        observations = product.observations
        removals = product.removals + 1 if outcome is Outcome.REMOVED else 0
        before = now if product.fetched_at is None else product.fetched_at
        if now > before and not removals and not product.removals:
            changed = outcome is Outcome.CHANGED
            observations = observations.update(now - before, changed=changed)
        return replace(
            product,
            category=category,
            observations=observations,
            fetched_at=max(before, now),
            removals=removals,
        )

    def _interval(self, product: WatchedProduct, totals: Totals) -> float:
        if not product.removals:
            return self.strategy.next_interval(product, totals)
        back_off = FIRST_BACK_OFF * 2.0 ** min(product.removals - 1, _MAX_DOUBLINGS)
        return self.strategy.budget.bounded(back_off)
