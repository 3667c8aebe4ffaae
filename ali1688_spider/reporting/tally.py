"""Counts what changed, in one pass over the changes.

Its memory grows with the number of products that changed, not with the number of changes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from heapq import nlargest
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ali1688_spider.items import REMOVED
from ali1688_spider.reporting.figures import ChangeFigures, PriceMove

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from ali1688_spider.reporting.period import Period

    Change = dict[str, Any]


def tally(
    changes: Iterable[Change],
    period: Period,
    *,
    private: set[int],
    top: int,
    most_changed: int,
) -> ChangeFigures:
    """Count the changes of a period.

    Args:
        changes: Those of the period as plain values, oldest first.
        period: The period.
        private: The products whose prices are not looked at.
        top: How many of the biggest drops, and of the biggest rises, are kept.
        most_changed: How many of the most changed products are kept.
    """
    figures = ChangeFigures(days={day: Counter() for day in period.days})
    products: defaultdict[int, _Product] = defaultdict(_Product)
    for day, of_day in groupby(changes, key=_day):
        concerned: defaultdict[str, set[int]] = defaultdict(set)
        for change in of_day:
            product_id = change["product_id"]
            product = products[product_id]
            for happened in product.add(change, shows_price=product_id not in private):
                concerned[happened].add(product_id)
        figures.days[day].update({name: len(ids) for name, ids in concerned.items()})
    for product in products.values():
        product.count_into(figures)
    _rank(products, figures, top, most_changed)
    return figures


class _Product:
    """What happened to one product: each field before the first and after the last change.

    Attributes:
        changes: How many there were, those of SKUs included.
        steps: How many there were of the product's own price and stock.
    """

    __slots__ = ("_after", "_before", "_price_changes", "changes", "steps")

    def __init__(self) -> None:
        self.changes = 0
        self.steps = 0
        self._price_changes = 0
        self._before: dict[str, Any] = {}
        self._after: dict[str, Any] = {}

    def add(self, change: Change, *, shows_price: bool) -> tuple[str, ...]:
        """Add the next change; return what the product's day counts for."""
        self.changes += 1
        name, old, new = change["field"], change["old"], change["new"]
        if change.get("sku_id") is not None or (name == "price" and not shows_price):
            return ("any",)
        self._before.setdefault(name, old)
        self._after[name] = new
        if name == "stock":
            self.steps += 1
            return ("any", "stock")
        if name == "price":
            self.steps += 1
            self._price_changes += 1
            if old is not None and new is not None:
                return ("any", "cheaper" if new < old else "dearer")
        return ("any",)

    def count_into(self, figures: ChangeFigures) -> None:
        """Add what became of the product in the end."""
        figures.changes += self.changes
        figures.changed += 1
        old, new = self._before.get("price"), self._after.get("price")
        if old is not None and new is not None:
            figures.cheaper += new < old
            figures.dearer += new > old
        figures.sold_out += self._became("stock", 0)
        figures.back_in_stock += self._before.get("stock") == 0 and bool(self._after["stock"])
        figures.removed += self._became("status", REMOVED)

    def price_move(self, product_id: int) -> PriceMove | None:
        """Return how the price differs in the end, if it does and a ratio says how much."""
        old, new = self._before.get("price"), self._after.get("price")
        if not old or not new or old == new:
            return None
        return PriceMove(product_id, old, new, self._price_changes)

    def _became(self, name: str, value: object) -> bool:
        before = self._before.get(name)
        return before is not None and before != value and self._after[name] == value


_size = attrgetter("size")


def _day(change: Change) -> date:
    day: date = change["at"].date()
    return day


def _rank(
    products: dict[int, _Product], figures: ChangeFigures, top: int, most_changed: int
) -> None:
    found = (product.price_move(product_id) for product_id, product in sorted(products.items()))
    moves = [move for move in found if move is not None]
    figures.drops = nlargest(top, (it for it in moves if it.change < 0), key=_size)
    figures.rises = nlargest(top, (it for it in moves if it.change > 0), key=_size)
    sizes = {move.product_id: move.size for move in moves}
    figures.most_changed = nlargest(
        most_changed,
        (product_id for product_id, product in sorted(products.items()) if product.steps),
        key=lambda product_id: (products[product_id].steps, sizes.get(product_id, 0)),
    )
