"""The products: which there are, what was set of them from outside, and which a search finds.

A keyword that ends in a number finds exactly that many products, as far as there are so many:
``杯子95`` finds 95, and always the same ones. Where the word before the number is a noun or the
name of a leaf category (:mod:`.category_tree`), the products are counted within that category:
``保温杯7300`` finds 7300 products of 1031910 杯子水具, and none of another category. All other
criteria, a category too, only leave some of these out. Any other keyword finds the first
:data:`PLAIN_PRODUCTS` products of which the name, or the name of the category, contains it, in
Chinese or in English: few enough for a trial.

A price that is private is told nowhere, but a search by price and a sort know it.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox import product_facts as facts
from ali1688_spider.sandbox.category_tree import leaf_named, leaves_of
from ali1688_spider.sandbox.platform_messages import MessageBox
from ali1688_spider.sandbox.product_facts import FIRST_ID, SandboxSales, SandboxSeller
from ali1688_spider.sandbox.sandbox_product import SandboxProduct

if TYPE_CHECKING:
    from ali1688_spider.sandbox.options import Options

_TOO_LARGE = 10**15  # CNY; beyond, tiers and SKUs could not be priced with exact digits
_PRICES = ("price", "retail_price", "promotion_price")
_FLAGS = ("removed", "related", "followed", "curated")
_CHANGEABLE = {"name", "stock", "status", "answer", *_PRICES, *_FLAGS}
_COUNTED = re.compile(r"(.*?)(\d{1,9})")
PLAIN_PRODUCTS = 240
_OWN_PRODUCTS = 95  # so many, from the first on, are the seller's own
_CURATED_FILTERS = {"jxhy", "1688Selection"}
_FILTERS: dict[str, Callable[[int], bool]] = {
    "shipInToday": lambda number: facts.ships_within(number) == 24 and number % 2 == 0,
    "shipIn24Hours": lambda number: facts.ships_within(number) == 24,
    "shipIn48Hours": lambda number: facts.ships_within(number) <= 48,
    "certifiedFactory": lambda number: SandboxSeller(number).is_factory,
    "isOnePsale": lambda number: facts.least_quantity(number) == 1,
    "new7": lambda number: facts.mix(number, 21) % 20 == 0,
    "new30": lambda number: facts.mix(number, 21) % 5 == 0,
    "noReason7DReturn": lambda number: facts.mix(number, 22) % 2 == 0,
}
FILTER_NAMES = {*_FILTERS, *_CURATED_FILTERS}
SALES: dict[str, Callable[[SandboxSales], int]] = {
    "sales7": lambda sales: sales.days7,
    "sales14": lambda sales: sales.days14,
    "sales30": lambda sales: sales.days30,
    "totalSales": lambda sales: sales.total,
}


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is searched for; empty and None match everything.

    Prices are in CNY; ``sales`` has ranges of :data:`SALES`, all of which hold, each with its
    least and its most pieces; ``modified`` is in seconds since 1970. Ends of ranges belong to them.
    """

    keyword: str = ""
    category_id: int | None = None
    price_start: Decimal | None = None
    price_end: Decimal | None = None
    own: bool = False  # the seller's own products alone
    category_ids: tuple[int, ...] = ()  # any of them
    filters: tuple[str, ...] = ()  # all of them
    sales: tuple[tuple[str, Decimal | None, Decimal | None], ...] = ()
    seller: str | None = None  # an open id
    curated: bool = False  # curated goods alone
    product_ids: tuple[int, ...] = ()
    statuses: tuple[str, ...] = ()
    modified: tuple[float | None, float | None] = (None, None)


