from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from decimal import Decimal
from ssl import SSLCertVerificationError
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
)
from scrapy.http import Response

from ali1688_spider.addon import context_of
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.errors import (
    BusinessRefusalError,
    CallError,
    FlowControlError,
    ForeignHostError,
    InvalidCallError,
    PermissionMissingError,
    ProductGoneError,
)
from ali1688_spider.gateway.messages import undelivered
from ali1688_spider.http import ApiRequest, ApiResponse
from ali1688_spider.middlewares.cache import CACHED
from ali1688_spider.middlewares.errors import MOST_REFUSALS, CallGivenUpError, ErrorsMiddleware
from ali1688_spider.middlewares.refusal_tally import MANY
from ali1688_spider.middlewares.signing import SigningMiddleware
from ali1688_spider.shutdown import CrawlClosingError
from ali1688_spider.spiders.base import ApiSpider

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scrapy.crawler import Crawler

    from ali1688_spider.context import CrawlContext

    CrawlerFor = Callable[..., Crawler]
    RequestFor = Callable[[Crawler, int], ApiRequest]

TOO_FAST = {"error_response": {"code": 7, "msg": "App Call Limited"}}
NO_SERVICE = {"error_response": {"code": 15, "sub_code": "isp.remote-service-error"}}
WRONG_CALL = {"error_response": {"code": 41, "sub_code": "isv.invalid-parameter"}}
UNHEARD_OF = {"result": {"success": False, "code": "F1", "message": "商品 610000000001 暂不开放"}}
NOT_CURATED = {"result": {"success": False, "message": "offerId:610000000001 不是精选货源商品"}}
GONE = {"error_response": {"code": 15, "sub_code": "isv.item-not-exist"}}


class Answering:
    """An errors middleware, and the answers of a gateway to one call."""

    def __init__(self, crawler: Crawler, request: ApiRequest) -> None:
        self.crawler = crawler
        self.stats = crawler.stats
        self.context = context_of(crawler)
        self.middleware = ErrorsMiddleware.from_crawler(crawler)
        self.request = request

    async def answer(
        self, answer: Any, headers: dict[str, str] | None = None, status: int = 200
    ) -> Request | Response:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        response = Response(self.request.url, status, headers or {}, body, request=self.request)
        return await self.middleware.process_response(self.request, response)

    async def retry(self, answer: Any, headers: dict[str, str] | None = None) -> ApiRequest:
        next_try = await self.answer(answer, headers)
        assert isinstance(next_try, ApiRequest)
        return next_try


@pytest.fixture
def answering(crawler_for: CrawlerFor, request_for: RequestFor) -> Callable[..., Answering]:
    def make(**settings: Any) -> Answering:
        crawler = crawler_for(**settings)
        return Answering(crawler, request_for(crawler, 610000000001))

    return make


async def test_data(answering: Callable[..., Answering]) -> None:
    gateway = answering()
    response = await gateway.answer(b'{"result":{"product":{"price":12.50}}}', status=500)
    assert isinstance(response, ApiResponse)
    assert response.payload == {"result": {"product": {"price": Decimal("12.50")}}}
    assert str(response.payload["result"]["product"]["price"]) == "12.50"
    assert (response.status, response.gone) == (500, False)
    assert gateway.stats.get_stats() == {}


async def test_a_product_that_is_gone_is_an_answer(answering: Callable[..., Answering]) -> None:
    gateway = answering()
    response = await gateway.answer(GONE)
    assert isinstance(response, ApiResponse)
    assert response.gone
    assert gateway.stats.get_stats() == {"ali1688/errors/product_gone": 1}


async def test_another_try_waits_twice_as_long_as_the_one_before(
    answering: Callable[..., Answering],
) -> None:
    gateway = answering()
    await gateway.context.breaker.succeeded()
    gateway.middleware._backoff = replace(gateway.middleware._backoff, random=lambda: 0.5)
    next_try = await gateway.retry(b"<html>")
    assert next_try.call == gateway.request.call
    assert (next_try.attempt, next_try.delay) == (2, 0.5)
    gateway.request = next_try
    next_try = await gateway.retry(NO_SERVICE)
    assert (next_try.attempt, next_try.delay) == (3, 1.0)
    gateway.request = next_try.replace(attempt=4)
    assert (await gateway.retry(NO_SERVICE)).delay == 4.0
    assert gateway.stats.get_stats() == {
        "ali1688/errors/service": 2,
        "ali1688/errors/unreadable_answer": 1,
        "ali1688/retries": 3,
    }


