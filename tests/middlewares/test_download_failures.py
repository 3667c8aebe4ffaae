"""Slow and broken servers: each failure of the HTTP client is the error that the table expects."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from tests.middlewares.wire import (
    HEAD,
    HOST,
    Exchange,
    Reply,
    WireTo,
    always,
    connecting,
    reset,
    response,
    sent_and_closed,
    sent_and_reset,
    serving,
    silent,
)
from tests.ports import free_port

# Timeouts


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
