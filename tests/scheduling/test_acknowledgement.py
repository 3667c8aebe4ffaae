from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import signals
from scrapy.http import Response
from scrapy.utils.test import get_crawler
from twisted.python.failure import Failure

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest
from ali1688_spider.items import ParsedProduct
from ali1688_spider.scheduling.lease import Lease, QueueEntry
from ali1688_spider.scheduling.scheduler import AcknowledgementMiddleware
from ali1688_spider.shutdown import CrawlClosingError
from ali1688_spider.storage.database_errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from scrapy.crawler import Crawler

URL = "https://gw.api.1688.com/router/json"


def failure_of(error: Exception) -> Failure:
    return Failure(error)  # type: ignore[no-untyped-call]  # Twisted has no types here


@pytest.fixture
def crawler() -> Crawler:
    return get_crawler()


@pytest.fixture
def middleware(crawler: Crawler) -> AcknowledgementMiddleware:
    return AcknowledgementMiddleware.from_crawler(crawler)


@pytest.fixture
def lease() -> Lease:
    return Lease(b"7", "token", 1, ApiCall.product(7))


@pytest.fixture
def response(lease: Lease) -> Response:
    return Response(URL, request=ApiRequest(URL, call=ApiCall.product(7), leases=(lease,)))


async def outputs(values: Iterable[Any]) -> AsyncIterator[Any]:
    for value in values:
        yield value


async def run(middleware: AcknowledgementMiddleware, response: Response, *values: Any) -> list[Any]:
    """Return what leaves the middleware."""
    result = middleware.process_spider_output(response, outputs(values))
    return [output async for output in result]


async def test_a_response_that_leads_to_nothing_is_done(
    middleware: AcknowledgementMiddleware, response: Response, lease: Lease
) -> None:
    assert await run(middleware, response) == []
    assert lease.outcome == "ack"


@pytest.mark.parametrize("signal", [signals.item_scraped, signals.item_dropped])
async def test_a_call_is_done_when_its_items_have_left_the_pipelines(
    middleware: AcknowledgementMiddleware,
    response: Response,
    lease: Lease,
    crawler: Crawler,
    signal: object,
) -> None:
    assert await run(middleware, response, "one", "two") == ["one", "two"]
    crawler.signals.send_catch_log(signal, item="one", response=response)
    assert lease.outcome is None
    await crawler.signals.send_catch_log_async(signal, item="two", response=response)
    assert lease.outcome == "ack"


async def test_requests_are_queued_with_the_acknowledgement(
    middleware: AcknowledgementMiddleware, response: Response, lease: Lease
) -> None:
    further = ApiRequest(URL, call=ApiCall.product(8), priority=3, delay=60)
    assert await run(middleware, response, further) == []
    assert lease.outcome == "ack"
    assert lease.children == [QueueEntry(ApiCall.product(8), 3, 60)]


@pytest.mark.parametrize(("signal", "outcome"), [("item_scraped", "ack"), ("item_error", "retry")])
async def test_all_leases_of_a_request_are_settled_alike(
    middleware: AcknowledgementMiddleware, crawler: Crawler, *, signal: str, outcome: str
) -> None:
    leases = tuple(Lease(b"%d" % i, "token", 1, ApiCall.product(i)) for i in (7, 8))
    request = ApiRequest(URL, call=ApiCall.product(7), leases=leases)
    response = Response(URL, request=request)
    further = ApiRequest(URL, call=ApiCall.product(9))
    await run(middleware, response, "one", further)
    values = {"item": "one", "response": response, "failure": failure_of(ValueError())}
    crawler.signals.send_catch_log(getattr(signals, signal), **values)
    assert [lease.outcome for lease in leases] == [outcome, outcome]
    assert [len(lease.children) for lease in leases] == [1, 0]


async def test_a_product_that_fails_takes_the_others_of_its_call_nowhere(
    middleware: AcknowledgementMiddleware, crawler: Crawler
) -> None:
    leases = tuple(Lease(b"%d" % i, "token", 1, ApiCall.product(i)) for i in (7, 8))
    response = Response(URL, request=ApiRequest(URL, call=ApiCall.products([7, 8]), leases=leases))
    good, bad = (ParsedProduct({"product_id": i}, None, "test", datetime.now(UTC)) for i in (7, 8))
    await run(middleware, response, good, bad)
    failure = failure_of(ValueError("a defect"))
    send = crawler.signals.send_catch_log
    send(signals.item_error, item=bad, response=response, failure=failure)
    send(signals.item_dropped, item=good, response=response)
    assert [lease.outcome for lease in leases] == ["ack", "retry"]


@pytest.mark.parametrize(
    ("error", "attempts"), [(ValueError("a defect"), 1), (StoreUnavailableError("away"), 0)]
)
async def test_a_call_whose_item_failed_is_tried_again(
    middleware: AcknowledgementMiddleware,
    response: Response,
    lease: Lease,
    crawler: Crawler,
    *,
    error: Exception,
    attempts: int,
) -> None:
    await run(middleware, response, "one")
    crawler.signals.send_catch_log(
        signals.item_error, item="one", response=response, failure=failure_of(error)
    )
    assert lease.outcome == "retry"
    assert lease.pack()[3] == attempts


@pytest.mark.parametrize("signal", [signals.item_error, signals.spider_error])
async def test_that_the_crawl_ends_is_no_try(
    middleware: AcknowledgementMiddleware,
    response: Response,
    lease: Lease,
    crawler: Crawler,
    *,
    signal: object,
) -> None:
    await run(middleware, response, "one")
    failure = failure_of(CrawlClosingError("the crawl ends"))
    crawler.signals.send_catch_log(signal, item="one", response=response, failure=failure)
    assert lease.outcome == "release"


@pytest.mark.usefixtures("middleware")
async def test_a_call_whose_response_the_spider_fails_on_is_tried_again(
    response: Response, lease: Lease, crawler: Crawler
) -> None:
    crawler.signals.send_catch_log(
        signals.spider_error, failure=failure_of(ValueError()), response=response
    )
    assert lease.outcome == "retry"


async def test_what_was_not_leased_passes(
    middleware: AcknowledgementMiddleware, crawler: Crawler
) -> None:
    request = ApiRequest(URL, call=ApiCall.product(8))
    response = Response(URL, request=request)
    assert await run(middleware, response, request, "item") == [request, "item"]
    crawler.signals.send_catch_log(signals.item_scraped, item="item", response=response)
    crawler.signals.send_catch_log(signals.item_scraped, item="item", response=None)
    crawler.signals.send_catch_log(signals.spider_error, failure=failure_of(ValueError()))
