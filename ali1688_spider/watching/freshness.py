"""How likely a stored product still is what the platform shows.

With a change rate known only as a gamma distribution (``ChangeRate``), the chance that nothing
changed within ``age`` seconds is ``(1 + age / seconds) ** -shape``: it falls more slowly than the
exponential of a rate known for certain, because the product may be one of the slow ones.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ali1688_spider.watching.change_rate import drawn_to_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ali1688_spider.watching.change_rate import ChangeRate
    from ali1688_spider.watching.product import WatchedProduct
    from ali1688_spider.watching.totals import Totals


def chance_fresh(rate: ChangeRate, age: float) -> float:
    """Return the probability that a copy fetched ``age`` seconds ago is still right."""
    return math.exp(-rate.shape * math.log1p(age / rate.seconds))


def mean_freshness(rate: ChangeRate, interval: float) -> float:
    """Return the part of the time that a copy is right if fetched every ``interval`` seconds."""
    if not interval:
        return 1.0
    grown = math.log1p(interval / rate.seconds)
    more = rate.shape - 1
    fresh = -math.expm1(-more * grown) / more if more else grown
    return rate.seconds * fresh / interval


def fraction_fresh(products: Iterable[WatchedProduct], totals: Totals, now: float) -> float | None:
    """Return the expected part of the watched products whose stored copy is right at ``now``.

    Products not fetched yet are not fresh; products removed from the platform are left out. An
    unbiased sample of the products serves as well as all of them.

    Args:
        products: Their states.
        totals: Sums over all watched products, for the categories' means.
        now: UTC, seconds since the epoch.

    Returns:
        Between 0 and 1; None when no product counts.
    """
    fresh, counted = 0.0, 0
    for product in products:
        if product.removals:
            continue
        counted += 1
        if product.fetched_at is not None:
            rate = drawn_to_mean(product.observations, totals.category_mean(product.category))
            fresh += chance_fresh(rate, max(0.0, now - product.fetched_at))
    return fresh / counted if counted else None
