"""The bodies of the answers, each made once and kept as long as it is true."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox.apis import PageApi, ProductApi
from ali1688_spider.sandbox.queries import PageQuery, ProductQuery
from ali1688_spider.sandbox.refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from ali1688_spider.sandbox.apis import Api
    from ali1688_spider.sandbox.catalogue import Catalogue
    from ali1688_spider.sandbox.queries import Query
    from ali1688_spider.sandbox.search import Search

_CACHED_PRODUCTS = 20_000
_CACHED_PAGES = 500


class Answers:
    """Makes the bodies of the answers."""

    def __init__(self, catalogue: Catalogue, search: Search) -> None:
        self._catalogue = catalogue
        self._search = search
        self._products = lru_cache(maxsize=_CACHED_PRODUCTS)(self._make_product)
        self._pages = lru_cache(maxsize=_CACHED_PAGES)(self._make_page)

    def body(self, api: Api, query: Query) -> bytes:
        """Return the JSON text that *api* answers to *query*.

        Raises:
            RefusedError: The product is gone, or never was.
        """
        step, revision = self._catalogue.step(), self._catalogue.revision
        match api, query:
            case ProductApi(), ProductQuery():
                if not self._catalogue.exists(query.product_id):
                    raise RefusedError("not-found", f"商品[{query.text}]不存在")
                return self._products(api, query.product_id, step, revision)
            case PageApi(), PageQuery():
                return self._pages(api, query, step, revision)
        raise TypeError(f"{api.name} does not answer {query}")

    def _make_product(self, api: ProductApi, product_id: int, step: int, _revision: int) -> bytes:
        return encode(api.shape(self._catalogue.product(product_id, step)))

    def _make_page(self, api: PageApi, query: PageQuery, step: int, _revision: int) -> bytes:
        found = self._search.find(query.criteria, step)
        reach: Sequence[int] = found[: api.window]
        start = (query.page - 1) * query.page_size
        ids = list(reach[start : start + query.page_size])
        if query.sort:
            ids.sort(key=lambda id_: self._sort_key(id_, step), reverse=query.sort == "price desc")
        rows = [api.row(self._catalogue.product(product_id, step)) for product_id in ids]
        return encode(api.page(rows, len(found), query.page, query.page_size))

    def _sort_key(self, product_id: int, step: int) -> tuple[bool, Decimal | int]:
        price = self._catalogue.price(product_id, step)
        return price is None, price or 0


def encode(value: Any) -> bytes:
    """Return the JSON text of *value*; in UTF-8, or escaped when it has lone surrogates."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
