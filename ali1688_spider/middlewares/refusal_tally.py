"""Notes when many products are refused in the same words, and says so once."""

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
_ABOUT_A_PRODUCT = (BusinessRefusalError, NoProductError, NotServedError)
_NUMBERS = re.compile(r"\d+")


class RefusalTally:
    """Counts the refusals of products by their words, whatever numbers are in these."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()

    def repeats(self, error: CallError) -> bool:
        """Count the refusal of a product; return whether another one was refused likewise before.

        One WARNING says so for all of them, once there are many.
        """
        if not isinstance(error, _ABOUT_A_PRODUCT) or len(self._seen) >= _MOST_TEXTS:
            return False
        words = (error.error_class, _NUMBERS.sub("#", f"{error.code} {error.message}"))
        self._seen[words] += 1
        if self._seen[words] == MANY:
            logger.warning(
                "%d products so far are refused in the same words (%s). %s Further ones are not "
                "announced one by one: `scrapy failed list` shows them.",
                MANY,
                error,
                error.advice,
            )
        return self._seen[words] > 1
