"""The HTTP client of the crawls, between the middlewares and a server.

The server is a socket that sends whatever a test wants, also what is no HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import gzip
import json
import logging
import os
import socket
import ssl
import struct
import warnings
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import brotli
import pytest
from backports import zstd
from scrapy import Request
from scrapy.core.downloader.handlers import DownloadHandlers
from scrapy.core.downloader.middleware import DownloaderMiddlewareManager
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.utils.misc import build_from_crawler

from ali1688_spider.addon import context_of
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest, ApiResponse, ImageRequest
from tests.certificates import make_certificate
from tests.ports import free_port

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

HOST = "127.0.0.1"
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


@pytest.fixture
async def wire_to(
    crawler_for: Callable[..., Crawler], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Wire]]:
    """What makes the wire to a server; when it is closed, nothing of it is left open."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    wires: list[Wire] = []
    gc.freeze()  # what is there already need not be looked at again

    def make(server: Server | int, scheme: str = "http", **settings: Any) -> Wire:
        port = server if isinstance(server, int) else server.port
        values = {
            "ALI1688_GATEWAY": f"{scheme}://{HOST}:{port}/router/json",
            "ALI1688_QPS": "0",
            "ALI1688_DAILY_QUOTA": "0",
            "ALI1688_CACHE_TTL": "0",
        }
        wires.append(Wire(crawler_for(**values | settings)))
        return wires[-1]

    yield make
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        while wires:
            await wires.pop().close()
        gc.collect()
    gc.unfreeze()
    assert [str(each.message) for each in caught] == []


WireTo = Callable[..., Wire]


# Certificates


def tls_server(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


UNFIT = {
    "self-signed": {},
    "for another host": {"address": "127.0.0.2"},
    "expired": {"expires_in": dt.timedelta(minutes=-1)},
}


@pytest.fixture
def certificate_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Path, Path]]:
    """What makes a certificate; the system trusts all but the self-signed one."""

    def make(kind: str) -> tuple[Path, Path]:
        certificate, key = make_certificate(tmp_path, **UNFIT.get(kind, {}))  # type: ignore[arg-type]
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        if kind != "self-signed":
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        return certificate, key

    return make


CertificateOf = Callable[[str], tuple[Path, Path]]


async def test_a_certificate_that_the_system_trusts(
    wire_to: WireTo, certificate_of: CertificateOf
) -> None:
    async with serving(always(response()), tls_server(*certificate_of("trusted"))) as server:
        assert (await wire_to(server, "https").payload())["result"]
    assert server.exchanges[0].head.startswith("POST /router/json ")


@pytest.mark.parametrize("kind", list(UNFIT))
async def test_certificates_that_are_refused(
    wire_to: WireTo, certificate_of: CertificateOf, kind: str
) -> None:
    async with serving(always(response()), tls_server(*certificate_of(kind))) as server:
        assert await wire_to(server, "https").failure() == "tls"
        assert server.exchanges == []


@pytest.mark.parametrize("kind", list(UNFIT))
async def test_certificates_are_not_looked_at_without_the_check(
    wire_to: WireTo, certificate_of: CertificateOf, kind: str
) -> None:
    async with serving(always(response()), tls_server(*certificate_of(kind))) as server:
        wire = wire_to(server, "https", DOWNLOAD_VERIFY_CERTIFICATES=False)
        assert (await wire.payload())["result"]


async def test_a_server_that_speaks_no_tls(wire_to: WireTo) -> None:
    async with connecting(lambda writer: writer.write(response())) as port:
        assert await wire_to(port, "https").failure() == "tls"


async def test_tls_that_breaks_once_the_call_was_sent(
    wire_to: WireTo, certificate_of: CertificateOf
) -> None:
    async def break_tls(exchange: Exchange) -> None:
        os.write(exchange.writer.get_extra_info("socket").fileno(), b"no record of TLS")

    async with serving(break_tls, tls_server(*certificate_of("trusted"))) as server:
        assert await wire_to(server, "https").failure() == "connection"
        assert len(server.exchanges) == 1


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


# Timeouts


async def silent(exchange: Exchange) -> None:
    await exchange.until_gone()


