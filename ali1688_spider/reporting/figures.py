"""The numbers of a report.

Money is CNY, times are UTC. A product's price is its lowest unit price.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
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
        collected: Collected in the period.
        new: Seen for the first time in the period.
        out_of_stock: With a stock of 0.
        collected_on: How many were last collected on each day of the period.
        private: The ids of those whose price is private.
    """

    total: int = 0
    collected: int = 0
    new: int = 0
    out_of_stock: int = 0
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


@dataclass(slots=True)
class ChangeFigures:
    """What changed in the period; all numbers but the first count products.

    Attributes:
        changes: Recorded changes, including those of SKUs.
        changed: Products with any change.
        cheaper, dearer: The price is lower, or higher, than at the beginning.
        sold_out, back_in_stock, removed: So at the end, and not at the beginning.
        days: For each day the products of ``cheaper``, ``dearer``, ``stock`` and ``any`` change.
        drops, rises: The biggest by ratio, biggest first.
        most_changed: The ids of the products with most changes of price and stock.
    """

    days: dict[date, Counter[str]]
    changes: int = 0
    changed: int = 0
    cheaper: int = 0
    dearer: int = 0
    sold_out: int = 0
    back_in_stock: int = 0
    removed: int = 0
    drops: list[PriceMove] = field(default_factory=list)
    rises: list[PriceMove] = field(default_factory=list)
    most_changed: list[int] = field(default_factory=list)


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


@dataclass(frozen=True, slots=True)
class ShownProduct:
    """A product of the page's tables and curves."""

    product_id: int
    name: str | None
    supplier: str | None
    price: Decimal | None
    stock: int | None
    first_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProductCurves:
    """The price and stock of one product in the period."""

    product: ShownProduct
    price: Curve
    stock: Curve


@dataclass(slots=True)
class CrawlRow:
    """One crawl, or the sum of several, whose name, times and reason are empty.

    Attributes:
        numbers: The statistics ``ali1688/…`` that the page shows, without that prefix.
        errors: Failed calls by the class of their error.
        waited: How long calls waited for the quota in all, in seconds.
    """

    spider: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None
    numbers: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    waited: float = 0.0

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(slots=True)
class CrawlFigures:
    """The crawls that ended in the period: their number, their sum, the last ones first."""

    count: int = 0
    total: CrawlRow = field(default_factory=CrawlRow)
    latest: list[CrawlRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows.

    ``shown`` has the products of the tables and curves; ``missing`` the ids that were asked for and
    are not stored; ``daily_quota`` calls allowed a day, where 0 is no limit.
    """

    period: Period
    products: ProductFigures
    changes: ChangeFigures
    shown: dict[int, ShownProduct]
    curves: list[ProductCurves]
    missing: list[int]
    crawls: CrawlFigures
    daily_quota: int