class Inventory:
    """The products of the sandbox, as they are at a step of time."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._changes: dict[int | None, dict[str, Any]] = {}
        self._related: dict[int, bool] = {}
        self._followed: set[int] = set()
        self._box = MessageBox(options)
        self._told_step = self.step()  # up to which the movement of prices and stock is told
        self.find = lru_cache(maxsize=64)(self._find)  # cleared after each change

    def step(self) -> int:
        """Return the current step of time, by which prices and stock are made."""
        seconds = self._options.drift
        return self._options.step + (int(self._options.now() // seconds) if seconds else 0)

    def now(self) -> float:
        """Return the gateway's time, in seconds since 1970."""
        return self._options.now()

    def exists(self, product_id: int) -> bool:
        """Whether there is such a product and it is not gone."""
        changes = self._changes.get(product_id)
        if changes is not None:
            return not changes.get("removed", False)
        number, removed = product_id - FIRST_ID + 1, self._options.removed
        return 0 < number <= self._options.products and not (removed and number % removed == 0)

    def is_own(self, product_id: int) -> bool:
        """Whether the product is the seller's own, as far as it exists."""
        return 0 <= product_id - FIRST_ID < _OWN_PRODUCTS

    def is_related(self, product_id: int) -> bool:
        """Whether the app has a relation to the product."""
        in_share = facts.in_share(3 * (product_id - FIRST_ID), self._options.related)
        return self._related.get(product_id, in_share)

    def is_curated(self, product_id: int) -> bool:
        """Whether the product is of the curated goods."""
        in_share = facts.in_share(5 * (product_id - FIRST_ID), self._options.curated)
        curated: bool = self._changes.get(product_id, {}).get("curated", in_share)
        return curated

    def relate(self, product_id: int, *, related: bool = True) -> None:
        """Make a relation to the product, or end it."""
        self._related[product_id] = related

    def is_followed(self, product_id: int) -> bool:
        """Whether the app follows the product."""
        return product_id in self._followed

    def follow(self, product_id: int, *, followed: bool = True) -> None:
        """Follow the product, which makes a relation, or end both."""
        self.messages()  # what has moved until now was not told to a follower
        self.relate(product_id, related=followed)
        if followed:
            self._followed.add(product_id)
        else:
            self._followed.discard(product_id)

    def messages(self) -> MessageBox:
        """Return the messages, those of the movement up to now among them."""
        step = self.step()
        if step != self._told_step:
            before, self._told_step = self._told_step, step
            for product_id in self._told():
                moved = facts.has_moved(product_id - FIRST_ID + 1, before, step)
                if moved and self.exists(product_id):
                    self._tell(product_id, self.product(product_id, before))
        return self._box

    def _told(self) -> Iterable[int]:
        """Return the products of which messages tell."""
        if self._options.messages == "all":
            return range(FIRST_ID, FIRST_ID + self._options.products)
        related = {id_ for id_, is_related in self._related.items() if is_related}
        if self._options.related:
            size = self._options.products
            related |= set(filter(self.is_related, range(FIRST_ID, FIRST_ID + size)))
        return sorted(related | self._followed)

    def _tell(self, product_id: int, before: SandboxProduct | None) -> None:
        """Make the messages of a product's change, unless it is none of those told of."""
        tells_all = self._options.messages == "all"
        if tells_all or self.is_related(product_id) or self.is_followed(product_id):
            self._box.tell(
                before,
                self._present(product_id),
                product_id,
                followed=tells_all or self.is_followed(product_id),
                curated=self.is_curated(product_id),
            )

    def _present(self, product_id: int) -> SandboxProduct | None:
        """Return a product as it is now; None when it does not exist."""
        return self.product(product_id, self.step()) if self.exists(product_id) else None

    def product(self, product_id: int, step: int) -> SandboxProduct:
        """Return a product that exists."""
        number, changes = product_id - FIRST_ID + 1, self._changes.get(product_id, {})
        return SandboxProduct(number, step, changes, self._modified_at(number, step, changes))

    def _modified_at(self, number: int, step: int, changes: Mapping[str, Any]) -> float:
        """Return when a product last changed; a step that is set by hand counts as a second."""
        usual, last = facts.modified_at(number), facts.last_step(number, step)
        drift = self._options.drift
        moved = (last - self._options.step) * drift if drift else usual + last
        set_at: float = changes.get("modified_at", 0)
        return max(usual, moved, set_at)

    def price(self, product_id: int, step: int) -> Decimal | None:
        """Return the lowest price (CNY), though it may be private; None when it is no amount."""
        number = product_id - FIRST_ID + 1
        price = self._changes.get(product_id, {}).get("price", facts.price_of(number, step))
        return price if isinstance(price, Decimal) else None

    def set_body(self, product_id: int | None) -> bytes | None:
        """Return the whole body that was set for responses about a product, None without one."""
        return self._changes.get(product_id, {}).get("answer")

    def change(self, product_id: int, changes: dict[str, Any]) -> None:
        """Set fields of a product, as ``POST /_sandbox/products/{id}`` says; raises ValueError.

        It exists from then on, unless it is set to be removed.
        """
        if unknown := set(changes) - _CHANGEABLE:
            raise ValueError(f"{', '.join(sorted(unknown))} cannot be set of a product")
        for name in _FLAGS:
            if not isinstance(changes.get(name, False), bool):
                raise ValueError(f"{name} is true or false")  # noqa: TRY004  # one kind for the caller
        self.messages()  # what has moved until now is told first
        before = self._present(product_id)
        changed = self._changes.get(product_id, {"removed": False}) | changes
        for name in _PRICES:
            price = decimal_of(changes.get(name))
            if price is not None and abs(price) < _TOO_LARGE:
                changed[name] = price
        answer = changes.get("answer")
        if answer is not None:
            text = answer if isinstance(answer, str) else json.dumps(answer)
            changed["answer"] = text.encode("utf-8", "surrogatepass")
        if "related" in changes:
            self.relate(product_id, related=changes["related"])
        if "followed" in changes:
            self.follow(product_id, followed=changes["followed"])
        self._changes[product_id] = changed | {"modified_at": self.now()}
        self._tell(product_id, before)

    def restore(self, product_id: int) -> None:
        """Forget what was set of a product."""
        before = self._present(product_id)
        self._changes.pop(product_id, None)
        self._tell(product_id, before)
        self._related.pop(product_id, None)
        self._followed.discard(product_id)

    def of_image(self, name: str) -> int | None:
        """Return the id of the product that one of whose images has this name, a path or a URL."""
        found = re.search(r"O1CN01\d{8}", name)
        return _image_keys(self._options.products).get(found[0]) if found else None

    def _find(self, criteria: Criteria, step: int) -> tuple[int, ...]:
        """Return the ids of all products that match, in the search's order."""
        tests = self._tests(criteria, step)
        found = self._counted(criteria)
        return tuple(id_ for id_ in found if all(test(id_) for test in tests))

    def _counted(self, criteria: Criteria) -> Iterable[int]:
        """Return the ids of the products that the keyword finds, or of the seller's own."""
        size, counted = self._options.products, _COUNTED.fullmatch(criteria.keyword)
        start, most = 0, _OWN_PRODUCTS if criteria.own else None
        if counted:
            start, most = zlib.crc32(counted[1].encode("utf-8", "surrogatepass")), int(counted[2])
        every = (FIRST_ID + (start + index) % size for index in range(size))
        found: Iterable[int] = filter(self.exists, every)
        leaf = leaf_named(counted[1]) if counted else None
        if leaf is not None:
            found = (id_ for id_ in found if _leaf_of(id_) == leaf)
        if criteria.keyword and not counted:
            part, names = criteria.keyword.casefold(), _all_names(size)
            found = (id_ for id_ in found if part in names[id_ - FIRST_ID])
            most = most or PLAIN_PRODUCTS
        return islice(found, most)

    def _tests(self, criteria: Criteria, step: int) -> list[Callable[[int], bool]]:
        """Return what a product must fulfil besides the keyword."""
        tests: list[Callable[[int], bool]] = [self._has_filter(name) for name in criteria.filters]
        tests += [_sold_within(*sales) for sales in criteria.sales]
        if criteria.category_id is not None:
            tests.append(_in_categories((criteria.category_id,)))
        if criteria.category_ids:
            tests.append(_in_categories(criteria.category_ids))
        if criteria.curated:
            tests.append(self.is_curated)
        if criteria.seller is not None:
            tests.append(lambda id_: _seller_of(id_) == criteria.seller)
        if criteria.product_ids:
            tests.append(criteria.product_ids.__contains__)
        prices = criteria.price_start, criteria.price_end
        if prices != (None, None):
            tests.append(lambda id_: _within(self.price(id_, step), *prices))
        if criteria.statuses:
            tests.append(lambda id_: self.product(id_, step).status in criteria.statuses)
        if criteria.modified != (None, None):
            tests.append(
                lambda id_: _within(self.product(id_, step).modified_at, *criteria.modified)
            )
        return tests

    def _has_filter(self, name: str) -> Callable[[int], bool]:
        if name in _CURATED_FILTERS:
            return self.is_curated
        return lambda id_: _FILTERS[name](id_ - FIRST_ID + 1)


