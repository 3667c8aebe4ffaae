"""The answers of the ``router`` and ``top`` protocols.

What ``top`` wraps in ``{"<method>_response": {…}}`` comes here without it, and may lack the
``result`` around the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway.parsing.prices import read_range
from ali1688_spider.gateway.parsing.product_info import read_product
from ali1688_spider.gateway.parsing.search_page import search_page
from ali1688_spider.gateway.parsing.values import count, section, told

if TYPE_CHECKING:
    from ali1688_spider.gateway.parsing.search_page import SearchPage
    from ali1688_spider.gateway.parsing.values import Fields


def parse_product(payload: Any) -> Fields:
    """Return the fields of ``{"result": {"product": {…}}}``.

    The product has names of its own for its title, price and stock; what else it tells has the
    names of ``productInfo``.
    """
    return _read(section(_result(payload), "product"), is_row=False)


def parse_search(payload: Any) -> SearchPage:
    """Return the page ``result{totalCount, pageNo, pageSize, products[]}``.

    Raises:
        UnexpectedAnswerError: There is no such page in the answer.
    """
    page = _result(payload)
    return search_page(page, page.get("products"), _read_row)


def _result(payload: Any) -> dict[str, Any]:
    return section(payload, "result") or section(payload)


def _read_row(row: dict[str, Any]) -> Fields:
    return _read(row, is_row=True)


def _read(product: dict[str, Any], *, is_row: bool) -> Fields:
    own = told(name=product.get("productName"), stock=count(product.get("quantity")))
    fields = {**read_product(product), **own}
    if fields.get("price_private"):
        return fields
    low, high = read_range(product.get("price"))
    # The one price of a row says nothing of the highest.
    return fields | told(price=low, price_max=None if is_row else high)
