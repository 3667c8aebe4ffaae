"""The ``router`` and ``top`` protocols.

What ``top`` wraps in ``{"<method>_response": {…}}`` comes here without it, and may lack the
``result`` around the rest.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ali1688_spider.gateway.parsing import SearchPage
from ali1688_spider.gateway.parsing.fields import Fields, count, read_range, section, set_fields
from ali1688_spider.gateway.parsing.product_info import read_product


def parse_product(data: Any) -> Fields:
    """Return the fields of ``{"result": {"product": {…}}}``.

    The product has names of its own for its title, price and stock; what else is set has the names
    of ``productInfo``.
    """
    return _read(section(_result(data), "product"), is_row=False)


def parse_search(data: Any) -> SearchPage:
    """Return the page ``result{totalCount, pageNo, pageSize, products[]}``."""
    page = _result(data)
    return SearchPage.read(page, page.get("products"), partial(_read, is_row=True))


def _result(data: Any) -> dict[str, Any]:
    return section(data, "result") or section(data)


def _read(product: dict[str, Any], *, is_row: bool) -> Fields:
    own = set_fields(name=product.get("productName"), stock=count(product.get("quantity")))
    fields = {**read_product(product), **own}
    if fields.get("price_private"):
        return fields
    low, high = read_range(product.get("price"))
    # The one price of a row says nothing of the highest.
    return fields | set_fields(price=low, price_max=None if is_row else high)
