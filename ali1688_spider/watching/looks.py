"""Looks: pages of searches and shops, of which one call tells whether many products have moved.

A page shows price, promotion price and the platform's date of the last change. A product of which
these differ from what a page showed before is fetched as if a hint had come; what no page shows
(sales, SKUs) stays the business of the product's own schedule, which learns how often that changes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from ali1688_spider.watching.watched_product import LARGEST

if TYPE_CHECKING:
    from ali1688_spider.watching.schedule import Schedule
    from ali1688_spider.watching.watched_product import WatchedProduct

logger = logging.getLogger(__name__)

LOOKED_AT_BY = frozenset({"keyword", "shop"})
"""Kinds of searches whose rows tell prices, and which find the same again and again."""

LEAST_OF_A_SHOP = 5
"""Watched products that a shop has to have before its pages are looked at."""

_KEPT = 0.98  # of what earlier looks have shown, at each look
_CLOCKS_SECONDS = 120.0  # by so much the platform's clock may differ from ours
_DIGEST_BYTES = 4


@dataclass(frozen=True, slots=True)
class Look:
    """What is kept of a page between two looks.

    Attributes:
        looked_at: Time of the last look (UTC, seconds since the epoch), None before the first.
        interval: Seconds from it to the next one; None when none pays.
        demand: Calls per second that it asks for, at a scale of 1 (:class:`.schedule.Schedule`).
        moved: How many products looks have shown to have moved; old ones fade.
        expected: How many there would have been if a page showed all changes; they fade likewise.
    """

    looked_at: float | None = None
    interval: float | None = None
    demand: float = 0.0
    moved: float = 0.0
    expected: float = 0.0

    @property
    def share(self) -> float:
        """The part of its products' changes that the page shows, 1 before anything is known."""
        return min(1.0, (self.moved + 1) / (self.expected + 1))

    def looked(
        self, products: Sequence[WatchedProduct], moved: int, now: float, schedule: Schedule
    ) -> Look:
        """Return the state after a look that showed *products*, of which so many had *moved*."""
        before = now if self.looked_at is None else self.looked_at
        ages = (now - max(before, each.fetched_at or now) for each in products)
        expected = sum(
            -math.expm1(-schedule.rate(each) * max(0.0, age))
            for each, age in zip(products, ages, strict=True)
        )
        new = Look(now, None, 0.0, _KEPT * self.moved + moved, _KEPT * self.expected + expected)
        interval = schedule.look_interval(products, new.share)
        if interval is None or schedule.scale is None:
            return replace(new, interval=interval)
        return replace(new, interval=interval, demand=1 / interval / schedule.scale)

    def encode(self) -> str:
        """Return the state after a look as a list of numbers."""
        numbers = (self.looked_at, self.interval, self.demand, self.moved, self.expected)
        return ",".join(f"{number or 0:.13g}" for number in numbers)

    @classmethod
    def decode(cls, text: str) -> Self:
        """Return the state of :meth:`encode`; a new one for an empty or unreadable text."""
        if not text:
            return cls()
        try:
            numbers = [float(number) for number in text.split(",")]
            looked_at, interval, demand, moved, expected = numbers
        except ValueError:
            numbers = []
        if not numbers or not all(0 <= number < LARGEST for number in numbers):
            logger.warning("The state of a look is unreadable, starting over: %.100r", text)
            return cls()
        return cls(looked_at or None, interval or None, demand, moved, expected)


@dataclass(frozen=True, slots=True)
class PageRow:
    """What a page shows of a product.

    Attributes:
        product_id: The product.
        kind: The kind of search; another one may tell other fields.
        digest: Differs when price, promotion price or the date of the last change does.
        modified_at: When the platform says that it was changed (UTC, seconds since the epoch).
    """

    product_id: int
    kind: str
    digest: str
    modified_at: float | None

    @classmethod
    def read(cls, fields: Mapping[str, Any], kind: str) -> Self | None:
        """Return the row with these fields; None when it is no product's."""
        product_id, modified = fields.get("product_id"), fields.get("modified_at")
        if type(product_id) is not int or product_id <= 0:
            return None
        told = [fields.get(name) for name in ("price", "promotion_price", "modified_at")]
        text = json.dumps(told, default=str).encode()
        digest = hashlib.blake2b(text, digest_size=_DIGEST_BYTES).hexdigest()
        at = modified.timestamp() if isinstance(modified, datetime) else None
        return cls(product_id, kind, digest, at)

    def has_moved(self, known: str, fetched_at: float) -> bool:
        """Return whether the product has changed since it was fetched.

        Args:
            known: What :meth:`merged` returned of it, empty at first.
            fetched_at: Time of its last fetch (UTC, seconds since the epoch).
        """
        before = dict(_pairs(known)).get(self.kind)
        if before is None:
            return self.modified_at is not None and self.modified_at > fetched_at
        is_older = self.modified_at is not None and self.modified_at < fetched_at - _CLOCKS_SECONDS
        return before != self.digest and not is_older

    def merged(self, known: str) -> str:
        """Return what is known of the product's rows, of each kind of search."""
        rows = dict(_pairs(known)) | {self.kind: self.digest}
        return " ".join(f"{kind}={digest}" for kind, digest in rows.items())


def _pairs(known: str) -> list[tuple[str, str]]:
    return [(kind, digest) for kind, _, digest in (each.partition("=") for each in known.split())]
