"""Who may see the dashboard, and the headers of its responses."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ali1688_spider.dashboard.access import ACTION_HEADER, HEADERS, Access
from ali1688_spider.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Client = TestClient[web.Request, web.Application]
    Serve = Callable[[Access], Awaitable[Client]]

TOKEN = "a-long-random-text"
ACTION = {ACTION_HEADER: "1"}


async def answer(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def fail(_: web.Request) -> web.Response:
    raise RuntimeError("unforeseen")


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    clients: list[Client] = []

    async def start(access: Access) -> Client:
        app = web.Application(middlewares=[access.middleware])
        for path in ("/", "/metrics", "/api/state", "/api/events", "/assets/base.js", "/healthz"):
            app.router.add_get(path, answer)
        app.router.add_get("/broken", fail)
        app.router.add_post("/api/failed/retry", answer)
        client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def test_outside_loopback_a_token_is_needed() -> None:
    with pytest.raises(ConfigurationError, match="ALI1688_DASHBOARD_TOKEN"):
        Access.of("0.0.0.0", "", [])
    with pytest.raises(ConfigurationError, match="ALI1688_DASHBOARD_TOKEN"):
        Access.of("example.com", "", [])
    assert Access.of("::1", "", []).is_local
    assert Access.of("localhost", "", []).is_local
    assert not Access.of("::", TOKEN, []).is_local
    # A proxy on this machine passes on what others want.
    with pytest.raises(ConfigurationError, match=r"as board\.example: set ALI1688_DASHBOARD"):
        Access.of("127.0.0.1", "", ["board.example"])
    assert not Access.of("127.0.0.1", TOKEN, ["board.example"]).is_local


def test_on_loopback_a_token_is_made_up_for_each_run() -> None:
    tokens = {Access.of("127.0.0.1", "", []).token for _ in range(3)}
    assert len(tokens) == 3
    assert min(map(len, tokens)) >= 32
    assert Access.of("127.0.0.1", TOKEN, []).token == TOKEN


async def test_on_loopback_everything_is_shown_and_nothing_done_without_the_token(
    serve: Serve,
) -> None:
    client = await serve(Access.of("127.0.0.1", TOKEN, []))
    for path in ("/", "/metrics", "/api/state", "/healthz"):
        assert (await client.get(path)).status == 200
    retry = "/api/failed/retry"
    assert (await client.post(retry, headers=ACTION)).status == 401
    assert (await client.post(retry, headers=ACTION | bearer("wrong"))).status == 401
    assert (await client.post(retry, headers=bearer(TOKEN))).status == 403
    assert (await client.post(retry, headers=ACTION | bearer(TOKEN))).status == 200
    # The browser is not to ask for a password where the page asks for the token itself.
    assert "WWW-Authenticate" not in (await client.post(retry, headers=ACTION)).headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (bearer(TOKEN), 200),
        (bearer(f"{TOKEN} "), 200),
        (bearer(TOKEN[:-1]), 401),
        (bearer(f"{TOKEN}x"), 401),
        (bearer(""), 401),
        (basic("", TOKEN), 200),
        (basic("anybody", TOKEN), 200),
        (basic(TOKEN, ""), 401),
        ({"Authorization": "Basic %%%"}, 401),
        ({"Authorization": TOKEN}, 401),
        ({"Authorization": "Digest x"}, 401),
        ({"Authorization": "Bearer ÿ"}, 401),
    ],
)
async def test_elsewhere_all_but_healthz_needs_the_token(
    serve: Serve, headers: dict[str, str], status: int
) -> None:
    client = await serve(Access.of("0.0.0.0", TOKEN, []))
    for path in ("/", "/metrics", "/api/state", "/api/events", "/assets/base.js", "/no/such/page"):
        expected = 404 if status == 200 and path == "/no/such/page" else status
        response = await client.get(path, headers=headers)
        assert response.status == expected
        if status == 401:
            assert response.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert (await client.get("/healthz", headers=headers)).status == 200
    assert (await client.post("/healthz", headers=headers | ACTION)).status in {401, 405}


@pytest.mark.parametrize(
    ("host", "local", "elsewhere"),
    [
        ("127.0.0.1:8088", 200, 200),
        ("127.0.0.1", 200, 200),
        ("localhost:1", 200, 200),
        ("LOCALHOST", 200, 200),
        ("localhost.", 200, 200),
        ("[::1]:8088", 200, 200),
        ("127.9.9.9", 200, 200),
        ("192.168.1.5:8088", 403, 200),
        ("machine.example", 403, 403),
        ("evil.example", 403, 403),
        ("127.0.0.1.evil.example", 403, 403),
        ("evil.example:8088", 403, 403),
        ("", 403, 403),
        ("[::1", 200, 200),
    ],
)
async def test_a_foreign_host_is_refused(
    serve: Serve, host: str, local: int, elsewhere: int
) -> None:
    for address, status in (("127.0.0.1", local), ("0.0.0.0", elsewhere)):
        client = await serve(Access.of(address, TOKEN, []))
        headers = bearer(TOKEN) | {"Host": host}
        assert (await client.get("/", headers=headers)).status == status
        assert (await client.get("/healthz", headers=headers)).status == status


async def test_behind_a_proxy_its_name_is_known_and_the_token_asked_for(serve: Serve) -> None:
    client = await serve(Access.of("127.0.0.1", TOKEN, ["Board.Example"]))
    for host in ("board.example", "BOARD.example:443", "127.0.0.1:8088"):
        assert (await client.get("/", headers={"Host": host})).status == 401
        assert (await client.get("/", headers=bearer(TOKEN) | {"Host": host})).status == 200
    headers = bearer(TOKEN) | {"Host": "other.example"}
    assert (await client.get("/", headers=headers)).status == 403


async def test_an_error_of_our_own_is_logged_and_says_nothing(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve(Access.of("127.0.0.1", "", []))
    response = await client.get("/broken")
    assert (response.status, await response.text()) == (500, "The log says what went wrong\n")
    assert HEADERS.items() <= dict(response.headers).items()
    assert "unforeseen" in caplog.text


async def test_every_response_has_the_headers(serve: Serve) -> None:
    client = await serve(Access.of("0.0.0.0", TOKEN, []))
    for path, headers in (
        ("/", bearer(TOKEN)),
        ("/", {}),
        ("/missing", bearer(TOKEN)),
        ("/", {"Host": "evil.example"}),
    ):
        response = await client.get(path, headers=headers)
        assert HEADERS.items() <= dict(response.headers).items()
    policy = HEADERS["Content-Security-Policy"]
    assert "'unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "default-src 'none'" in policy
