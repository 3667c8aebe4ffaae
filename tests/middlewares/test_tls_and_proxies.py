"""Who the other end is, and whom the HTTP client goes through."""

from __future__ import annotations

import asyncio
import logging
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from tests.middlewares.wire import (
    HOST,
    UNFIT,
    CertificateOf,
    Exchange,
    Reply,
    Wire,
    WireTo,
    always,
    connecting,
    copy,
    response,
    sent_and_closed,
    serving,
    tls_server,
)
from tests.ports import free_port

# Certificates


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
