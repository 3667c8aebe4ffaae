from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import signals
from scrapy.utils.test import get_crawler

from ali1688_spider import settings
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.api import SUBJECTS
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.catalogue import choose_apis
from ali1688_spider.gateway.parsing import SearchPage
from ali1688_spider.http import ApiRequest, ApiResponse
from ali1688_spider.items import ParsedProduct
from ali1688_spider.scheduling.dupefilter import MemoryDupeFilter
from ali1688_spider.spiders.search import TRY_INSTEAD, SearchSpider, next_calls, price_fits
from ali1688_spider.spiders.search_arguments import SearchArguments

if TYPE_CHECKING:
    from collections.abc import Iterable


@pytest.fixture
def spider() -> SearchSpider:
    values = {
        "ADDONS": settings.ADDONS,
        "TWISTED_REACTOR_ENABLED": False,
        "ALI1688_APP_KEY": "1000000",
        "ALI1688_APP_SECRET": "test123",
        "ALI1688_PROTOCOL": "param2",
    }
    crawler = get_crawler(SearchSpider, values)
    scheduler = SimpleNamespace(df=MemoryDupeFilter())
    crawler._engine = SimpleNamespace(scheduler=scheduler)  # type: ignore[assignment]
    return SearchSpider.from_crawler(crawler, keyword="x")


async def answer(
    spider: SearchSpider, call: ApiCall, ids: Iterable[int], total: int
) -> tuple[list[Any], list[ApiCall]]:
    """Return the ids of the products, and the calls, that a page leads to."""
    rows = [{"offerId": product_id, "subject": f"Cup {product_id}"} for product_id in ids]
    page = {"totalRecords": total, "currentPage": call.params["page"], "pageSize": 50, "data": rows}
    request = ApiRequest("https://gateway.example/", call=call)
    payload = {"result": {"success": True, "result": page}}
    response = ApiResponse(request.url, request=request, payload=payload)
    outputs = [output async for output in spider.parse(response)]
    return (
        [each.fields.get("product_id") for each in outputs if isinstance(each, ParsedProduct)],
        [each.call for each in outputs if isinstance(each, ApiRequest)],
    )


async def test_a_page_that_repeats_an_earlier_one_is_the_last(spider: SearchSpider) -> None:
    first = ApiCall.search(keyword="x", page=1, page_size=50)
    ids, (second,) = await answer(spider, first, range(1, 51), 500)
    assert ids == list(range(1, 51))
    ids, (third,) = await answer(spider, second, range(40, 90), 500)
    assert ids == list(range(51, 90))
    # Another order, so that it does not begin as page 1 did.
    assert await answer(spider, third, [3, 2, 1, 60], 500) == ([], [])
    assert spider.crawler.stats.get_value("ali1688/search/pages") == 3
    assert spider.crawler.stats.get_value("ali1688/search/repeated_pages") == 1


async def test_the_parts_of_a_split_query_may_begin_as_the_whole_did(spider: SearchSpider) -> None:
    whole = ApiCall.search(keyword="x", page=1, page_size=50)
    ids, (lower, upper) = await answer(spider, whole, range(1, 51), 2500)
    assert len(ids) == 50
    ids, (second,) = await answer(spider, lower, range(1, 51), 100)
    assert (ids, second.params["page"]) == ([], 2)
    assert await answer(spider, second, range(51, 101), 100) == (list(range(51, 101)), [])
    ids, (second,) = await answer(spider, upper, range(1, 51), 1500)
    assert (ids, second.params["page"]) == ([], 2)


async def test_a_call_that_is_made_again_shows_all_anew(spider: SearchSpider) -> None:
    first = ApiCall.search(keyword="x", page=1, page_size=50)
    shown = await answer(spider, first, range(1, 51), 95)
    assert await answer(spider, first, range(1, 51), 95) == shown


async def test_a_search_shows_what_an_earlier_one_has_shown(spider: SearchSpider) -> None:
    first = ApiCall.search(keyword="x", page=1, page_size=50)
    ids, (second,) = await answer(spider, first, range(1, 51), 95)
    assert (await answer(spider, second, range(46, 96), 95))[0] == list(range(51, 96))

    other = ApiCall.search(keyword="y", page=1, page_size=50)
    assert (await answer(spider, other, range(1, 51), 50))[0] == ids
    assert await answer(spider, first, range(1, 51), 95) == (ids, [second])
    assert (await answer(spider, second, range(46, 96), 95))[0] == list(range(51, 96))


