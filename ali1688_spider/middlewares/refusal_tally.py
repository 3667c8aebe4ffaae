"""Keeps what many products have in common from being said of each of them."""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import TYPE_CHECKING

from ali1688_spider.gateway.errors import BusinessRefusalError, NoProductError, NotServedError

if TYPE_CHECKING:
    from ali1688_spider.gateway.errors import CallError

logger = logging.getLogger(__name__)

MANY = 10
"""Products after which the same refusal is no matter of one product."""

_MOST_TEXTS = 1000
_NUMBERS = re.compile(r"\d+")


class RefusalTally:
    """Counts the refusals of products.

    A step that is missing is said once, with the first product. So are words that no table knows,
    whatever numbers are in them; once there are many of these, that is said too.
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def repeats(self, error: CallError) -> bool:
        """Count the refusal of a product; return whether another one was refused likewise before.

        The WARNING that many are refused in the same words is given here.
        """
        if isinstance(error, NotServedError):
            kind = error.error_class
        elif isinstance(error, BusinessRefusalError | NoProductError):
            kind = _NUMBERS.sub("#", f"{error.code} {error.message}")
        else:
            return False
        if len(self._seen) >= _MOST_TEXTS:
            return False
        self._seen[kind] += 1
        if self._seen[kind] == MANY and not isinstance(error, NotServedError):
            logger.warning(
                "%d products so far are refused in the same words (%s). %s Further ones are not "
                "announced one by one: `scrapy failed list` shows them.",
                MANY,
                error,
                error.advice,
            )
        return self._seen[kind] > 1
