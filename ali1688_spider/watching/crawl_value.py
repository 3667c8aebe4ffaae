"""What a fetch is worth, and how long to wait until it is worth its price.

Fetching every ``t`` seconds instead of a little less often gains freshness; per call this is
``V(t) = integral of P(s) from 0 to t - t * P(t)``, in seconds of freshness, with ``P(s)`` the
chance that a copy of age ``s`` is fresh. A given rate of calls keeps most products fresh if each
product is fetched whenever its value reaches one threshold common to all:

* J. Cho, H. Garcia-Molina: Effective page refresh policies for Web crawlers. ACM TODS 28(4), 2003.
* Y. Azar et al.: Tractable near-optimal policies for crawling. PNAS 115(32), 2018.
* R. Busa-Fekete et al.: A scalable crawling algorithm utilizing noisy change-indicating signals.
  arXiv 2502.02430, 2025: each product by itself against the threshold, no central plan.

The value never exceeds the expected time between two changes. A product surely faster than the
threshold never reaches it: it is stale again before a call has paid off. An uncertain one reaches
it in the end and is looked at again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ali1688_spider.watching.freshness import chance_fresh, mean_freshness

if TYPE_CHECKING:
    from ali1688_spider.watching.change_rate import ChangeRate

_HALVINGS = 16  # of the logarithm of the bounds' ratio: the interval is exact to 1 in 1000


def crawl_value(rate: ChangeRate, age: float) -> float:
    """Return what fetching a product is worth ``age`` seconds after the last time, in seconds.

    It grows with the age, from 0.
    """
    return max(0.0, age * (mean_freshness(rate, age) - chance_fresh(rate, age)))


def interval_worth(rate: ChangeRate, threshold: float, shortest: float, longest: float) -> float:
    """Return the age in seconds at which the crawl value reaches the threshold.

    Args:
        rate: What is believed of the product's changes.
        threshold: In seconds of freshness per call.
        shortest: Lower bound of the result, positive.
        longest: Upper bound, also the result for a product that never reaches the threshold.
    """
    if crawl_value(rate, shortest) >= threshold:
        return shortest
    if crawl_value(rate, longest) <= threshold:
        return longest
    low, high = math.log(shortest), math.log(longest)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if crawl_value(rate, math.exp(middle)) < threshold:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)
