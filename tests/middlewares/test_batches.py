"""Calls for several products, of which the platform refuses some."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.http import Response

from ali1688_spider.addon import context_of
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.errors import CallError, InvalidCallError, ServiceError
from ali1688_spider.http import ApiRequest
from ali1688_spider.middlewares.batches import is_refused_for_a_product, parts
from ali1688_spider.middlewares.errors import ErrorsMiddleware
from ali1688_spider.scheduling.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy.crawler import Crawler

URL = "https://gateway.example/"
FIRST = 610_000_000_001
PIFATUAN = "com.alibaba.fenxiao:alibaba.pifatuan.product.detail.list-1"


def request_for(*product_ids: int, leased: bool = True) -> ApiRequest:
    leases = [Lease(b"%d" % each, "token", 1, ApiCall.product(each)) for each in product_ids]
    call = ApiCall.products(product_ids)
    return ApiRequest(URL, call=call, leases=tuple(leases) if leased else ())


def ids(requests: list[ApiRequest]) -> list[tuple[int, ...]]:
    return [request.call.product_ids for request in requests]


def test_one_product_is_called_as_ever() -> None:
    assert ApiCall.products([7]) == ApiCall.product(7)


def test_no_queue_takes_a_call_for_several() -> None:
    with pytest.raises(Exception, match="not JSON"):
        ApiCall.decode(ApiCall.products([7, 8]).encode())


def test_a_product_that_is_named_gets_a_call_of_its_own() -> None:
    request = request_for(FIRST, FIRST + 1, FIRST + 2)
    error = InvalidCallError(f"offerId:{FIRST + 1} 不是精选货源商品")
    others, alone = parts(request, error)
    assert ids([others, alone]) == [(FIRST, FIRST + 2), (FIRST + 1,)]
    assert [each.message for each in others.leases] == [b"%d" % FIRST, b"%d" % (FIRST + 2)]
    assert [each.message for each in alone.leases] == [b"%d" % (FIRST + 1)]


def test_when_all_are_named_each_is_called_alone() -> None:
    error = InvalidCallError(f"{FIRST}, {FIRST + 1} and {FIRST}")
    assert ids(list(parts(request_for(FIRST, FIRST + 1), error))) == [(FIRST,), (FIRST + 1,)]


def test_when_none_is_named_each_half_is_called() -> None:
    request = request_for(*range(1, 6), leased=False)
    assert ids(list(parts(request, InvalidCallError("参数错误")))) == [(1, 2), (3, 4, 5)]


@pytest.mark.parametrize(
    ("product_ids", "error", "is_split"),
    [
        ((1, 2), InvalidCallError("no"), True),
        ((1,), InvalidCallError("no"), False),
        ((1, 2), ServiceError("busy"), False),
    ],
)
def test_which_calls_are_split(
    product_ids: tuple[int, ...], error: CallError, *, is_split: bool
) -> None:
    assert is_refused_for_a_product(request_for(*product_ids), error) is is_split


async def test_the_parts_of_a_refused_call_are_made_at_once(
    crawler_for: Callable[..., Crawler],
) -> None:
    crawler = crawler_for(ALI1688_PROTOCOL="param2", ALI1688_PRODUCT_API=PIFATUAN)
    crawled: list[Any] = []
    crawler._engine = SimpleNamespace(crawl=crawled.append)  # type: ignore[assignment]
    middleware = ErrorsMiddleware.from_crawler(crawler)
    request = request_for(FIRST, FIRST + 1)
    refusal = {"result": {"success": False, "message": f"offerId:{FIRST} 不是精选货源商品"}}
    response = Response(URL, body=json.dumps(refusal).encode(), request=request)
    first = await middleware.process_response(request, response)
    assert isinstance(first, ApiRequest)
    assert ids([first, *crawled]) == [(FIRST + 1,), (FIRST,)]
    assert (first.attempt, first.delay) == (1, 0)
    assert crawler.stats.get_value("ali1688/batches/split") == 1
    assert not context_of(crawler).breaker.holds_back


async def test_a_call_that_fails_to_the_last_is_made_for_each_half(
    crawler_for: Callable[..., Crawler],
) -> None:
    settings = {"ALI1688_PROTOCOL": "param2", "ALI1688_PRODUCT_API": PIFATUAN}
    crawler = crawler_for(**settings, ALI1688_MAX_ATTEMPTS="2")
    crawled: list[Any] = []
    crawler._engine = SimpleNamespace(crawl=crawled.append)  # type: ignore[assignment]
    middleware = ErrorsMiddleware.from_crawler(crawler)
    products = (FIRST, FIRST + 1, FIRST + 2, FIRST + 3)
    request = request_for(*products)
    again: Any = request
    while not crawled:  # the first failures of a crawl are excused, some times
        again = await middleware.process_response(again, Response(URL, body=b"{", request=again))
    assert ids([again, *crawled]) == [products[:2], products[2:]]
    assert {each.attempt for each in (again, *crawled)} == {2}
