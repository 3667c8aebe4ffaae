"""The few sums over all watched products that each product's schedule needs.

Every sum changes by addition only. A worker that fetched a product therefore adds its differences
to the shared sums (``HINCRBYFLOAT``) and never has to read, decide and write under a lock; sums
that it read some fetches ago are good enough to decide by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.watching.change_rate import DAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ali1688_spider.watching.product import WatchedProduct

SCHEDULED = "scheduled"
DEMAND = "demand"
CORRECTION = "correction"

FIRST_RATE = 1 / DAY
"""Changes per second expected before anything was observed."""

_FIRST_WEIGHT = 5.0  # well observed products that outweigh what was expected of their category
_SURE_AFTER = 2.0  # observations at which a product has half its weight in its category's mean


class Totals:
    """Sums over the watched products.

    * ``scheduled``: products fetched at least once;
    * ``demand``: calls per second that these ask for;
    * ``correction``: logarithm of the factor by which the threshold of the crawl value is off
      (``strategies.AdaptiveStrategy``);
    * ``rates``, ``weights``: weighted sum of the products' own change rates, and the weights;
    * ``rates:{category}``, ``weights:{category}``: the same within a category.

    Args:
        watched: Number of watched products, fetched or not.
        sums: By name; a missing one is 0.
    """

    def __init__(self, watched: int, sums: Mapping[str, float] | None = None) -> None:
        self.watched = watched
        self.sums = dict(sums or {})

    @classmethod
    def of(cls, products: Iterable[WatchedProduct], correction: float = 0.0) -> Totals:
        """Return the sums counted anew, for a store whose sums are lost or in doubt."""
        totals = cls(0, {CORRECTION: correction})
        for product in products:
            totals.watched += 1
            totals.add(shares(product))
        return totals

    def add(self, differences: Mapping[str, float]) -> None:
        """Add differences to the sums."""
        for name, difference in differences.items():
            self.sums[name] = self.sums.get(name, 0.0) + difference

    @property
    def demand(self) -> float:
        """Calls per second asked for, products not fetched yet taken to be like the others."""
        scheduled = self.sums.get(SCHEDULED, 0.0)
        return self.sums.get(DEMAND, 0.0) * self.watched / scheduled if scheduled > 0 else 0.0

    @property
    def correction(self) -> float:
        """Logarithm of the threshold's factor."""
        return self.sums.get(CORRECTION, 0.0)

    @property
    def mean(self) -> float:
        """Mean change rate of all products, in changes per second; positive."""
        return self._mean("", FIRST_RATE)

    def category_mean(self, category: int) -> float:
        """Return the mean change rate of a category, in changes per second; positive."""
        return self._mean(f":{category}", self.mean)

    def _mean(self, suffix: str, expected: float) -> float:
        rates = max(0.0, self.sums.get(f"rates{suffix}", 0.0))
        weights = max(0.0, self.sums.get(f"weights{suffix}", 0.0))
        return (rates + _FIRST_WEIGHT * expected) / (weights + _FIRST_WEIGHT)


def shares(product: WatchedProduct) -> dict[str, float]:
    """Return what a product contributes to the sums; a function of its state alone."""
    if product.fetched_at is None:
        return {}
    count = product.observations.count
    weight = count / (count + _SURE_AFTER)
    rate = weight * product.observations.rate
    return {
        SCHEDULED: 1.0,
        DEMAND: product.demand,
        "rates": rate,
        "weights": weight,
        f"rates:{product.category}": rate,
        f"weights:{product.category}": weight,
    }


def differences(old: WatchedProduct, new: WatchedProduct | None) -> dict[str, float]:
    """Return what to add to the sums when a product's state changes.

    Args:
        old: The state whose shares are in the sums.
        new: The state after it; None when the product is no longer watched.
    """
    changes = {name: -share for name, share in shares(old).items()}
    for name, share in (shares(new) if new else {}).items():
        changes[name] = changes.get(name, 0.0) + share
    return {name: change for name, change in changes.items() if change}