class Goods:
    """The products of an inventory at one step of time."""

    def __init__(self, inventory: Inventory, step: int) -> None:
        self.inventory, self.step = inventory, step
        self.exists, self.is_curated = inventory.exists, inventory.is_curated

    def product(self, product_id: int) -> SandboxProduct:
        """Return a product that exists."""
        return self.inventory.product(product_id, self.step)

    def price(self, product_id: int) -> Decimal | None:
        """Return its lowest price, as :meth:`Inventory.price`."""
        return self.inventory.price(product_id, self.step)

    def find(self, criteria: Criteria) -> tuple[int, ...]:
        """Return the ids of all products that match, in the search's order."""
        return self.inventory.find(criteria, self.step)


def _leaf_of(product_id: int) -> int:
    return facts.category_of(product_id - FIRST_ID + 1).category_id


def _seller_of(product_id: int) -> str:
    return SandboxSeller(product_id - FIRST_ID + 1).open_id


def _in_categories(category_ids: Iterable[int]) -> Callable[[int], bool]:
    leaves = frozenset[int]().union(*map(leaves_of, category_ids))
    return lambda id_: _leaf_of(id_) in leaves


def _sold_within(kind: str, least: Decimal | None, most: Decimal | None) -> Callable[[int], bool]:
    return lambda id_: _within(SALES[kind](SandboxSales(id_ - FIRST_ID + 1)), least, most)


def _within(value: Any, least: Any, most: Any) -> bool:
    known = value is not None
    return known and (least is None or least <= value) and (most is None or value <= most)


@cache
def _all_names(count: int) -> list[str]:
    """Return what a keyword may find of each product: its names and those of its category."""
    return ["\n".join(_names(number)).casefold() for number in range(1, count + 1)]


def _names(number: int) -> tuple[str, ...]:
    category = facts.category_of(number)
    return *facts.names_of(number), category.name, category.english_name


@cache
def _image_keys(count: int) -> dict[str, int]:
    return {facts.image_key(number): FIRST_ID - 1 + number for number in range(1, count + 1)}


def decimal_of(value: Any) -> Decimal | None:
    """Return a number or its text as an exact amount, None for anything else."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
