"""Signs each call as the last step before the wire."""

from __future__ import annotations

import logging
from typing import Self
from urllib.parse import SplitResult, urlsplit

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

from ali1688_spider.addon import context_of
from ali1688_spider.gateway.errors import ForeignHostError, TokenStoreError
from ali1688_spider.gateway.fields import PICTURE_HOST
from ali1688_spider.http import ApiRequest, ImageRequest, TokenRequest

logger = logging.getLogger(__name__)


class SigningMiddleware:
    """Makes address, body and signature of a call, in place, afresh for every try.

    What comes back carries nothing of it: request and response get the address without signature.
    """

    def __init__(self, crawler: Crawler) -> None:
        context = context_of(crawler)
        self._client = context.client
        self._stats = crawler.stats
        self._origin = urlsplit(context.config.gateway)[:2]

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the middleware with the credentials of the crawl."""
        middleware = cls(crawler)
        crawler.signals.connect(middleware.open, signals.spider_opened)
        return middleware

    async def open(self) -> None:
        """Load the access token that an earlier run, or another worker, has kept."""
        try:
            await self._client.tokens.load()
        except TokenStoreError as error:
            logger.warning("The tokens of the settings are used: %s. %s", error, error.advice)

    def process_request(self, request: Request) -> None:
        """Sign *request* in place.

        Raises:
            ForeignHostError: The call goes to another host than the gateway.
            IgnoreRequest: The request is no call.
        """
        if isinstance(request, ImageRequest) and _has_pictures(urlsplit(request.url)):
            return
        is_at_gateway = urlsplit(request.url)[:2] == self._origin
        if isinstance(request, ApiRequest) and not is_at_gateway:
            raise ForeignHostError("it goes to another host than ALI1688_GATEWAY")
        if not isinstance(request, ApiRequest | TokenRequest) or not is_at_gateway:
            self._stats.inc_value(f"ali1688/errors/{ForeignHostError.error_class}")
            raise IgnoreRequest(
                f"{type(request).__name__} not sent: only calls of the configured gateway are, and "
                f"pictures from {PICTURE_HOST}"
            )
        if isinstance(request, ApiRequest):
            self._stats.inc_value("ali1688/calls")
            request.sign(self._client.prepare(request.call))

    def process_response(self, request: Request, response: Response) -> Response:
        """Take the signature out of request and response."""
        if not isinstance(request, ApiRequest):
            return response
        url = self._client.address(request.call)
        request.unsign(url)
        return response if response.url == url else response.replace(url=url)

    def process_exception(self, request: Request, exception: Exception) -> None:  # noqa: ARG002  # Scrapy's interface
        """Take the signature out of the request."""
        if isinstance(request, ApiRequest):
            request.unsign(self._client.address(request.call))


def _has_pictures(url: SplitResult) -> bool:
    is_plain = url.scheme in {"http", "https"} and url.netloc == url.hostname  # no user, no port
    return is_plain and f".{url.hostname}".endswith(f".{PICTURE_HOST}")
