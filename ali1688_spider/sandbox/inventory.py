"""The products that exist: which, what was set of them from outside, and which a search finds.

A keyword that ends in a number finds exactly that many products, as far as there are so many:
``杯子95`` finds 95, and always the same ones. Any other keyword finds the products whose Chinese
or English name contains it.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox import products
from ali1688_spider.sandbox.products import FIRST_ID, Product
from ali1688_spider.sandbox.shapes import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ali1688_spider.sandbox.catalogue import Query
    from ali1688_spider.sandbox.options import Options

_TOO_LARGE = 10**15  # CNY; beyond, tiers and SKUs could not be priced with exact digits
_CHANGEABLE = {"name", "price", "stock", "status", "removed", "answer"}
_COUNTED = re.compile(r"(.*?)(\d{1,9})")
_OWN_PRODUCTS = 95  # so many, from the first on, are the seller's own


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is searched for; empty and None match everything, prices are in CNY."""

    keyword: str = ""
    category_id: int | None = None
    price_start: Decimal | None = None
    price_end: Decimal | None = None
    own: bool = False  # the seller's own products alone


class Inventory:
    """The products of the sandbox, as they are at a step of time."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._changes: dict[int | None, dict[str, Any]] = {}
        self._bodies = lru_cache(maxsize=20_000)(lambda query, step: encode(query.data(self, step)))
        self.find = lru_cache(maxsize=64)(self._find)

    def forget_responses(self) -> None:
        """Forget what is cached, after each change from outside."""
        self._bodies.cache_clear()
        self.find.cache_clear()

    def step(self) -> int:
        """Return the current step of time, by which prices and stock are made."""
        seconds = self._options.drift
        return self._options.step + (int(self._options.now() // seconds) if seconds else 0)

    def exists(self, product_id: int) -> bool:
        """Whether there is such a product and it is not gone."""
        changes = self._changes.get(product_id)
        if changes is not None:
            return not changes.get("removed", False)
        number, removed = product_id - FIRST_ID + 1, self._options.removed
        return 0 < number <= self._options.products and not (removed and number % removed == 0)

    def product(self, product_id: int, step: int) -> Product:
        """Return a product that exists."""
        return Product(product_id - FIRST_ID + 1, step, self._changes.get(product_id, {}))

    def price(self, product_id: int, step: int) -> Decimal | None:
        """Return the lowest price; None when it is private or no amount."""
        number = product_id - FIRST_ID + 1
        if products.Traits(number).private:
            return None
        changes = self._changes.get(product_id, {})
        price = changes["price"] if "price" in changes else products.price_of(number, step)
        return price if isinstance(price, Decimal) else None

    def body(self, query: Query, wrap: Callable[[bytes], bytes]) -> bytes:
        """Return the body that was set, or the wrapped JSON text of the data."""
        answer: bytes | None = self._changes.get(query.product_id, {}).get("answer")
        return wrap(self._bodies(query, self.step())) if answer is None else answer

    def change(self, product_id: int, changes: dict[str, Any]) -> None:
        """Set fields of a product, as ``POST /_sandbox/products/{id}`` says; raises ValueError.

        It exists from then on, unless it is set to be removed.
        """
        unknown = set(changes) - _CHANGEABLE
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))} cannot be set of a product")
        if not isinstance(changes.get("removed", False), bool):
            raise ValueError("removed is true or false")  # noqa: TRY004  # one kind for the caller
        changed = self._changes.get(product_id, {"removed": False}) | changes
        price = decimal_of(changes.get("price"))
        if price is not None and abs(price) < _TOO_LARGE:
            changed["price"] = price
        if changes.get("answer") is not None:
            answer = changes["answer"]
            text = answer if isinstance(answer, str) else json.dumps(answer)
            changed["answer"] = text.encode("utf-8", "surrogatepass")
        self._changes[product_id] = changed
        self.forget_responses()

    def restore(self, product_id: int) -> None:
        """Forget what was set of a product."""
        self._changes.pop(product_id, None)
        self.forget_responses()

    def _find(self, criteria: Criteria, step: int) -> tuple[int, ...]:
        """Return the ids of all products that match, in the search's order."""
        counted = _COUNTED.fullmatch(criteria.keyword)
        if criteria.own:
            found = self._from(0, _OWN_PRODUCTS)
        elif counted:
            start = zlib.crc32(counted[1].encode("utf-8", "surrogatepass"))
            found = self._from(start, int(counted[2]))
        else:
            part, names = criteria.keyword.casefold(), _all_names(self._options.products)
            found = (id_ for id_, text in enumerate(names, FIRST_ID) if part in text)
            found = filter(self.exists, found)
        return tuple(id_ for id_ in found if self._matches(id_, criteria, step))

    def _from(self, start: int, count: int) -> Iterator[int]:
        size = self._options.products
        every = (FIRST_ID + (start + index) % size for index in range(size))
        return islice(filter(self.exists, every), count)

    def _matches(self, product_id: int, criteria: Criteria, step: int) -> bool:
        category = products.category_of(product_id - FIRST_ID + 1)
        if criteria.category_id not in (None, category.category_id):
            return False
        least, most = criteria.price_start, criteria.price_end
        if least is most is None:
            return True
        price = self.price(product_id, step)
        if price is None:
            return False
        return (least is None or least <= price) and (most is None or price <= most)


@cache
def _all_names(count: int) -> list[str]:
    return ["\n".join(products.names_of(number)).casefold() for number in range(1, count + 1)]


def decimal_of(value: Any) -> Decimal | None:
    """Return a number or its text as an exact amount, None for anything else."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
