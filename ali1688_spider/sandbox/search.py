"""Which products a search finds.

A keyword that ends in a number finds exactly that many products (as far as the catalogue has
them): ``杯子95`` finds 95, and always the same ones. Any other keyword finds the products whose
Chinese or English name contains it.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from ali1688_spider.sandbox.generation import category_of, names_of
from ali1688_spider.sandbox.products import FIRST_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from ali1688_spider.sandbox.catalogue import Catalogue

_COUNTED = re.compile(r"(.*?)(\d{1,9})")
_CACHED_SEARCHES = 64
OWN_PRODUCTS = 95
"""How many products, from the first on, are the seller's own."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is searched for; empty and None match everything.

    Attributes:
        keyword: Part of a name, or a text that ends in the wanted number of results.
        category_id: The category.
        price_start: The least price in CNY.
        price_end: The highest price in CNY.
        own: Only the seller's own products.
    """

    keyword: str = ""
    category_id: int | None = None
    price_start: Decimal | None = None
    price_end: Decimal | None = None
    own: bool = False


class Search:
    """Finds products in a catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._names: list[str] = []
        self._find = lru_cache(maxsize=_CACHED_SEARCHES)(self._find_uncached)

    def find(self, criteria: Criteria, step: int) -> tuple[int, ...]:
        """Return the ids of all products that match at a step of time, in the search's order."""
        return self._find(criteria, step, self._catalogue.revision)

    def _find_uncached(self, criteria: Criteria, step: int, _revision: int) -> tuple[int, ...]:
        counted = _COUNTED.fullmatch(criteria.keyword)
        if criteria.own:
            found = self._from(0, OWN_PRODUCTS)
        elif counted:
            start = zlib.crc32(counted[1].encode("utf-8", "surrogatepass"))
            found = self._from(start, int(counted[2]))
        else:
            found = self._named(criteria.keyword.casefold())
        return tuple(id_ for id_ in found if self._matches(id_, criteria, step))

    def _from(self, start: int, count: int) -> Iterator[int]:
        size = self._catalogue.size
        every = (FIRST_ID + (start + index) % size for index in range(size))
        return islice(filter(self._catalogue.exists, every), count)

    def _named(self, part: str) -> Iterator[int]:
        if not self._names:
            self._names = [
                "\n".join(names_of(number)).casefold()
                for number in range(1, self._catalogue.size + 1)
            ]
        ids = (FIRST_ID + index for index, names in enumerate(self._names) if part in names)
        return filter(self._catalogue.exists, ids)

    def _matches(self, product_id: int, criteria: Criteria, step: int) -> bool:
        category_id = criteria.category_id
        if category_id and category_of(product_id - FIRST_ID + 1).category_id != category_id:
            return False
        if criteria.price_start is None and criteria.price_end is None:
            return True
        price = self._catalogue.price(product_id, step)
        if price is None:
            return False
        least, most = criteria.price_start, criteria.price_end
        return (least is None or price >= least) and (most is None or price <= most)
