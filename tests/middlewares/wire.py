"""A crawl's downloader, and servers for it: sockets that send whatever a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy.core.downloader.handlers import DownloadHandlers
from scrapy.core.downloader.middleware import DownloaderMiddlewareManager
from scrapy.utils.misc import build_from_crawler

from ali1688_spider.addon import context_of
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest, ApiResponse

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.crawler import Crawler
    from scrapy.http import Response

HOST = "127.0.0.1"
HEAD = b"HTTP/1.1 200 OK\r\n"
PRODUCT = json.dumps({"result": {"product": {"productName": "杯", "price": 1}}}).encode()

Reply = Callable[["Exchange"], Awaitable[None]]


def response(body: bytes = PRODUCT, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Exchange:
    """One request at the server, and the connection that it came by."""

    def __init__(
        self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.head = head
        self.writer = writer
        self._reader = reader

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.split("\r\n")[1:]
        return {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_gone(self) -> None:
        """Return when the client has closed the connection."""
        await self._reader.read()
        self.writer.close()

    async def copy_to(self, writer: asyncio.StreamWriter) -> None:
        await copy(self._reader, writer)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


class Server:
    """Replies to each request as it is told to.

    Attributes:
        exchanges: What has arrived.
        connections: How many connections were made so far.
        open: How many of them are open now.
    """

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.exchanges: list[Exchange] = []
        self.connections = self.open = 0
        self.port = 0
        self.changed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip()
                    exchange = Exchange(head, reader, writer)
                    length = int(exchange.headers.get("content-length", 0))
                    await reader.readexactly(length)
                    self.exchanges.append(exchange)
                    self.changed.set()
                    await self.reply(exchange)
                    if writer.is_closing():
                        break
        finally:
            writer.close()
            self.open -= 1
            self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()


@contextlib.asynccontextmanager
async def serving(reply: Reply, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(reply)
    listener = await asyncio.start_server(server.serve, HOST, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


@contextlib.asynccontextmanager
async def connecting(act: Callable[[asyncio.StreamWriter], None]) -> AsyncIterator[int]:
    """A port that does something with each connection, before anything has arrived."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        act(writer)
        with contextlib.suppress(OSError):
            while await reader.read(1000):
                pass
        writer.close()

    listener = await asyncio.start_server(serve, HOST, 0)
    yield listener.sockets[0].getsockname()[1]
    listener.close()


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


def always(data: bytes) -> Reply:
    async def reply(exchange: Exchange) -> None:
        await exchange.send(data)

    return reply


class Wire:
    """The downloader of a crawl, without the engine: middlewares and download handlers."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.stats = crawler.stats
        self._middlewares = build_from_crawler(DownloaderMiddlewareManager, crawler)
        self._handlers = DownloadHandlers(crawler)

    async def send(self, request: Request) -> Request | Response:
        return await self._middlewares.download_async(
            self._handlers.download_request_async, request
        )

    async def call(self, **meta: Any) -> Request | Response:
        """Make a call; return its response, or the request of its next try."""
        context, call = context_of(self.crawler), ApiCall.product(610000000001)
        await context.breaker.succeeded()  # it would have to let the call through
        address = context.client.address(call)
        return await self.send(ApiRequest(address, call=call, method="POST", meta=meta))

    async def payload(self, **meta: Any) -> Any:
        """Make a call that succeeds; return its data."""
        result = await self.call(**meta)
        assert isinstance(result, ApiResponse), self.stats.get_stats()
        return result.payload

    async def failure(self, **meta: Any) -> str:
        """Make a call that fails and is to be tried again; return the class of its error."""
        before = self._errors()
        result = await self.call(**meta)
        assert isinstance(result, ApiRequest)
        ((error_class, _),) = (self._errors().items() - before.items()) or [("none", 0)]
        assert self.stats.get_value("ali1688/retries") == sum(self._errors().values())
        return error_class

    def _errors(self) -> dict[str, int]:
        start = "ali1688/errors/"
        stats = self.stats.get_stats()
        return {name.removeprefix(start): stats[name] for name in stats if name.startswith(start)}

    async def close(self) -> None:
        await self._handlers._close()


WireTo = Callable[..., Wire]
CertificateOf = Callable[[str], tuple[Path, Path]]


UNFIT = {
    "self-signed": {},
    "for another host": {"address": "127.0.0.2"},
    "expired": {"expires_in": dt.timedelta(minutes=-1)},
}


def tls_server(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def sent_and_closed(data: bytes) -> Reply:
    async def reply(exchange: Exchange) -> None:
        await exchange.send(data)
        exchange.writer.close()

    return reply


def sent_and_reset(data: bytes) -> Reply:
    async def reply(exchange: Exchange) -> None:
        await exchange.send(data)
        reset(exchange.writer)

    return reply


async def silent(exchange: Exchange) -> None:
    await exchange.until_gone()
