"""Reuses an answer within its lifetime, before quota and signature."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from scrapy import signals
from scrapy.exceptions import NotConfigured
from scrapy.http import Response

from ali1688_spider.addon import context_of
from ali1688_spider.cache.answer_cache import CACHE_ERRORS, CachedAnswer, cache_key
from ali1688_spider.http import ApiRequest, ApiResponse

if TYPE_CHECKING:
    from typing import Self

    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.statscollectors import StatsCollector

    from ali1688_spider.context import CrawlContext

logger = logging.getLogger(__name__)

CACHED = "cached"


class CacheMiddleware:
    """Answers a call from the cache, and keeps the answers that are data; never an error.

    A cache that fails is no reason to fail: the call is made.
    """

    def __init__(self, context: CrawlContext, stats: StatsCollector) -> None:
        self._context = context
        self._cache = context.open_cache(failed=self._note_failure)
        self._stats = stats
        self._fails = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the middleware; it is off when ``ALI1688_CACHE_TTL`` is 0, and for ``watch``."""
        context = context_of(crawler)
        if context.config.cache_ttl == 0 or not getattr(crawler.spider, "uses_cache", True):
            raise NotConfigured
        middleware = cls(context, crawler.stats)
        crawler.signals.connect(middleware.close, signals.spider_closed)
        return middleware

    async def process_request(self, request: Request) -> Response | None:
        """Return the cached answer of a call, or None."""
        if not isinstance(request, ApiRequest):
            return None
        try:
            answer = await self._cache.get(self._key(request))
        except CACHE_ERRORS as error:
            self._note_failure(error)
            return None
        self._fails = False
        self._stats.inc_value(f"ali1688/cache/{'hit' if answer else 'miss'}")
        if answer is None:
            return None
        request.meta["fetched_at"] = answer.fetched_at
        headers = {"Content-Type": answer.content_type}
        return Response(
            request.url, headers=headers, request=request, flags=[CACHED], body=answer.body
        )

    def process_response(self, request: Request, response: Response) -> Response:
        """Keep an answer that is data and was not cached."""
        if (
            isinstance(request, ApiRequest)
            and isinstance(response, ApiResponse)
            and CACHED not in response.flags
        ):
            content_type = (response.headers.get("Content-Type") or b"").decode("latin-1")
            answer = CachedAnswer(response.body, response.fetched_at, content_type)
            self._cache.put(self._key(request), answer)
        return response

    async def close(self) -> None:
        """Release the cache."""
        await self._cache.close()

    def _key(self, request: ApiRequest) -> str:
        return cache_key(
            self._context.client.identity,
            self._context.client.apis.name(request.call),
            self._context.client.apis.parameters(request.call),
        )

    def _note_failure(self, error: Exception) -> None:
        self._stats.inc_value("ali1688/cache/errors")
        if not self._fails:
            self._fails = True
            logger.warning("The cache does not answer, calls are made instead: %s", error)
