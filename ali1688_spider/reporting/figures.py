"""What a report says, as numbers; how it is counted and how it is shown are other modules' matter.

Money is CNY, times are UTC. A change's price is the product's, its lowest unit price.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from datetime import date, datetime
    from decimal import Decimal

    from ali1688_spider.reporting.period import Period

Value = TypeVar("Value", bound="Decimal | int")


@dataclass(slots=True)
class ProductFigures:
    """What is stored at the end of the period.

    Attributes:
        total: All products.
        collected: Collected in the period.
        new: Seen for the first time in the period.
        out_of_stock: With a stock of 0.
        removed: Gone, by the platform's word.
        collected_on: The products by the day on which they were last collected.
        private: The ids of those whose price is private.
    """

    total: int = 0
    collected: int = 0
    new: int = 0
    out_of_stock: int = 0
    removed: int = 0
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

    @property
    def size(self) -> Decimal:
        """How big the change is, whether up or down."""
        return abs(self.change)


@dataclass(slots=True)
class ChangeFigures:
    """What changed in the period; each number but the first counts products.

    Attributes:
        changes: Changes recorded, those of SKUs included.
        changed: Products with any change.
        cheaper, dearer: The price is lower, or higher, than at the beginning.
        sold_out, back_in_stock, removed: So at the end, and not at the beginning.
        days: For each day the products of ``cheaper``, ``dearer``, ``stock`` and ``any`` change.
        drops, rises: The biggest by ratio, biggest first.
        most_changed: The ids of the products with most changes of price and stock.
    """

    changes: int = 0
    changed: int = 0
    cheaper: int = 0
    dearer: int = 0
    sold_out: int = 0
    back_in_stock: int = 0
    removed: int = 0
    days: dict[date, Counter[str]] = field(default_factory=dict)
    drops: list[PriceMove] = field(default_factory=list)
    rises: list[PriceMove] = field(default_factory=list)
    most_changed: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Curve(Generic[Value]):
    """How a value went: each holds until the next, the last one until the end of the period.

    Attributes:
        points: When (UTC), and the value from then on; None where there was none.
        total: How many points there were before the curve was thinned out.
    """

    points: list[tuple[datetime, Value | None]]
    total: int


@dataclass(frozen=True, slots=True)
class ShownProduct:
    """What the page says of a product that it shows; the name is None when none is stored."""

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
    price: Curve[Decimal]
    stock: Curve[int]


@dataclass(slots=True)
class Crawl:
    """One crawl, or the sum of several.

    Attributes:
        spider: Its name; of a sum empty, as are the next three.
        reason: Why it ended.
        numbers: The statistics ``ali1688/…`` that count something, without that prefix.
        errors: How many answers there were of each class of errors.
        waited: How long calls waited for the quota in all, in seconds.
    """

    spider: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None
    numbers: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    waited: float = 0.0


@dataclass(slots=True)
class CrawlFigures:
    """The crawls that ended in the period.

    Attributes:
        count: How many.
        total: Their sum.
        latest: The last ones, latest first.
    """

    count: int = 0
    total: Crawl = field(default_factory=Crawl)
    latest: list[Crawl] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page shows.

    Attributes:
        shown: The products of the tables and curves, by id.
        missing: The ids of products that were asked for and are not stored.
        daily_quota: Calls allowed a day; 0 is no limit.
    """

    period: Period
    products: ProductFigures
    changes: ChangeFigures
    shown: dict[int, ShownProduct]
    curves: list[ProductCurves]
    missing: list[int]
    crawls: CrawlFigures
    daily_quota: int
