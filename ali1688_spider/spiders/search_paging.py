"""Which calls follow a page of a search: the next page, or the halves of a query that is too wide.

The window of rows that one query shows, and the answers beyond it, are facts of the platform: see
``SearchApi.max_rows``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from ali1688_spider.gateway.calls import ApiCall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ali1688_spider.gateway.calls import Value
    from ali1688_spider.gateway.catalogue import SearchApi
    from ali1688_spider.gateway.parsing import SearchPage

SMALLEST_STEP = Decimal("0.01")
FIRST_PIVOT = Decimal(10)
GROWTH = 4


def next_calls(call: ApiCall, page: SearchPage, api: SearchApi) -> Iterator[ApiCall]:
    """Yield what is to be called after *page*, the answer to *call*; nothing when all is seen."""
    number = int(call.params["page"])
    page_size = page.page_size or int(call.params["page_size"])
    if not page.rows or (page.page is not None and page.page != number):
        return
    first_id = page.rows[0].get("product_id")
    if number > 1 and first_id == call.params.get("first_id"):
        return
    rows_wanted = page_size * int(call.params.get("max_pages", 0))
    if number == 1 and _is_too_wide(page, api, rows_wanted):
        halves = list(_halves(call))
        if halves:
            yield from halves
            return
    if _has_next(call, page, number * page_size, api):
        following: dict[str, Value] = {**call.params, "page": number + 1}
        if number == 1 and isinstance(first_id, int):
            following["first_id"] = first_id
        yield ApiCall("search", following)


def _is_too_wide(page: SearchPage, api: SearchApi, rows_wanted: int) -> bool:
    if not api.max_rows or page.total is None or "price_start" not in api.filters:
        return False
    wanted = min(page.total, rows_wanted) if rows_wanted else page.total
    return wanted > api.max_rows


def _halves(call: ApiCall) -> Iterator[ApiCall]:
    """Yield the query for the lower and for the upper prices; nothing when there is no between.

    Both include the price in the middle, since the platform does not say which bound counts.
    """
    start = Decimal(call.params.get("price_start", 0))
    end = Decimal(call.params["price_end"]) if "price_end" in call.params else None
    if end is None:
        middle = max(FIRST_PIVOT, start * GROWTH)
        if middle >= 10**9:
            return
    else:
        middle = ((start + end) / 2).quantize(SMALLEST_STEP)
        if not start < middle < end:
            return
    yield ApiCall("search", {**call.params, "price_end": f"{middle:f}"})
    yield ApiCall("search", {**call.params, "price_start": f"{middle:f}"})


def _has_next(call: ApiCall, page: SearchPage, rows_seen: int, api: SearchApi) -> bool:
    max_pages = int(call.params.get("max_pages", 0))
    if max_pages and int(call.params["page"]) >= max_pages:
        return False
    if api.max_rows and rows_seen >= api.max_rows:
        return False
    if page.total is not None:
        return rows_seen < page.total
    # Without a total, a page that is not full is the last.
    return page.page_size is None or len(page.rows) >= page.page_size
