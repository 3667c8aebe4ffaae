"""The numbers of a report.

Money is CNY, times are UTC. A product's price is its lowest unit price.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]
Point: TypeAlias = tuple[datetime, Decimal | int | None]

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Period:
    """The time that a report is about, in days or hours (UTC); the last one may not be over.

    Attributes:
        start: A midnight, or the beginning of an hour.
        end: The last moment.
        step: How long the buckets are that the charts count: a day or an hour.
    """

    start: datetime
    end: datetime
    step: timedelta = DAY

    @classmethod
    def last_days(cls, days: int, now: datetime) -> Period:
        """Return the last *days* times 24 hours, extended to the midnight before them."""
        first = (now.astimezone(UTC) - timedelta(days=days)).date()
        return cls(datetime.combine(first, time.min, UTC), now)

    @classmethod
    def last_hours(cls, hours: int, now: datetime) -> Period:
        """Return the last *hours*, extended to the full hour before them."""
        first = now.astimezone(UTC) - timedelta(hours=hours)
        return cls(first.replace(minute=0, second=0, microsecond=0), now, HOUR)

    @property
    def buckets(self) -> list[datetime]:
        """When each of its days or hours begins."""
        return [self.start + n * self.step for n in range((self.end - self.start) // self.step + 1)]

    def bucket(self, when: datetime) -> datetime:
        """Return when the day or hour of a time begins."""
        return self.start + (when - self.start) // self.step * self.step


@dataclass(slots=True)
class ProductFigures:
    """The stored products.

    Attributes:
        new: Seen for the first time in the period.
        out_of_stock: With a stock of 0.
        not_for_sale: Those that cannot be bought, whatever stock is told.
        collected: How many were last collected in each bucket of the period.
    """

    total: int = 0
    new: int = 0
    out_of_stock: int = 0
    not_for_sale: int = 0
    collected: Counter[datetime] = field(default_factory=Counter)

    @property
    def not_seen(self) -> int:
        """How many were not collected in the period."""
        return self.total - self.collected.total()


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
class Event:
    """What last happened to a product, and when; of a promotion also its price."""

    product_id: int
    at: datetime
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ChangeFigures:
    """What changed in the period, as numbers of products by what happened to them.

    They are ``cheaper`` or ``dearer``; of another ``stock``, and so ``sold out`` or ``back in
    stock``; ``off sale`` or ``back on sale``; or ``removed``. ``promotion began`` and ``promotion
    ended`` count those for which a promotion did, however long it ran. ``any`` counts those with
    any change, also of a SKU or a private price.

    Attributes:
        buckets: What happened in each day or hour, and how many were ``collected`` last in it.
        total: What is so at the end of the period and was not at its beginning; of promotions
            what happened at all.
        drops: The biggest falls of prices by ratio, biggest first.
        rises: The biggest rises, likewise.
        events: The latest of ``off sale``, ``promotion began`` and ``promotion ended``, latest
            first.
        most_changed: The ids of the products with most changes of price and stock.
    """

    buckets: dict[datetime, Counter[str]]
    total: Counter[str]
    drops: list[PriceMove]
    rises: list[PriceMove]
    events: dict[str, list[Event]]
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
    """The crawls that ended in the period, or were last seen in it.

    Attributes:
        count: How many there were.
        numbers: The sums of their statistics ``ali1688/…``, without that prefix.
        errors: How many calls failed, by the class of the error.
        latest: The last ones first, ``{spider, started_at, finished_at, reason, state, numbers,
            errors}``; the state is ``finished``, ``running`` or ``silent since …``. Crawls that
            have not ended come before the others, with the state as their reason, and with the
            time when they were last seen as ``finished_at``.
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

    @property
    def observed(self) -> list[datetime]:
        """When the shown products were last collected, in order."""
        return sorted(each["fetched_at"] for each in self.shown.values() if each["fetched_at"])
