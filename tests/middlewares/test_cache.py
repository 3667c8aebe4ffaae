from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request, Spider
from scrapy.exceptions import NotConfigured
from scrapy.http import Response

from ali1688_spider.http import ApiResponse
from ali1688_spider.middlewares.cache import CacheMiddleware
from ali1688_spider.middlewares.errors import ErrorsMiddleware
from ali1688_spider.spiders.product import ProductSpider
from ali1688_spider.spiders.watch import WatchSpider
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scrapy.crawler import Crawler

    from ali1688_spider.http import ApiRequest

    CrawlerFor = Callable[..., Crawler]
    RequestFor = Callable[[Crawler, int], ApiRequest]

NAME = '{"result":{"product":{"productName":"茶杯","price":12.50,"quantity":3}}}'
AT = datetime(2026, 10, 10, 8, 45, 52, tzinfo=UTC)


def answer(request: ApiRequest, body: bytes, content_type: str = "", **more: Any) -> ApiResponse:
    headers = {"Content-Type": content_type}
    return ApiResponse(
        request.url, headers=headers, body=body, request=request, fetched_at=AT, **more
    )


async def reread(crawler: Crawler, request: ApiRequest) -> Any:
    """Return the response that another crawl gets for a call from the cache, or None."""
    middleware = CacheMiddleware.from_crawler(crawler)
    cached = await middleware.process_request(request)
    await middleware.close()
    if cached is None:
        return None
    return await ErrorsMiddleware.from_crawler(crawler).process_response(request, cached)


async def keep(crawler: Crawler, request: ApiRequest, response: Response) -> None:
    middleware = CacheMiddleware.from_crawler(crawler)
    assert middleware.process_response(request, response) is response
    await middleware.close()


@pytest.mark.parametrize(
    ("encoding", "content_type"),
    [("utf-8", "application/json"), ("gb18030", "application/json;charset=GBK")],
)
async def test_an_answer_comes_back_as_it_was(
    encoding: str, content_type: str, crawler_for: CrawlerFor, request_for: RequestFor
) -> None:
    crawler = crawler_for()
    request = request_for(crawler, 1)
    assert await reread(crawler, request) is None
    await keep(crawler, request, answer(request, NAME.encode(encoding), content_type))
    response = await reread(crawler, request)
    assert isinstance(response, ApiResponse)
    assert response.payload["result"]["product"]["productName"] == "茶杯"
    assert str(response.payload["result"]["product"]["price"]) == "12.50"
    assert response.fetched_at == AT
    assert crawler.stats.get_value("ali1688/cache/miss") == 1
    assert crawler.stats.get_value("ali1688/cache/hit") == 1


async def test_a_product_that_is_gone_stays_gone(
    crawler_for: CrawlerFor, request_for: RequestFor
) -> None:
    crawler = crawler_for()
    request = request_for(crawler, 1)
    body = '{"errMsg":"商品[1]不存在"}'.encode()
    await keep(crawler, request, answer(request, body, gone=True))
    response = await reread(crawler, request)
    assert isinstance(response, ApiResponse)
    assert response.gone


async def test_only_answers_are_kept(crawler_for: CrawlerFor, request_for: RequestFor) -> None:
    crawler = crawler_for()
    request = request_for(crawler, 1)
    await keep(crawler, request, Response(request.url, status=500, body=b"<html>"))
    other = Request("https://gateway.example/")
    await keep(crawler, other, Response(other.url, body=b"{}"))  # type: ignore[arg-type]
    assert await reread(crawler, request) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"ALI1688_APP_KEY": "1000001"},
        {"ALI1688_ACCESS_TOKEN": "of-another-user"},
        {"ALI1688_GATEWAY": "https://other.example/router/json"},
    ],
)
async def test_each_account_has_answers_of_its_own(
    changes: dict[str, str], crawler_for: CrawlerFor, request_for: RequestFor
) -> None:
    crawler = crawler_for()
    request = request_for(crawler, 1)
    await keep(crawler, request, answer(request, NAME.encode()))
    assert await reread(crawler_for(**changes), request) is None
    assert await reread(crawler_for(ALI1688_APP_SECRET="renewed"), request) is not None
    assert await reread(crawler, request_for(crawler, 2)) is None


@pytest.mark.parametrize(("spider_class", "lifetime"), [(ProductSpider, "0"), (WatchSpider, "60")])
def test_it_is_off(spider_class: type[Spider], lifetime: str, crawler_for: CrawlerFor) -> None:
    crawler = crawler_for(spider_class, ALI1688_CACHE_TTL=lifetime)
    with pytest.raises(NotConfigured):
        CacheMiddleware.from_crawler(crawler)


async def test_a_cache_that_is_away_is_no_reason_to_fail(
    crawler_for: CrawlerFor, request_for: RequestFor, caplog: pytest.LogCaptureFixture
) -> None:
    crawler = crawler_for(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    request = request_for(crawler, 1)
    middleware = CacheMiddleware.from_crawler(crawler)
    assert await middleware.process_request(request) is None
    assert await middleware.process_request(request) is None
    middleware.process_response(request, answer(request, NAME.encode()))
    await middleware.close()
    assert crawler.stats.get_value("ali1688/cache/errors") == 3
    warnings = [message for message in caplog.messages if "cache does not answer" in message]
    assert len(warnings) == 1


async def test_a_damaged_answer_is_none(
    crawler_for: CrawlerFor, request_for: RequestFor, tmp_path: Path
) -> None:
    crawler = crawler_for()
    request = request_for(crawler, 1)
    await keep(crawler, request, answer(request, NAME.encode()))
    with closing(sqlite3.connect(tmp_path / ".scrapy" / "ali1688" / "cache.sqlite")) as connection:
        connection.execute("UPDATE responses SET data = x'00ff'")
        connection.commit()
    assert await reread(crawler, request) is None
