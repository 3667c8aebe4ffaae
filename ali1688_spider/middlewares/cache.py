"""Reuses a response within its lifetime, before quota and signature."""

from __future__ import annotations

import logging
from typing import Self

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.http import Response

from ali1688_spider.addon import context_of
from ali1688_spider.cache import CACHE_ERRORS, CachedResponse, cache_key
from ali1688_spider.http import ApiRequest, ApiResponse

logger = logging.getLogger(__name__)

CACHED = "cached"


class CacheMiddleware:
    """Takes the response of a call from the cache, and keeps those that are data, never an error.

    A cache that fails does not fail the crawl: the call is made.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._context = context_of(crawler)
        self._cache = self._context.open_cache(self._note_failure)
        self._stats = crawler.stats
        self._fails = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the middleware; it is off when ``ALI1688_CACHE_TTL`` is 0, and for ``watch``."""
        has_cache = context_of(crawler).config.cache_ttl > 0
        if not has_cache or not getattr(crawler.spider, "uses_cache", True):
            raise NotConfigured
        middleware = cls(crawler)
        crawler.signals.connect(middleware.close, signals.spider_closed)
        return middleware

    async def process_request(self, request: Request) -> Response | None:
        """Return the cached response of a call, or None."""
        if not isinstance(request, ApiRequest):
            return None
        try:
            request.cache_key = self._key(request)
            cached = await self._cache.get(request.cache_key)
        except CACHE_ERRORS as error:
            self._note_failure(error)
            return None
        self._fails = False
        self._stats.inc_value(f"ali1688/cache/{'hit' if cached else 'miss'}")
        if cached is None:
            return None
        request.meta["fetched_at"] = cached.fetched_at
        headers = {"Content-Type": cached.content_type}
        return Response(
            request.url, headers=headers, request=request, flags=[CACHED], body=cached.body
        )

    def process_response(self, request: Request, response: Response) -> Response:
        """Keep a response that is data and was not cached."""
        if not isinstance(request, ApiRequest) or not isinstance(response, ApiResponse):
            return response
        if CACHED not in response.flags:
            content_type = (response.headers.get("Content-Type") or b"").decode("latin-1")
            kept = CachedResponse(response.body, response.fetched_at, content_type)
            self._cache.put(request.cache_key or self._key(request), kept)
        return response

    async def close(self) -> None:
        """Release the cache."""
        await self._cache.close()

    def _key(self, request: ApiRequest) -> str:
        client, call = self._context.client, request.call
        return cache_key(client.identity, client.apis.name(call), client.apis.parameters(call))

    def _note_failure(self, error: Exception) -> None:
        self._stats.inc_value("ali1688/cache/errors")
        if not self._fails:
            self._fails = True
            logger.warning("The cache does not answer, calls are made instead: %s", error)
