"""The numbers of a report.

Money is CNY, times are UTC. A product's price is its lowest unit price.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]
Point: TypeAlias = tuple[datetime, Decimal | int | None]


@dataclass(frozen=True, slots=True)
class Period:
    """The time that a report is about: from a midnight to its last moment."""

    start: datetime
    end: datetime

    @classmethod
    def last_days(cls, days: int, now: datetime) -> Period:
        """Return the last *days* times 24 hours, extended to the midnight before them."""
        first = (now.astimezone(UTC) - timedelta(days=days)).date()
        return cls(datetime.combine(first, time.min, UTC), now)

    @property
    def days(self) -> list[date]:
        """The calendar days; the last one may not be over."""
        first = self.start.date()
        return [first + timedelta(n) for n in range((self.end.date() - first).days + 1)]


@dataclass(slots=True)
class ProductFigures:
    """The stored products.

    Attributes:
        new: Seen for the first time in the period.
        out_of_stock: With a stock of 0.
        not_for_sale: Those that cannot be bought, whatever stock is told.
        collected_on: How many were last collected on each day of the period.
        private: The ids of those whose price is private.
    """

    total: int = 0
    new: int = 0
    out_of_stock: int = 0
    not_for_sale: int = 0
    collected_on: Counter[date] = field(default_factory=Counter)
    private: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class PriceMove:
    """A product's price before and after the period; both are above 0 and differ."""

    product_id: int
    old: Decimal
    new: Decimal
    changes: int

    @property
    def change(self) -> Decimal:
        """The difference as a part of the old price: -0.1 is 10 % cheaper."""
        return self.new / self.old - 1


@dataclass(frozen=True, slots=True)
class ChangeFigures:
    """What changed in the period, as numbers of products by what happened to them.

    They are ``cheaper`` or ``dearer``; of another ``stock``, and so ``sold out`` or ``back in
    stock``; ``off sale`` or ``back on sale``; or ``removed``. ``any`` counts those with any change,
    also of a SKU or a private price.

    Attributes:
        days: What happened on each day, and how many were ``collected`` last on it.
        total: What is so at the end of the period and was not at its beginning.
        drops: The biggest falls of prices by ratio, biggest first.
        rises: The biggest rises, likewise.
        most_changed: The ids of the products with most changes of price and stock.
    """

    days: dict[date, Counter[str]]
    total: Counter[str]
    drops: list[PriceMove]
    rises: list[PriceMove]
    most_changed: list[int]


@dataclass(frozen=True, slots=True)
class Curve:
    """A price or a stock over time: each value holds until the next one.

    Attributes:
        points: The time, and the value from then on; None where there was none.
        total: How many points there were before the curve was thinned out.
    """

    points: list[Point]
    total: int

    @property
    def known(self) -> list[Decimal | int]:
        """The values without those that are None."""
        return [value for _, value in self.points if value is not None]


@dataclass(slots=True)
class CrawlFigures:
    """The crawls that ended in the period.

    Attributes:
        count: How many there were.
        numbers: The sums of their statistics ``ali1688/…``, without that prefix.
        errors: How many calls failed, by the class of the error.
        latest: The last ones first, ``{spider, started_at, finished_at, reason, numbers, errors}``.
    """

    count: int = 0
    numbers: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    latest: list[Document] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows.

    Attributes:
        shown: The stored products of the tables and curves, by their ids.
        curves: The ``price`` and ``stock`` of products in the period, by their ids.
        missing: The ids that were asked for and are not stored.
    """

    period: Period
    products: ProductFigures
    changes: ChangeFigures
    shown: dict[int, Document]
    curves: dict[int, dict[str, Curve]]
    missing: list[int]
    crawls: CrawlFigures
