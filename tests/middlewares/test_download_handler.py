"""What the HTTP client of the crawls sends and takes, and the connections that it keeps."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from typing import TYPE_CHECKING

import brotli
import pytest
from backports import zstd
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

from ali1688_spider.http import ApiRequest, ApiResponse, ImageRequest

if TYPE_CHECKING:
    from collections.abc import Callable
from tests.middlewares.wire import (
    HEAD,
    HOST,
    PRODUCT,
    CertificateOf,
    Exchange,
    WireTo,
    always,
    response,
    sent_and_closed,
    sent_and_reset,
    serving,
    silent,
    tls_server,
)

# What is sent, and what comes


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_call_is_sent_once(wire_to: WireTo, method: str) -> None:
    """Whatever happens to its connection, which may have been kept from the call before."""
    async with serving(always(response())) as server:
        wire = wire_to(server, ALI1688_HTTP_METHOD=method)
        await wire.payload()
        for reply in (sent_and_closed(b""), sent_and_reset(b"")):
            server.exchanges.clear()
            server.reply = reply
            assert await wire.failure() == "connection"  # over the kept connection
            assert await wire.failure() == "connection"  # over a new one
            assert len(server.exchanges) == 2
            server.reply = always(response())
            await wire.payload()
    assert server.exchanges[0].head.startswith(method)


async def test_a_connection_that_the_server_has_closed_is_not_used(wire_to: WireTo) -> None:
    async def reply(exchange: Exchange) -> None:
        await exchange.send(response())
        exchange.writer.write_eof()
        await exchange.until_gone()

    async with serving(reply) as server:
        wire = wire_to(server)
        for _ in range(3):
            await wire.payload()
            await server.until(lambda: server.open == 0)
    assert (server.connections, len(server.exchanges)) == (3, 3)


ANOTHER = response(b'{"result": {"product": {"productName": "another"}}}')


async def test_a_second_response_to_a_call_is_not_that_of_the_next(wire_to: WireTo) -> None:
    async with serving(always(response() + ANOTHER)) as server:
        wire = wire_to(server)
        for _ in range(2):
            assert (await wire.payload())["result"]["product"]["productName"] == "杯"
    assert server.connections == 2


async def test_a_response_that_comes_before_its_call_is_not_taken(wire_to: WireTo) -> None:
    async with serving(always(response())) as server, serving(always(response())) as elsewhere:
        wire = wire_to(server)
        await wire.payload()
        await server.exchanges[0].send(ANOTHER)
        await wire_to(elsewhere).payload()  # what was sent before has then arrived
        assert await wire.failure() == "connection"
        assert len(server.exchanges) == 1
        assert (await wire.payload())["result"]["product"]["productName"] == "杯"


async def test_an_address_is_sent_as_the_request_has_it(wire_to: WireTo) -> None:
    path = "/img/a%2Cb%21%7E/../c//d.jpg?x=%7E&sign=a%2Bb%3D&y=a+b"
    async with serving(always(response(b"picture"))) as server:
        proxy = {"proxy": f"http://{HOST}:{server.port}"}
        request = ImageRequest(f"http://cbu01.alicdn.com{path}", meta=proxy)
        picture = await wire_to(server).send(request)
    assert isinstance(picture, Response)
    assert picture.body == b"picture"
    assert server.exchanges[0].head.startswith(f"GET http://cbu01.alicdn.com{path} HTTP/1.1")


async def test_headers_come_as_they_are(wire_to: WireTo) -> None:
    headers = (b"X-Name: \xd6\xd0\xce\xc4", b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"x-EMPTY:")
    head = b"\r\n".join([HEAD.strip(), b"Content-Length: %d" % len(PRODUCT), *headers, b"", b""])
    async with serving(always(head + PRODUCT)) as server:
        result = await wire_to(server).call()
    assert isinstance(result, ApiResponse)
    assert result.headers.get("x-name") == "中文".encode("gbk")
    assert result.headers.getlist("set-cookie") == [b"a=1", b"b=2"]
    assert result.headers.get("X-Empty") == b""


async def test_what_a_call_says_of_itself(wire_to: WireTo) -> None:
    async with serving(always(response())) as server:
        await wire_to(server).payload()
    (exchange,) = server.exchanges
    assert exchange.headers.keys() == {
        *("host", "accept", "accept-encoding", "user-agent", "content-type", "content-length")
    }
    assert exchange.headers["user-agent"] == "ali1688_spider"


# Connections


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_connections_are_kept_and_used_again(
    wire_to: WireTo, certificate_of: CertificateOf, scheme: str
) -> None:
    tls = tls_server(*certificate_of("trusted")) if scheme == "https" else None
    async with serving(always(response()), tls) as server:
        wire = wire_to(server, scheme)
        for _ in range(3):
            await asyncio.gather(*(wire.payload() for _ in range(24)))
        assert server.connections == server.open == 24
        await wire.close()
        await server.until(lambda: server.open == 0)


async def test_slow_pictures_hold_no_call_up(wire_to: WireTo) -> None:
    """Of both there may be as many as the downloader lets through, for each host."""
    async with serving(silent) as pictures, serving(always(response())) as gateway:
        wire = wire_to(gateway, CONCURRENT_REQUESTS=2)
        proxy = {"proxy": f"http://{HOST}:{pictures.port}"}
        requests = [
            ImageRequest(f"http://cbu0{host}.alicdn.com/{number}.jpg", meta=dict(proxy))
            for host in (1, 2)
            for number in (1, 2)
        ]
        loading = [asyncio.create_task(wire.send(request)) for request in requests]
        await pictures.until(lambda: len(pictures.exchanges) == 4)
        await wire.payload()
        for task in loading:
            task.cancel()
        await asyncio.gather(*loading, return_exceptions=True)
        await pictures.until(lambda: pictures.open == 0)


async def test_closing_ends_what_is_under_way(wire_to: WireTo) -> None:
    async with serving(silent) as server:
        wire = wire_to(server)
        call = asyncio.create_task(wire.call())
        await server.until(lambda: len(server.exchanges) == 1)
        await wire.close()
        assert isinstance(await call, ApiRequest)
        await server.until(lambda: server.open == 0)


# Sizes

TOO_LONG = b" " * 3_000
LIMIT = 2_000


async def until_the_client_goes(exchange: Exchange, data: bytes) -> None:
    with contextlib.suppress(OSError):
        while True:
            await exchange.send(data)


@pytest.mark.parametrize(
    ("head", "chunk"),
    [
        ("Content-Length: 1000000", b""),  # its length is enough
        ("Content-Length: 1000000000", b" " * 100),
        ("Transfer-Encoding: chunked", b"64\r\n" + b" " * 100 + b"\r\n"),
        ("Connection: close", b" " * 100),
    ],
)
async def test_responses_without_end(wire_to: WireTo, head: str, chunk: bytes) -> None:
    async def go_on(exchange: Exchange) -> None:
        await exchange.send(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        await (until_the_client_goes(exchange, chunk) if chunk else exchange.until_gone())

    async with serving(go_on) as server:
        wire = wire_to(server, DOWNLOAD_MAXSIZE=LIMIT)
        assert await wire.failure() == "unreadable_answer"
        await server.until(lambda: server.open == 0)


async def test_a_response_of_the_largest_size(wire_to: WireTo) -> None:
    body = PRODUCT.ljust(LIMIT)
    async with serving(always(response(body))) as server:
        assert await wire_to(server, DOWNLOAD_MAXSIZE=LIMIT).payload()
        server.reply = always(response(body + b" "))
        assert await wire_to(server, DOWNLOAD_MAXSIZE=LIMIT).failure() == "unreadable_answer"
        assert await wire_to(server).payload(download_maxsize=0)


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


@pytest.mark.parametrize("name", list(COMPRESSIONS))
async def test_compressed_responses(wire_to: WireTo, name: str) -> None:
    compress = COMPRESSIONS[name]
    body, bomb = compress(PRODUCT), compress(b" " * 2**20)
    async with serving(always(response(body, f"Content-Encoding: {name}"))) as server:
        wire = wire_to(server, DOWNLOAD_MAXSIZE=100_000)
        assert (await wire.payload())["result"]
        assert name in server.exchanges[0].headers["accept-encoding"].split(", ")
        assert len(bomb) < 10_000
        server.reply = always(response(bomb, f"Content-Encoding: {name}"))
        with pytest.raises(IgnoreRequest, match="exceeded DOWNLOAD_MAXSIZE"):
            await wire.call()