async def stuck(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    await exchange.until_gone()


async def stuck_in_its_head(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-")
    await exchange.until_gone()


async def trickling(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            await exchange.send(b" ")
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("reply", [silent, stuck, stuck_in_its_head, trickling])
async def test_slow_responses(wire_to: WireTo, reply: Reply) -> None:
    async with serving(reply) as server:
        assert await wire_to(server, DOWNLOAD_TIMEOUT=0.2).failure() == "timeout"
        assert await wire_to(server).failure(download_timeout=0.2) == "timeout"
        await server.until(lambda: server.open == 0)


async def test_a_host_that_takes_no_connection(wire_to: WireTo) -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind((HOST, 0))
        full.listen(0)
        for _ in range(3):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        wire = wire_to(full.getsockname()[1])
        assert await wire.failure(download_timeout=0.2) == "timeout"


async def test_a_host_that_does_not_answer_to_tls(wire_to: WireTo) -> None:
    async with connecting(lambda _: None) as port:
        assert await wire_to(port, "https").failure(download_timeout=0.2) == "timeout"


# Failures


async def test_a_port_where_nobody_listens(wire_to: WireTo) -> None:
    assert await wire_to(free_port()).failure() == "connection_refused"


async def test_a_network_that_cannot_be_reached(wire_to: WireTo) -> None:
    wire = wire_to(1, ALI1688_GATEWAY="http://255.255.255.255:1/router/json")
    assert await wire.failure() == "connection_refused"


async def test_a_host_that_nobody_knows(wire_to: WireTo) -> None:
    wire = wire_to(1, ALI1688_GATEWAY="http://gateway.invalid/router/json")
    assert await wire.failure() == "unknown_host"


async def test_a_connection_that_is_reset_at_once(wire_to: WireTo) -> None:
    async with connecting(reset) as port:
        assert await wire_to(port).failure() == "connection"
        assert await wire_to(port, "https").failure() in {"connection", "connection_refused"}


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


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
FAILURES: dict[str, tuple[Reply, str]] = {
    "closed before the response": (sent_and_closed(b""), "connection"),
    "reset before the response": (sent_and_reset(b""), "connection"),
    "closed in the head": (sent_and_closed(HEAD + b"Content-"), "connection"),
    "reset in the head": (sent_and_reset(HEAD + b"Content-"), "connection"),
    "shorter than it says": (
        sent_and_closed(HEAD + b"Content-Length: 100\r\n\r\n{}"),
        "unreadable_answer",
    ),
    "reset in the body": (
        sent_and_reset(HEAD + b"Content-Length: 100\r\n\r\n{}"),
        "unreadable_answer",
    ),
    "closed in a chunk": (sent_and_closed(CHUNKED + b"5\r\n{}"), "unreadable_answer"),
    "closed between chunks": (sent_and_closed(CHUNKED + b"2\r\n{}\r\n"), "unreadable_answer"),
    "a chunk without size": (always(CHUNKED + b"two\r\n{}\r\n0\r\n\r\n"), "connection"),
    "no HTTP": (always(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "connection"),
    "a page without head": (always(b"<html></html>\r\n\r\n"), "connection"),
    "a header without colon": (always(HEAD + b"nonsense\r\n\r\n"), "connection"),
    "two lengths": (
        always(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        "connection",
    ),
    "a length of words": (always(HEAD + b"Content-Length: two\r\n\r\n{}"), "connection"),
    "too many headers": (always(HEAD + b"A: b\r\n" * 5_000 + b"\r\n"), "connection"),
    "a header without end": (
        always(HEAD + b"A: " + b"b" * 100_000 + b"\r\n\r\n"),
        "connection",
    ),
}


@pytest.mark.parametrize("kind", list(FAILURES))
async def test_broken_responses(wire_to: WireTo, kind: str) -> None:
    reply, error_class = FAILURES[kind]
    async with serving(reply) as server:
        assert await wire_to(server).failure() == error_class
        await server.until(lambda: server.open == 0)
        assert len(server.exchanges) == 1


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


async def test_failures_leave_nothing_open(wire_to: WireTo) -> None:
    replies = [reply for reply, _ in FAILURES.values()]

    async def next_one(exchange: Exchange) -> None:
        await replies[len(server.exchanges) % len(replies)](exchange)

    async with serving(next_one) as server:
        wire = wire_to(server)
        await asyncio.gather(*(wire.call() for _ in range(3 * len(replies))))
        await server.until(lambda: server.open == 0)
        server.reply = always(response())
        await wire.payload()
        assert server.open == 1


async def test_closing_ends_what_is_under_way(wire_to: WireTo) -> None:
    async with serving(silent) as server:
        wire = wire_to(server)
        call = asyncio.create_task(wire.call())
        await server.until(lambda: len(server.exchanges) == 1)
        await wire.close()
        assert isinstance(await call, ApiRequest)
        await server.until(lambda: server.open == 0)


# Proxies

USER, PASSWORD = "us/er", "s/e:c@r%t密"
LOGIN = f"{quote(USER, '')}:{quote(PASSWORD, '')}"
CREDENTIALS = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """What the log says, down to DEBUG; nothing of it is a credential."""
    caplog.set_level(logging.DEBUG)
    yield lambda: caplog.text
    for secret in (USER, PASSWORD, LOGIN, *LOGIN.split(":"), CREDENTIALS.removeprefix("Basic ")):
        assert secret not in caplog.text


@pytest.fixture
def by_proxy(wire_to: WireTo, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Wire]:
    """What makes the wire by way of a proxy; the environment names it, with credentials."""

    def make(proxy: int, gateway: str) -> Wire:
        for scheme in ("http", "https"):
            monkeypatch.setenv(f"{scheme}_proxy", f"http://{LOGIN}@{HOST}:{proxy}")
        return wire_to(0, ALI1688_GATEWAY=gateway, HTTPPROXY_AUTH_ENCODING="utf-8")

    return make


ByProxy = Callable[[int, str], Wire]


async def tunnel(exchange: Exchange) -> None:
    """Connect to where the client wants to."""
    port = int(exchange.head.split()[1].rpartition(":")[2])
    reader, writer = await asyncio.open_connection(HOST, port)
    await exchange.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(
        exchange.copy_to(writer), copy(reader, exchange.writer), return_exceptions=True
    )


async def test_a_proxy_of_http(by_proxy: ByProxy, logged: Callable[[], str]) -> None:
    async with serving(always(response())) as proxy:
        wire = by_proxy(proxy.port, "http://gateway.example/router/json")
        for _ in range(2):
            assert await wire.payload()
    assert proxy.connections == 1
    for exchange in proxy.exchanges:
        assert exchange.head.startswith("POST http://gateway.example/router/json HTTP/1.1")
        assert exchange.headers["proxy-authorization"] == CREDENTIALS
    assert logged()


async def test_a_proxy_of_https(
    by_proxy: ByProxy, certificate_of: CertificateOf, logged: Callable[[], str]
) -> None:
    certificate = tls_server(*certificate_of("trusted"))
    async with serving(tunnel) as proxy, serving(always(response()), certificate) as gateway:
        wire = by_proxy(proxy.port, f"https://{HOST}:{gateway.port}/router/json")
        for _ in range(2):
            assert await wire.payload()
        await wire.close()
    (exchange,) = proxy.exchanges
    assert exchange.head.startswith(f"CONNECT {HOST}:{gateway.port} HTTP/1.1")
    assert exchange.headers["proxy-authorization"] == CREDENTIALS
    assert len(gateway.exchanges) == 2
    for exchange in gateway.exchanges:
        assert "proxy-authorization" not in exchange.headers
    assert logged()


async def test_a_proxy_that_shows_a_certificate_of_its_own(
    by_proxy: ByProxy, certificate_of: CertificateOf, logged: Callable[[], str]
) -> None:
    certificate = tls_server(*certificate_of("self-signed"))
    async with serving(tunnel) as proxy, serving(always(response()), certificate) as gateway:
        wire = by_proxy(proxy.port, f"https://{HOST}:{gateway.port}/router/json")
        assert await wire.failure() == "tls"
        assert gateway.exchanges == []
        await proxy.until(lambda: proxy.open == 0)
    assert logged()


@pytest.mark.parametrize(
    ("reply", "error_class"),
    [
        (always(response(b"", status="407 Proxy Authentication Required")), "connection_refused"),
        (always(response(b"", status="502 Bad Gateway")), "connection_refused"),
        (sent_and_closed(b""), "connection"),
        (always(b"no HTTP\r\n\r\n"), "connection"),
    ],
)
async def test_a_proxy_that_does_not_connect(
    by_proxy: ByProxy, logged: Callable[[], str], reply: Reply, error_class: str
) -> None:
    async with serving(reply) as proxy:
        wire = by_proxy(proxy.port, "https://gateway.example/router/json")
        assert await wire.failure() == error_class
        await proxy.until(lambda: proxy.open == 0)
    assert logged()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_away(
    by_proxy: ByProxy, logged: Callable[[], str], scheme: str
) -> None:
    wire = by_proxy(free_port(), f"{scheme}://gateway.example/router/json")
    assert await wire.failure() == "connection_refused"
    assert logged()
