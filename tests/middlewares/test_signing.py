from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest
from scrapy import Request
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

from ali1688_spider.addon import context_of
from ali1688_spider.gateway.errors import ForeignHostError
from ali1688_spider.http import TokenRequest
from ali1688_spider.middlewares.signing import SigningMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scrapy.crawler import Crawler

    from ali1688_spider.http import ApiRequest

    CrawlerFor = Callable[..., Crawler]
    RequestFor = Callable[[Crawler, int], ApiRequest]

ADDRESS = "https://gateway.example/router/json"


def test_a_call_is_signed_in_place_and_every_try_afresh(
    crawler_for: CrawlerFor, request_for: RequestFor
) -> None:
    crawler = crawler_for(ALI1688_ACCESS_TOKEN="token-one")
    middleware = SigningMiddleware.from_crawler(crawler)
    request = request_for(crawler, 610000000001)
    assert request.body == b""
    middleware.process_request(request)
    form = parse_qs(request.body.decode())
    assert form["product_id"] == ["610000000001"]
    assert form["session"] == ["token-one"]
    assert len(form["sign"][0]) == 32
    assert (request.method, request.url) == ("POST", ADDRESS)
    context_of(crawler).client.clock.skew_seconds = 7200
    middleware.process_request(request)
    again = parse_qs(request.body.decode())
    assert again["timestamp"] > form["timestamp"]
    assert again["sign"] != form["sign"]
    assert crawler.stats.get_value("ali1688/calls") == 2


@pytest.mark.parametrize("outcome", ["response", "exception"])
def test_what_comes_back_is_unsigned(
    outcome: str, crawler_for: CrawlerFor, request_for: RequestFor
) -> None:
    crawler = crawler_for(ALI1688_HTTP_METHOD="GET")
    middleware = SigningMiddleware.from_crawler(crawler)
    request = request_for(crawler, 610000000001)
    middleware.process_request(request)
    assert request.method == "GET"
    assert "&sign=" in request.url
    if outcome == "response":
        response = Response(request.url, body=b"{}", request=request)
        assert middleware.process_response(request, response).url == ADDRESS
    else:
        middleware.process_exception(request, OSError())
    assert (request.url, request.body) == (ADDRESS, b"")


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/router/json",
        "http://gateway.example/router/json",
        "https://gateway.example:444/router/json",
        "https://gateway.example@other.example/router/json",
        "file:///etc/passwd",
    ],
)
def test_no_other_host_gets_a_call(
    url: str, crawler_for: CrawlerFor, request_for: RequestFor
) -> None:
    crawler = crawler_for()
    middleware = SigningMiddleware.from_crawler(crawler)
    call, token_request = request_for(crawler, 1).replace(url=url), TokenRequest(url)
    with pytest.raises(ForeignHostError, match="another host than ALI1688_GATEWAY"):
        middleware.process_request(call)
    with pytest.raises(IgnoreRequest, match="only calls of the configured gateway are"):
        middleware.process_request(token_request)
    assert b"sign" not in call.body
    assert b"sign" not in token_request.body
    assert crawler.stats.get_value("ali1688/calls") is None


def test_nothing_but_calls_is_sent(crawler_for: CrawlerFor) -> None:
    middleware = SigningMiddleware.from_crawler(crawler_for())
    with pytest.raises(IgnoreRequest, match=r"^Request not sent"):
        middleware.process_request(Request(ADDRESS))


def test_a_request_for_a_token_goes_out_as_it_is(crawler_for: CrawlerFor) -> None:
    crawler = crawler_for()
    middleware = SigningMiddleware.from_crawler(crawler)
    request = TokenRequest(
        "https://gateway.example/openapi/param2/1/system.oauth2/getToken/1000000",
        method="POST",
        body="grant_type=refresh_token",
    )
    body = request.body
    middleware.process_request(request)
    assert request.body == body
    assert crawler.stats.get_value("ali1688/calls") is None


async def test_a_kept_token_is_used_from_the_start(crawler_for: CrawlerFor, tmp_path: Path) -> None:
    settings = {"ALI1688_ACCESS_TOKEN": "token-one", "ALI1688_REFRESH_TOKEN": "refresh-one"}
    earlier = context_of(crawler_for(**settings)).client
    await earlier.tokens.adopt({"access_token": "token-two", "expires_in": "36000"})
    assert (tmp_path / ".scrapy" / "ali1688" / "token.json").exists()

    crawler = crawler_for(**settings)
    middleware = SigningMiddleware.from_crawler(crawler)
    assert context_of(crawler).client.tokens.current() == "token-one"
    await middleware.open()
    assert context_of(crawler).client.tokens.current() == "token-two"


async def test_tokens_out_of_reach_are_no_reason_to_fail(
    crawler_for: CrawlerFor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crawler = crawler_for(ALI1688_ACCESS_TOKEN="token-one")
    (tmp_path / ".scrapy" / "ali1688" / "token.json").mkdir(parents=True)
    await SigningMiddleware.from_crawler(crawler).open()
    assert context_of(crawler).client.tokens.current() == "token-one"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages[0].startswith("The tokens of the settings are used: the token file")
