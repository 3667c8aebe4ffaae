from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.catalogue import choose_apis
from ali1688_spider.gateway.parsing import SearchPage
from ali1688_spider.spiders.search import price_fits
from ali1688_spider.spiders.search_paging import next_calls

ROUTER = choose_apis("router").search
KEYWORD_QUERY = choose_apis("param2").search
OWN_PRODUCTS = choose_apis(
    "param2", search_api="com.alibaba.product:alibaba.product.list.get-1"
).search


def page(
    ids: range, total: int | None = None, number: int | None = None, size: int | None = None
) -> SearchPage:
    rows: list[dict[str, Any]] = [{"product_id": product_id} for product_id in ids]
    return SearchPage(total, number, size, rows, list(rows))


def after(answer: SearchPage, api: Any = KEYWORD_QUERY, **params: Any) -> list[dict[str, Any]]:
    values: dict[str, Any] = {"keyword": "x", "page": 1, "page_size": 50}
    call = ApiCall.search(**values | params)
    return [dict(following.params) for following in next_calls(call, answer, api)]


def test_the_next_page_remembers_how_the_first_began() -> None:
    second = {"keyword": "x", "page": 2, "page_size": 50, "first_id": 1}
    assert after(page(range(1, 51), 95, 1, 50)) == [second]
    third = second | {"page": 3}
    assert after(page(range(51, 101), 140, 2, 50), page=2, first_id=1) == [third]


@pytest.mark.parametrize(
    ("answer", "params"),
    [
        (page(range(51, 96), 95, 2, 50), {"page": 2}),  # all are seen
        (page(range(0), 500, 2, 50), {"page": 2}),  # empty
        (page(range(1, 51), 500, 1, 50), {"page": 2}),  # page 1 for page 2
        (page(range(1, 51), 500, None, 50), {"page": 2, "first_id": 1}),  # likewise, unsaid
        (page(range(51, 101), 500, 2, 50), {"page": 2, "max_pages": 2}),
        (page(range(2001, 2051), 9000, 40, 50), {"page": 40}),  # the window's end
        (page(range(1, 21), size=50), {}),  # not full, where no total is told
    ],
)
def test_the_last_page(answer: SearchPage, params: dict[str, int]) -> None:
    assert after(answer, **params) == []


def test_without_a_total_a_full_page_has_a_next_one() -> None:
    assert after(page(range(1, 21), size=20), ROUTER, page_size=20) != []
    assert after(page(range(1, 20), size=20), ROUTER, page_size=20) == []


def test_a_page_smaller_than_asked_for_counts_as_what_it_is() -> None:
    (second,) = after(page(range(1, 21), 30, 1, 20))
    assert second["page"] == 2
    assert after(page(range(21, 31), 30, 2, 20), page=2) == []


def bounds(calls: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    return [(call.get("price_start"), call.get("price_end")) for call in calls]


def test_a_query_that_finds_too_many_is_split_by_price() -> None:
    wide = page(range(1, 51), 9000, 1, 50)
    assert bounds(after(wide)) == [(None, "10"), ("10", None)]
    assert bounds(after(wide, price_start="10")) == [("10", "40"), ("40", None)]
    assert bounds(after(wide, price_end="10")) == [(None, "5.00"), ("5.00", "10")]
    assert bounds(after(wide, price_start="5.00", price_end="5.02")) == [
        ("5.00", "5.01"),
        ("5.01", "5.02"),
    ]
    assert all(call["page"] == 1 for call in after(wide))


def test_what_cannot_be_split_is_paged_as_far_as_it_goes() -> None:
    wide = page(range(1, 51), 9000, 1, 50)
    (second,) = after(wide, price_start="5.00", price_end="5.01")
    assert second["page"] == 2
    (second,) = after(wide, price_start="999999999")
    assert second["page"] == 2
    (second,) = after(page(range(1, 21), 9000, 1, 20), OWN_PRODUCTS, page_size=20)
    assert second["page"] == 2


def test_few_pages_of_a_wide_query_need_no_split() -> None:
    (second,) = after(page(range(1, 51), 9000, 1, 50), max_pages=3)
    assert (second["page"], second["max_pages"]) == (2, 3)


@pytest.mark.parametrize(
    ("price", "fits"),
    [("9.99", False), ("10", True), ("20.00", True), ("20.01", False), (None, True)],
)
def test_rows_outside_of_the_range_asked_for(price: str | None, fits: bool) -> None:  # noqa: FBT001
    params: dict[str, int | str] = {"price_start": "10", "price_end": "20"}
    assert price_fits(None if price is None else Decimal(price), params) is fits
