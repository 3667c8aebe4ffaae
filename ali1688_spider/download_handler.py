"""The HTTP client of the crawls: Scrapy's aiohttp download handler, fit for signed calls."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

import aiohttp
import yarl
from scrapy.core.downloader.handlers._aiohttp import AiohttpDownloadHandler, _ClientResponse
from scrapy.core.downloader.handlers._base_streaming import BaseStreamingDownloadHandler
from scrapy.http import Headers, Response
from scrapy.utils.ssl import _make_ssl_context

from ali1688_spider.gateway.client import send_once

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from scrapy import Request
    from scrapy.crawler import Crawler


class _Request(aiohttp.ClientRequest):
    """A request that takes no response for its own which was there before it was sent.

    https://github.com/aio-libs/aiohttp/issues/13656: aiohttp would.
    """

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if conn.protocol is None or conn.protocol.should_close:
            raise aiohttp.ClientConnectionError("a response came that nobody has asked for")
        return await super().send(conn)


class DownloadHandler(AiohttpDownloadHandler):
    """Downloads over HTTP/1.1 with aiohttp; raises Scrapy's download exceptions.

    Scrapy's, except that

    - no request is sent twice, see :func:`~ali1688_spider.gateway.client.send_once`;
    - a response that nobody has asked for, over a connection that is kept, is not that of the next
      request: a product would be stored as another one;
    - connections are limited by Scrapy's downloader alone, for each host. Its own limit is one for
      all hosts, so that signed calls waited behind slow pictures, and timed out there;
    - the address is sent as the request has it: aiohttp would write ``%2C`` as ``,``;
    - response headers may be in any encoding, such as the platform's GBK;
    - a proxy's password may contain ``/``.
    """

    experimental = False  # tests/middlewares/test_download_handler.py shows what it does
    lazy = True  # most crawls speak to one scheme, and loading the certificates takes a while

    def __init__(self, crawler: Crawler) -> None:
        BaseStreamingDownloadHandler.__init__(self, crawler)  # what follows is Scrapy's own session
        self._ssl_context = _make_ssl_context(crawler.settings)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(local_addr=self._bind_address, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            request_class=_Request,
            response_class=_ClientResponse,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            middlewares=(send_once,),
        )

    async def download_request(self, request: Request) -> Response:
        """Return the response; its body is as long as ``DOWNLOAD_MAXSIZE`` bytes at most.

        Raises:
            CannotResolveHostError, DownloadConnectionRefusedError, DownloadFailedError,
            DownloadTimeoutError, ResponseDataLossError: What aiohttp has raised is the cause.
            DownloadCancelledError: The response is longer.
        """
        request.meta["verbatim_url"] = True
        try:
            return await super().download_request(request)
        finally:
            del request.meta["verbatim_url"]  # what is made of the request is escaped as usual

    @staticmethod
    def _extract_headers(response: _ClientResponse) -> Headers:
        headers = Headers()
        for name, value in response.raw_headers:  # as Headers would, which takes a while
            dict.setdefault(headers, name.title(), []).append(value)
        return headers

    def _extract_proxy_url_with_creds(self, request: Request) -> str | None:
        proxy, credentials = self._extract_proxy(request)
        if proxy is None or credentials is None:
            return proxy
        # aiohttp encodes them in this encoding, so that the bytes stay what they were.
        text = b64decode(credentials.removeprefix("Basic ")).decode("latin-1")
        user, _, password = text.partition(":")
        return str(yarl.URL(proxy).with_user(user).with_password(password))
