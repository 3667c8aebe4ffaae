"""Searches on a platform that shows 2000 rows of a query, and counts no further."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.catalogue import SearchApi, choose_apis
from ali1688_spider.gateway.parsing import SearchPage
from ali1688_spider.spiders.search import next_calls
from ali1688_spider.spiders.splitting import split

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE_SIZE, MOST_ROWS = 50, 2000


class Offer(NamedTuple):
    product_id: int
    price: Decimal
    category_id: int = 57
    sales_30d: int = 0


API: SearchApi = choose_apis("param2").search
WITH_SALES = replace(API, names={**API.names, "sales_start": "saleStart", "sales_end": "saleEnd"})


def find(offers: Sequence[Offer], params: Any) -> list[Offer]:
    low, high = Decimal(params.get("price_start", 0)), Decimal(params.get("price_end", 10**12))
    fewest, most = params.get("sales_start", 0), params.get("sales_end", 10**12)
    category = params.get("category_id")
    return [
        each
        for each in offers
        if low <= each.price <= high
        and category in {None, each.category_id}
        and fewest <= each.sales_30d <= most
    ]


def page_of(offers: Sequence[Offer], call: ApiCall) -> SearchPage:
    found = find(offers, call.params)[:MOST_ROWS]
    number = int(call.params["page"])
    rows = [each._asdict() for each in found[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]]
    return SearchPage(len(found), number, PAGE_SIZE, rows, rows)


def crawl(offers: Sequence[Offer], api: SearchApi) -> tuple[set[int], int]:
    """Return the products that a search shows, and how many calls it makes."""
    waiting = deque([ApiCall.search(keyword="x", page=1, page_size=PAGE_SIZE)])
    made: set[ApiCall] = set()
    shown: set[int] = set()
    while waiting:
        call = waiting.popleft()
        if call in made:
            continue
        made.add(call)
        page = page_of(offers, call)
        shown |= {row["product_id"] for row in page.rows}
        waiting.extend(next_calls(call, page, api))
    return shown, len(made)


def prices(number: int, seed: int = 1) -> list[Decimal]:
    dice = random.Random(seed)
    return [Decimal(round(10 ** dice.uniform(0, 3) * 100)) / 100 for _ in range(number)]


@pytest.mark.parametrize("seed", range(5))
def test_7300_products_of_one_category_are_found_in_few_calls(seed: int) -> None:
    offers = [Offer(number, price) for number, price in enumerate(prices(7300, seed))]
    shown, calls = crawl(offers, API)
    assert len(shown) == 7300
    assert calls <= 1.4 * 7300 / PAGE_SIZE


def test_those_of_one_price_are_split_by_category() -> None:
    offers = [Offer(number, Decimal("9.90"), category_id=number % 7 + 1) for number in range(7300)]
    shown, calls = crawl(offers, API)
    assert len(shown) == 7300
    assert calls <= 2 * 7300 / PAGE_SIZE


def test_those_of_one_price_and_category_are_split_by_sales() -> None:
    dice = random.Random(1)
    offers = [
        Offer(number, Decimal("9.90"), sales_30d=dice.randrange(5000)) for number in range(7300)
    ]
    shown, calls = crawl(offers, WITH_SALES)
    assert len(shown) == 7300
    assert calls <= 2 * 7300 / PAGE_SIZE


def test_prices_of_three_decimals_between_two_cents_are_found() -> None:
    offers = [
        Offer(number, Decimal("9.900") + Decimal(number % 11) / 1000) for number in range(7300)
    ]
    shown, _ = crawl(offers, API)
    assert len(shown) == 7300


def test_what_differs_in_nothing_cannot_be_split() -> None:
    offers = [Offer(number, Decimal("9.90"), sales_30d=7) for number in range(2500)]
    exact = {"price_start": "9.90", "price_end": "9.90", "category_id": 57}
    call = ApiCall.search(keyword="x", page=1, page_size=PAGE_SIZE, **exact)
    call = ApiCall("search", {**call.params, "sales_start": 7, "sales_end": 7})
    assert split(call, page_of(offers, call), WITH_SALES) == []