async def test_two_searches_at_the_same_time_do_not_mix(spider: SearchSpider) -> None:
    pages = {}
    for keyword in ("x", "y"):
        first = ApiCall.search(keyword=keyword, page=1, page_size=50)
        ids, (pages[keyword],) = await answer(spider, first, range(1, 51), 95)
        assert len(ids) == 50
    for second in pages.values():
        assert (await answer(spider, second, range(46, 96), 95))[0] == list(range(51, 96))


async def test_with_details_each_product_is_called(spider: SearchSpider) -> None:
    first = ApiCall.search(keyword="x", page=1, page_size=50, details=1)
    ids, calls = await answer(spider, first, [7, 8], 2)
    assert ids == []
    assert calls == [ApiCall.product(7), ApiCall.product(8)]


async def test_an_answer_without_a_page_is_for_validation(spider: SearchSpider) -> None:
    request = ApiRequest("https://gateway.example/", call=ApiCall.search(page=1, page_size=50))
    payload = {"result": {"result": {"data": "?"}}}
    response = ApiResponse(request.url, request=request, payload=payload)
    (item,) = [output async for output in spider.parse(response)]
    assert (item.fields, item.payload) == ({}, payload)


def test_the_arguments() -> None:
    given = {"keyword": " 茶杯 ", "price_start": "1.50", "price_end": "20", "max_pages": "3"}
    given |= {"category_id": "122", "details": "0", "sort": ""}
    assert SearchArguments.read(given).query == {
        "keyword": "茶杯",
        "price_start": "1.50",
        "price_end": "20",
        "max_pages": 3,
        "category_id": 122,
        "details": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"price_start": "cheap"}, "^price_start is 'cheap': set it to an amount in CNY"),
        ({"price_end": "-1"}, "^price_end is '-1': set it to an amount"),
        ({"price_end": "1e20"}, "^price_end is '1e20': set it to an amount"),
        ({"price_start": "9", "price_end": "8"}, "^price_start is above price_end: swap them$"),
        ({"max_pages": "0"}, "^max_pages is '0': set it to a whole number from 1 on$"),
        ({"details": "yes"}, "^details is 'yes': set it to a whole number from 0 on$"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        SearchArguments.read(arguments)


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


@pytest.mark.parametrize("total", [2000, 9000])
def test_a_query_that_finds_too_many_is_split_by_price(total: int) -> None:
    wide = page(range(1, 51), total, 1, 50)
    assert bounds(after(wide)) == [(None, "10"), ("10", None)]
    assert bounds(after(wide, price_start="10")) == [("10", "40"), ("40", None)]
    assert bounds(after(wide, price_end="10")) == [(None, "5"), ("5", "10")]
    assert bounds(after(wide, price_start="5", price_end="5.001")) == [
        ("5", "5"),
        ("5.001", "5.001"),
    ]
    assert all(call["page"] == 1 for call in after(wide))


def test_what_cannot_be_split_is_paged_as_far_as_it_goes() -> None:
    wide = page(range(1, 51), 9000, 1, 50)
    (second,) = after(wide, price_start="5", price_end="5", sales_start=7, sales_end=7)
    assert second["page"] == 2
    (second,) = after(wide, price_start="999999999", sales_start=7, sales_end=7)
    assert second["page"] == 2
    (second,) = after(page(range(1, 21), 9000, 1, 20), OWN_PRODUCTS, page_size=20)
    assert second["page"] == 2


@pytest.mark.parametrize(
    ("total", "unreachable", "said"),
    [
        (2500, 1000, "at least 1,000 rows are out of reach"),
        (2000, 0, "what comes after their first 2,000 rows is out of reach; how many"),
    ],
)
async def test_what_is_out_of_reach_is_counted_and_said_once(
    spider: SearchSpider, caplog: pytest.LogCaptureFixture, total: int, unreachable: int, said: str
) -> None:
    for price in ("5", "6"):
        exact = {"price_start": price, "price_end": price, "sales_start": 7, "sales_end": 7}
        call = ApiCall.search(keyword="x", **exact, page=1, page_size=50)
        await answer(spider, call, range(1, 51), total)
    assert spider.crawler.stats.get_value("ali1688/search/unsplit_queries") == 2
    assert spider.crawler.stats.get_value("ali1688/search/unreachable_rows") == unreachable
    closed = {"spider": spider, "reason": "finished"}
    await spider.crawler.signals.send_catch_log_async(signals.spider_closed, **closed)
    [message] = [each for each in caplog.messages if "out of reach" in each]
    assert message.startswith("2 queries find more than the platform shows of one")
    assert said in message


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


def test_every_search_that_finds_nothing_has_advice() -> None:
    assert {*SUBJECTS.values()} - TRY_INSTEAD.keys() == {"image_url"}  # no argument asks by it
