"""The answer of ``alibaba.product.list.get``: the seller's own products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway.parsing.product_info import read_product
from ali1688_spider.gateway.parsing.search_page import search_page
from ali1688_spider.gateway.parsing.values import section

if TYPE_CHECKING:
    from ali1688_spider.gateway.parsing.search_page import SearchPage


def parse_search(payload: Any) -> SearchPage:
    """Return the page ``result.pageResult{totalRecords, resultList[]}``.

    Its rows are ``productInfo`` objects, as far as they go.

    Raises:
        UnexpectedAnswerError: There is no such page in the answer.
    """
    page = section(payload, "result", "pageResult")
    return search_page(page, page.get("resultList"), read_product)
