"""Splits a search that finds more than the platform shows of one query.

The platform shows 2000 rows of a query at most, and never says that there are more. So a query that
finds as many is split, by price as long as that is possible, then by category, then by sales. Where
to cut is read off the rows of its page: their median halves what was found about evenly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from statistics import median_low
from typing import TYPE_CHECKING, TypeAlias

from ali1688_spider.gateway.calls import ApiCall, Value

if TYPE_CHECKING:
    from ali1688_spider.gateway.api import SearchApi
    from ali1688_spider.gateway.parsing import SearchPage

SMALLEST_STEP = Decimal("0.001")
FIRST_PRICE, HIGHEST_PRICE = Decimal(10), Decimal(10**9)
FIRST_SALES, HIGHEST_SALES = 10, 10**9
Params: TypeAlias = Mapping[str, Value]

GROWTH = 4
"""Without rows to go by, the next cut is so many times as high as the last."""


def split(call: ApiCall, page: SearchPage, api: SearchApi) -> list[ApiCall]:
    """Return the first pages of queries that find, together, what *call* does.

    *page* is the response to *call*. By category they find only what is in the categories of this
    page's rows, so that the pages after it have to be read as well; see :func:`is_by_category`.
    Nothing is returned when the query cannot be split any further.
    """
    params = {**call.params, "page": 1}
    params.pop("first_id", None)
    is_first = call.params["page"] == 1
    for way in (_by_price, _by_category, _by_sales) if is_first else (_by_category,):
        if parts := list(way(params, page, api)):
            return [ApiCall("search", {**params, **part}) for part in parts]
    return []


def is_by_category(call: ApiCall, part: ApiCall) -> bool:
    """Return whether *part*, of :func:`split`, is one category of what *call* finds."""
    return part.params.get("category_id") != call.params.get("category_id")


def _by_price(params: Params, page: SearchPage, api: SearchApi) -> Iterator[Params]:
    """Yield the lower and the higher prices; both include the cut, as bounds may or may not."""
    if not {"price_start", "price_end"} <= api.filters:
        return
    start = Decimal(params.get("price_start", 0))
    end = Decimal(params["price_end"]) if "price_end" in params else None
    if end is not None and end - start <= SMALLEST_STEP:
        if start < end:
            yield {"price_end": _text(start)}
            yield {"price_start": _text(end)}
        return
    prices = [row["price"] for row in page.rows if isinstance(row.get("price"), Decimal)]
    inside = [each for each in prices if start < each and (end is None or each < end)]
    if inside:
        cut = median_low(inside)
    elif end is not None:
        cut = ((start + end) / 2).quantize(SMALLEST_STEP)
    else:
        cut = max(FIRST_PRICE, start * GROWTH)
    if cut < HIGHEST_PRICE:
        yield {"price_end": _text(cut)}
        yield {"price_start": _text(cut)}


def _by_category(params: Params, page: SearchPage, api: SearchApi) -> Iterator[Params]:
    """Yield the categories of the rows, unless they are what was asked for."""
    if "category_id" in api.filters:
        categories = dict.fromkeys(row.get("category_id") for row in page.rows)
        for category in categories:
            if isinstance(category, int) and category != params.get("category_id"):
                yield {"category_id": category}


def _by_sales(params: Params, page: SearchPage, api: SearchApi) -> Iterator[Params]:
    """Yield the fewer and the more sales, in pieces of the last 30 days."""
    start, end = int(params.get("sales_start", 0)), int(params.get("sales_end", HIGHEST_SALES))
    if not {"sales_start", "sales_end"} <= api.filters or start >= end:
        return
    sales = [row["sales_30d"] for row in page.rows if isinstance(row.get("sales_30d"), int)]
    inside = [each for each in sales if start <= each < end]
    cut = (
        median_low(inside) if inside else min((start + end) // 2, max(FIRST_SALES, start * GROWTH))
    )
    yield {"sales_start": start, "sales_end": cut}
    yield {"sales_start": cut + 1, "sales_end": end}


def _text(price: Decimal) -> str:
    return f"{price.normalize():f}"
