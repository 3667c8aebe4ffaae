from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.utils.test import get_crawler

from ali1688_spider import settings
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest, ApiResponse
from ali1688_spider.items import ProductAnswer
from ali1688_spider.scheduling.dupefilter import MemoryDupeFilter
from ali1688_spider.spiders.search import SearchArguments, SearchSpider

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
        [each.fields.get("product_id") for each in outputs if isinstance(each, ProductAnswer)],
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
