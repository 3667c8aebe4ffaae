"""What the readers of responses return, and where the platform puts products and pages.

Reading a product (``parsing_product.py``) gives the fields of the product record that are set in
the data, as a dict, and an empty one when there is no product in it. Reading a search
(``parsing_search.py``) gives a :class:`SearchPage`, or raises UnreadableResponseError when there is
none.

* What is not set is no key, so that a row of a search erases nothing in a store.
* The reading is as lenient as the platform: numbers may be strings, names have variants.
* No value is judged. An impossible one passes through as it came, and validation refuses it; of
  what only describes a product (weights, scores, dates), it counts as not told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway import fields
from ali1688_spider.gateway.errors import UnreadableResponseError

if TYPE_CHECKING:
    from ali1688_spider.gateway.fields import Fields


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of a search; past the end its rows are empty.

    Attributes:
        total: How many products the search finds; None if unknown.
        page: Number of the page, from 1; None if unknown.
        page_size: How many rows a full page has; None if unknown.
        rows: The fields that each row sets.
        payloads: Each row as it came, in the order of ``rows``.
    """

    total: int | None
    page: int | None
    page_size: int | None
    rows: list[Fields]
    payloads: list[Any]

    @classmethod
    def read(
        cls, page: dict[str, Any], rows: Any, read_row: Callable[[dict[str, Any]], Fields]
    ) -> SearchPage:
        """Return the page whose totals are in *page*, by any of the names that the APIs have."""
        total = _number(page, "totalCount", "totalRecords", "total", "offerPoolTotal")
        payloads = fields.listed(rows)
        if not isinstance(payloads, list) or (rows is None and total is None):
            raise UnreadableResponseError("no search page in the response")
        return cls(
            total=total,
            page=_number(page, "pageNo", "currentPage", "pageIndex", "page"),
            page_size=_number(page, "pageSize", "sizePerPage"),
            rows=[read_row(row) if isinstance(row, dict) else {} for row in payloads],
            payloads=payloads,
        )


def _number(page: dict[str, Any], *names: str) -> int | None:
    number = fields.count(fields.first(page, *names))
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def router_result(data: Any) -> dict[str, Any]:
    """Return what is in ``{"result": {…}}``; in ``top`` the ``result`` around it may be missing."""
    return fields.section(data, "result") or fields.section(data)


def router_products(data: Any) -> list[Any]:
    """Return the product of ``{"result": {"product": {…}}}`` (``router`` and ``top``)."""
    return _one(fields.section(router_result(data), "product"))


def product_infos(data: Any) -> list[Any]:
    """Return the product of ``{"productInfo": {…}}``, which may stand in a ``result``."""
    product = fields.section(data, "productInfo")
    return _one(product or fields.section(data, "result", "productInfo"))


def product_lists(data: Any) -> list[Any]:
    """Return the products of ``{"productList": […]}``."""
    return _products(fields.section(data).get("productList"))


def curated_products(data: Any) -> list[Any]:
    """Return the products of ``{"result": {"result": [{"productInfo": {…}}]}}``."""
    entries = _products(fields.section(data, "result").get("result"))
    return [fields.section(entry, "productInfo") for entry in entries]


def product_details(data: Any) -> list[Any]:
    """Return the product of ``{"result": {"result": {…}}}``."""
    return _one(fields.section(data, "result", "result"))


def _one(product: dict[str, Any]) -> list[Any]:
    return [product] if product else []


def _products(raw: Any) -> list[Any]:
    entries = fields.listed(raw)
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