async def test_what_the_gateway_asks_for_is_waited(answering: Callable[..., Answering]) -> None:
    gateway = answering()
    assert 7 <= (await gateway.retry(b"", {"Retry-After": "7"})).delay < 8
    ban = {"error_response": {"code": 7, "sub_msg": "This ban will last for 9 more seconds"}}
    assert (await gateway.retry(ban)).delay == 9
    # What was under way meanwhile waits as long.
    assert 8 < (await gateway.retry(TOO_FAST)).delay <= 9
    assert gateway.stats.get_value("ali1688/errors/flow_control") == 2


async def test_a_call_is_given_up_after_its_tries(
    answering: Callable[..., Answering], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = answering(ALI1688_MAX_ATTEMPTS=3)
    gateway.request = gateway.request.replace(attempt=3)
    with pytest.raises(CallGivenUpError):
        await gateway.answer(NO_SERVICE)
    (kept,) = (tmp_path / ".scrapy" / "ali1688" / "failed_calls.jsonl").read_text().splitlines()
    failed = json.loads(kept)
    assert (failed["spider"], failed["call"]) == ("product", "610000000001")
    assert (failed["api"], failed["attempts"]) == ("alibaba.product.get", 3)
    assert failed["params"] == {"product_id": 610000000001}
    assert failed["error"] == "15: isp.remote-service-error: service (HTTP 200)"
    assert gateway.stats.get_stats() == {
        "ali1688/errors/service": 1,
        "ali1688/failed_calls": 1,
    }
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("<product(product_id=610000000001) try 3> given up: 15")


async def test_a_wrong_call_is_given_up_at_once(answering: Callable[..., Answering]) -> None:
    gateway = answering()
    with pytest.raises(CallGivenUpError):
        await gateway.answer(WRONG_CALL)
    assert gateway.stats.get_stats() == {
        "ali1688/errors/call_wrong": 1,
        "ali1688/failed_calls": 1,
    }


async def test_a_failure_that_cannot_be_kept_leaves_the_call_to_be_made(
    answering: Callable[..., Answering], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = answering()
    (tmp_path / ".scrapy" / "ali1688" / "failed_calls.jsonl").mkdir(parents=True)
    with pytest.raises(CrawlClosingError):
        await gateway.answer(WRONG_CALL)
    assert "could not be kept among the failed calls" in caplog.messages[-1]


@pytest.mark.parametrize(
    ("exception", "error_class"),
    [
        (DownloadTimeoutError(), "timeout"),
        (DownloadFailedError(), "connection"),
    ],
)
async def test_failures_on_the_way(
    exception: Exception, error_class: str, answering: Callable[..., Answering]
) -> None:
    gateway = answering()
    next_try = await gateway.middleware.process_exception(gateway.request, exception)
    assert isinstance(next_try, ApiRequest)
    assert next_try.attempt == 2
    assert gateway.stats.get_stats() == {
        f"ali1688/errors/{error_class}": 1,
        "ali1688/retries": 1,
    }


async def test_a_defect_of_ours_loses_no_call(
    answering: Callable[..., Answering], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = answering()
    next_try = await gateway.middleware.process_exception(gateway.request, KeyError("x"))
    assert isinstance(next_try, ApiRequest)
    assert gateway.stats.get_value("ali1688/errors/unknown_refusal") == 1
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]


async def test_a_released_call_and_other_requests_pass(
    answering: Callable[..., Answering],
) -> None:
    gateway = answering()
    middleware = gateway.middleware
    assert await middleware.process_exception(gateway.request, CrawlClosingError("end")) is None
    other = Request("https://gateway.example/")
    response = Response(other.url, body=b"<html>")
    assert await middleware.process_response(other, response) is response
    assert await middleware.process_exception(other, KeyError("x")) is None


async def test_the_clock_is_learnt_from_any_answer_and_corrected_once(
    answering: Callable[..., Answering], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = answering()
    too_old = {"error_response": {"code": 31, "sub_code": "isv.timestamp-limit-error"}}
    date = {"Date": "Tue, 01 Jan 2030 00:00:00 GMT"}
    next_try = await gateway.retry(too_old, date)
    assert (next_try.attempt, next_try.delay, next_try.recoveries) == (1, 0, frozenset({"clock"}))
    assert gateway.context.client.clock.timestamp().startswith("2030-01-01 08:00:0")
    assert gateway.stats.get_value("ali1688/clock/skew_seconds") == pytest.approx(
        gateway.context.client.clock.skew_seconds, abs=0.1
    )
    assert caplog.messages[0].startswith("The gateway's clock is ")
    assert gateway.stats.get_value("ali1688/retries") == 1


async def places(context: CrawlContext, count: int) -> list[bool]:
    """Return which of *count* calls may go on at once."""
    asked = [asyncio.ensure_future(context.breaker.enter()) for _ in range(count)]
    await asyncio.wait(asked, timeout=0.05)
    passed = [each.done() for each in asked]
    for each in asked:
        each.cancel()
    return passed


@pytest.mark.parametrize("answer", [GONE, WRONG_CALL, {"result": {"product": {}}}])
async def test_any_answer_but_a_refusal_of_the_app_lets_the_other_calls_go(
    answer: Any, answering: Callable[..., Answering]
) -> None:
    gateway = answering()
    assert await places(gateway.context, 6) == [True] * 4 + [False] * 2
    with contextlib.suppress(CallGivenUpError):
        await gateway.answer(answer)
    assert await places(gateway.context, 6) == [True] * 6


async def test_a_cached_answer_tells_nothing_of_the_gateway(
    answering: Callable[..., Answering],
) -> None:
    gateway = answering()
    assert await places(gateway.context, 6) == [True] * 4 + [False] * 2
    body = b'{"result":{"product":{}}}'
    response = Response(gateway.request.url, body=body, request=gateway.request, flags=[CACHED])
    assert isinstance(
        await gateway.middleware.process_response(gateway.request, response), ApiResponse
    )
    assert await places(gateway.context, 1) == [False]


@pytest.mark.parametrize(
    ("error", "attempt"),
    [
        (DownloadConnectionRefusedError(), 5),
        (CannotResolveHostError(), 5),
        (SSLCertVerificationError(), 5),
        (DownloadFailedError(), None),
        (DownloadTimeoutError(), None),
    ],
)
async def test_a_call_that_cannot_be_the_cause_loses_no_try(
    error: Exception, attempt: int | None, answering: Callable[..., Answering]
) -> None:
    gateway = answering()
    gateway.request = gateway.request.replace(attempt=5)
    if attempt is None:
        with pytest.raises(CallGivenUpError):
            await gateway.middleware.process_exception(gateway.request, error)
        return
    next_try = await gateway.middleware.process_exception(gateway.request, error)
    assert isinstance(next_try, ApiRequest)
    assert next_try.attempt == attempt


async def test_a_call_that_was_refused_for_the_rate_loses_no_try(
    answering: Callable[..., Answering],
) -> None:
    gateway = answering()
    gateway.request = gateway.request.replace(attempt=5)
    assert (await gateway.retry(TOO_FAST)).attempt == 5
    gateway.request = gateway.request.replace(attempt=1)
    await gateway.answer({"result": {"product": {}}})
    gateway.request = gateway.request.replace(attempt=5)
    with pytest.raises(CallGivenUpError):  # one product's page of a firewall must not last for ever
        await gateway.answer(b"<html>blocked</html>", status=403)


async def test_a_call_that_is_always_refused_for_the_rate_ends_all_the_same(
    answering: Callable[..., Answering],
) -> None:
    gateway = answering(ALI1688_MAX_ATTEMPTS=1)
    for _ in range(MOST_REFUSALS):
        assert (await gateway.retry(TOO_FAST)).attempt == 1
    with pytest.raises(CallGivenUpError):
        await gateway.answer(TOO_FAST)


@pytest.mark.parametrize("headers", [{"Retry-After": "1000000000"}, {}])
async def test_one_answer_silences_the_cluster_for_a_minute_at_most(
    headers: dict[str, str], answering: Callable[..., Answering], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = answering()
    ban = {"error_response": {"code": 7, "sub_msg": "This ban will last for 9999 more seconds"}}
    next_try = await gateway.retry(ban, headers)
    assert next_try.delay == 15  # and then it waits for the quota with all others
    assert context_of(gateway.crawler).quota.is_paused
    (warning,) = [each for each in caplog.messages if each.startswith("No call is made for 60 s")]
    asked = "86400" if headers else "9999"
    assert f"the platform asks to wait {asked} s (7: This ban will last" in warning
    assert "lower ALI1688_QPS" in warning


async def test_a_long_retry_after_of_another_error_is_limited_too(
    answering: Callable[..., Answering],
) -> None:
    gateway = answering()
    next_try = await gateway.retry(b"", {"Retry-After": "1000000000"})
    assert 60 <= next_try.delay < 62


async def test_what_another_middleware_refuses_ends_in_a_try(
    answering: Callable[..., Answering], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = answering()
    too_long = IgnoreRequest("longer than DOWNLOAD_MAXSIZE when decompressed")
    next_try = await gateway.middleware.process_exception(gateway.request, too_long)
    assert isinstance(next_try, ApiRequest)
    assert next_try.attempt == 2
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_call_that_the_signer_refuses_is_kept(
    answering: Callable[..., Answering], tmp_path: Path
) -> None:
    gateway = answering()
    elsewhere = gateway.request.replace(url="https://evil.example/router/json")
    signer = SigningMiddleware.from_crawler(gateway.crawler)
    with pytest.raises(ForeignHostError) as refused:
        signer.process_request(elsewhere)
    with pytest.raises(CallGivenUpError):
        await gateway.middleware.process_exception(elsewhere, refused.value)
    kept = (tmp_path / ".scrapy" / "ali1688" / "failed_calls.jsonl").read_text()
    assert "another host than ALI1688_GATEWAY" in kept


async def test_what_a_service_says_of_a_product_is_asked_twice_at_most(
    answering: Callable[..., Answering],
) -> None:
    gateway = answering(ALI1688_MAX_ATTEMPTS=5)
    gateway.request = await gateway.retry(UNHEARD_OF)
    assert gateway.request.attempt == 2
    with pytest.raises(CallGivenUpError):
        await gateway.answer(UNHEARD_OF)
    assert gateway.stats.get_stats() == {
        "ali1688/errors/business_refusal": 2,
        "ali1688/failed_calls": 1,
        "ali1688/retries": 1,
    }


async def test_a_search_that_a_service_refuses_has_all_its_tries(
    answering: Callable[..., Answering],
) -> None:
    gateway = answering(ALI1688_MAX_ATTEMPTS=5)
    search = ApiCall.search(keyword="x", page=1, page_size=20)
    gateway.request = gateway.request.replace(call=search, attempt=4)
    assert (await gateway.retry(UNHEARD_OF)).attempt == 5


async def test_a_product_outside_the_pool_is_given_up_at_once_and_not_removed(
    answering: Callable[..., Answering],
) -> None:
    gateway = answering()
    with pytest.raises(CallGivenUpError):
        await gateway.answer(NOT_CURATED)
    assert gateway.stats.get_stats() == {
        "ali1688/errors/not_curated": 1,
        "ali1688/failed_calls": 1,
    }


async def test_a_step_that_is_missing_is_said_with_the_first_product(
    answering: Callable[..., Answering], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = answering()
    for product_id in range(1, 2 * MANY + 1):
        gateway.request = gateway.request.replace(call=ApiCall.product(product_id))
        message = f"offerId:{product_id} 不是精选货源商品"
        with pytest.raises(CallGivenUpError):
            await gateway.answer({"result": {"success": False, "message": message}})
    [warning] = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert warning.startswith("<product(product_id=1) try 1> given up: offerId:1 不是精选货源")
    assert "set ALI1688_PRODUCT_API=" in warning
    assert gateway.stats.get_value("ali1688/failed_calls") == 2 * MANY


async def test_many_products_that_are_refused_alike_are_announced_once(
    answering: Callable[..., Answering], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = answering()
    for product_id in range(1, 2 * MANY + 1):
        call = ApiCall.product(product_id)
        gateway.request = gateway.request.replace(call=call, attempt=2)
        message = f"商品{product_id}没有授权给渠道"
        with pytest.raises(CallGivenUpError):
            await gateway.answer({"result": {"success": False, "message": message}})
    warnings = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert len(warnings) == 2  # the first of them, and that there are many
    assert warnings[0].startswith("<product(product_id=1) try 2> given up: 商品1没有授权给渠道")
    assert warnings[1].startswith(
        f"{MANY} products so far are refused in the same words (商品{MANY}没有授权给渠道"
    )
    assert gateway.stats.get_value("ali1688/failed_calls") == 2 * MANY


async def test_other_failures_of_many_products_are_announced_each(
    answering: Callable[..., Answering], caplog: pytest.LogCaptureFixture
) -> None:
    gateway = answering()
    for _ in range(MANY):
        with pytest.raises(CallGivenUpError):
            await gateway.answer(WRONG_CALL)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * MANY


async def test_a_limit_of_the_app_is_waited_for_once_and_is_then_the_day_s(
    answering: Callable[..., Answering],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 1000.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("ali1688_spider.middlewares.errors.time", clock)
    gateway = answering(ALI1688_PROTOCOL="param2", ALI1688_GATEWAY="https://gw.example/openapi")
    limit = {"error_code": "403", "error_message": "Beyond the app call frequency limit"}
    assert (await gateway.retry(limit)).attempt == 1
    assert (await gateway.retry(limit)).attempt == 1  # it was under way when the pause began
    now += 61
    closed: list[tuple[str, str]] = []
    monkeypatch.setattr(gateway.context.shutdown, "close", lambda *given: closed.append(given))
    with pytest.raises(CrawlClosingError):
        await gateway.answer(limit)
    ((reason, explanation),) = closed
    assert reason == "quota_exhausted"
    assert "Start again after midnight in China (GMT+8)" in explanation
    assert gateway.stats.get_value("ali1688/errors/app_call_limit") == 3
    assert any(message.startswith("No call is made for 60 s") for message in caplog.messages)


async def test_a_limit_of_the_app_that_a_wait_has_ended_is_waited_for_again(
    answering: Callable[..., Answering], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr("ali1688_spider.middlewares.errors.time", clock)
    gateway = answering(ALI1688_PROTOCOL="param2", ALI1688_GATEWAY="https://gw.example/openapi")
    limit = {"error_message": "Beyond the app call frequency limit"}
    await gateway.retry(limit)
    now += 61
    await gateway.answer({"result": {"result": {"offerId": 1}}})
    assert (await gateway.retry(limit)).attempt == 1


SERVICE_ANSWERS: list[tuple[dict[str, Any], type[CallError], dict[str, int]]] = [
    ({"error_code": "gw.APIACLDecline"}, PermissionMissingError, {"ali1688/errors/permission": 1}),
    (
        {"error_code": "gw.QosAppFrequencyLimit"},
        FlowControlError,
        {"ali1688/errors/flow_control": 1},
    ),
    ({"isSuccess": False}, BusinessRefusalError, {"ali1688/errors/business_refusal": 1}),
    ({"code": -1, "message": "商品不存在"}, ProductGoneError, {"ali1688/errors/product_gone": 1}),
    ({"error_code": "gw.ParamMissing"}, InvalidCallError, {"ali1688/errors/call_wrong": 1}),
]


@pytest.mark.parametrize(("answer", "error", "stats"), SERVICE_ANSWERS)
async def test_a_service_call_s_failure_is_for_the_one_who_made_it(
    answer: dict[str, Any],
    error: type[CallError],
    stats: dict[str, int],
    crawler_for: CrawlerFor,
) -> None:
    crawler = crawler_for(
        ALI1688_PROTOCOL="param2", ALI1688_GATEWAY="https://gateway.example/openapi"
    )
    assert isinstance(crawler.spider, ApiSpider)
    gateway = Answering(crawler, crawler.spider.request(undelivered()))
    with pytest.raises(error):
        await gateway.answer(answer)
    # Neither kept among the failed calls, which others would try, nor the end of the crawl.
    assert gateway.stats.get_stats() == stats
    assert context_of(crawler).quota.is_paused == (error is FlowControlError)


async def test_a_service_call_s_token_is_refreshed_like_any(crawler_for: CrawlerFor) -> None:
    crawler = crawler_for(
        ALI1688_PROTOCOL="param2", ALI1688_GATEWAY="https://gateway.example/openapi"
    )
    assert isinstance(crawler.spider, ApiSpider)
    gateway = Answering(crawler, crawler.spider.request(undelivered()))
    next_try = await gateway.retry({"error_code": "400", "error_message": "Request is expired."})
    assert next_try.recoveries == {"clock"}
    data = {"pushMessagePage": {"datas": [], "totalCount": 0}}
    response = await gateway.answer(data)
    assert isinstance(response, ApiResponse)
    assert response.payload == data
