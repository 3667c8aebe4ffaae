"""The client in programs of ten lines, against the sandbox, and over a transport of its own."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from PIL import Image

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.client import Client
from ali1688_spider.gateway.errors import (
    AuthorizationError,
    ClockError,
    ConnectionFailedError,
    ConnectionRefusedByHostError,
    InvalidCallError,
    NoProductError,
    ProductGoneError,
    RelationMissingError,
    TokenRefusedError,
)
from ali1688_spider.gateway.protocols import WireCall, WireResponse
from ali1688_spider.sandbox.options import Options
from ali1688_spider.sandbox.server import Sandbox
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ali1688_spider.local_servers import Server

BLOCKING = """
import sys
from ali1688_spider.gateway.client import Client

client = Client(app_key="1000000", app_secret="test123", protocol="param2", gateway=sys.argv[1])
product = client.product(610000000001)
print(product["product_id"], product["name"], product["price"])
"""
ASYNCHRONOUS = """
import asyncio, sys
from ali1688_spider.gateway.client import Client

async def main():
    client = Client(app_key="1000000", app_secret="test123", protocol="param2", gateway=sys.argv[1])
    ids = range(610000000001, 610000000004)
    for product in await asyncio.gather(*map(client.product_async, ids)):
        print(product["product_id"], product["name"], product["price"])

asyncio.run(main())
"""


@pytest.mark.parametrize(("program", "products"), [(BLOCKING, 1), (ASYNCHRONOUS, 3)])
def test_ten_lines_are_a_program(program: str, products: int, sandbox: Server) -> None:
    command = [sys.executable, "-W", "error", "-c", program, f"{sandbox.url}/openapi"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = [line.split() for line in ended.stdout.splitlines()]
    assert [int(row[0]) for row in rows] == [610000000001 + n for n in range(products)]
    assert all(Decimal(row[-1]) > 0 for row in rows)


def test_the_client_needs_no_scrapy() -> None:
    look = "import ali1688_spider.gateway.client, sys; print('scrapy' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client of a sandbox within this process."""
    sandbox = Sandbox(Options(products=1000))
    await sandbox.start()
    gateway = f"{sandbox.url}/openapi"
    yield Client(app_key="1000000", app_secret="test123", protocol="param2", gateway=gateway)
    await sandbox.stop()


async def test_a_search(client: Client) -> None:
    page = await client.search_async(keyword="杯", page_size=3)
    assert len(page.rows) == 3
    assert page.total is not None
    assert page.total >= 3


async def test_any_api_may_be_asked(client: Client) -> None:
    data = await client.request_async(
        "com.alibaba.product:alibaba.product.get-1", {"productID": 610000000001, "webSite": "1688"}
    )
    assert data["productInfo"]


def test_a_product_that_is_gone_is_an_error() -> None:
    with pytest.raises(ProductGoneError):
        ScriptedGateway({"errMsg": "商品[1]不存在"}).client().product(1)


async def test_a_running_event_loop_is_no_obstacle_for_a_program_that_waits() -> None:
    client = ScriptedGateway(PRODUCT).client()
    assert client.product(1) == {"product_id": 1, "name": "杯", "promotion_price": None}


def test_a_gateway_that_cannot_be_reached() -> None:
    client = Client(app_key="1", app_secret="s", gateway=f"http://127.0.0.1:{free_port()}/router")
    with pytest.raises(ConnectionRefusedByHostError, match="refused: ClientConnectorError"):
        client.product(1)


async def test_a_call_is_sent_once_when_its_connection_breaks() -> None:
    calls = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        await reader.readuntil(b"\r\n\r\n")
        calls += 1
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    gateway = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/router"
    client = Client(app_key="1", app_secret="s", gateway=gateway, http_method="GET")
    with pytest.raises(ConnectionFailedError):
        await client.product_async(1)
    server.close()
    assert calls == 1


class ScriptedGateway:
    """A transport that returns one response after the other and keeps what was sent."""

    def __init__(self, *bodies: Mapping[str, Any], date: str = "") -> None:
        self.bodies = list(bodies)
        self.date = date
        self.calls: list[WireCall] = []

    async def send(self, call: WireCall) -> WireResponse:
        self.calls.append(call)
        await asyncio.sleep(0)
        body = json.dumps(self.bodies.pop(0)).encode()
        return WireResponse(200, {"date": self.date}, body)

    def client(self, **options: Any) -> Client:
        usual = {"app_key": "1000000", "app_secret": "test123", "protocol": "param2"}
        return Client(**usual | options, transport=self.send)

    def form(self, number: int) -> dict[str, str]:
        return dict(parse_qsl(self.calls[number].body.decode()))


PRODUCT = {"result": {"result": {"subject": "杯"}}}
REFUSED = {"error_code": "401", "error_message": "Request need user authorized"}
TOO_OLD = {"error_code": "gw.TimestampInvalid"}


@pytest.mark.parametrize(
    ("protocol", "refused", "product"),
    [
        ("param2", REFUSED, PRODUCT),
        ("router", {"error_response": {"code": 27}}, {"result": {"product": {"subject": "杯"}}}),
    ],
)
def test_a_refused_token_is_refreshed_once(
    protocol: str, refused: dict[str, Any], product: dict[str, Any]
) -> None:
    granted = {"access_token": "access-2", "refresh_token": "refresh-2"}
    gateway = ScriptedGateway(refused, granted, product, product, refused, granted, refused)
    address = "https://gateway.example"
    path = {"param2": "/openapi", "router": "/router/json"}[protocol]
    client = gateway.client(
        access_token="access-1",
        refresh_token="refresh-1",
        protocol=protocol,
        gateway=address + path,
    )
    assert client.product(1)["name"] == "杯"
    assert gateway.calls[1].url == (f"{address}/openapi/param2/1/system.oauth2/getToken/1000000")
    assert gateway.form(1) == {
        "grant_type": "refresh_token",
        "client_id": "1000000",
        "client_secret": "test123",
        "refresh_token": "refresh-1",
        "refreshToken": "refresh-1",
    }
    client.product(1)
    assert [call.access_token for call in gateway.calls] == ["access-1", "", "access-2", "access-2"]
    with pytest.raises(TokenRefusedError):
        client.product(1)


def test_a_token_that_cannot_be_refreshed_is_an_error() -> None:
    with pytest.raises(AuthorizationError, match="there is no refresh token"):
        ScriptedGateway(REFUSED).client(access_token="access-1").product(1)


def test_a_refused_timestamp_is_corrected_once() -> None:
    gateway = ScriptedGateway(
        TOO_OLD, PRODUCT, TOO_OLD, TOO_OLD, date="Tue, 01 Jan 2030 00:00:00 GMT"
    )
    client = gateway.client()
    client.product(1)
    assert int(gateway.form(0)["_aop_timestamp"]) != int(gateway.form(1)["_aop_timestamp"])
    assert client.clock.timestamp().startswith("2030-01-01 08:00:0")
    with pytest.raises(ClockError):
        client.product(1)


def test_a_code_is_exchanged_for_tokens_that_are_used() -> None:
    gateway = ScriptedGateway({"access_token": "granted", "expires_in": "36000"}, PRODUCT)
    client = gateway.client()
    grant = client.authorise("c", "http://localhost")
    assert grant.expires_at is not None
    assert gateway.form(0) == {
        "grant_type": "authorization_code",
        "need_refresh_token": "true",
        "client_id": "1000000",
        "client_secret": "test123",
        "redirect_uri": "http://localhost",
        "code": "c",
    }
    client.product(1)
    assert gateway.calls[1].access_token == "granted"


def test_other_programs_send_and_hand_in_the_response() -> None:
    client = ScriptedGateway().client(access_token="access-1")
    call = client.prepare(ApiCall.product(1))
    assert (call.http_method, call.access_token) == ("POST", "access-1")
    assert call.url == client.address(ApiCall.product(1))
    assert client.read(WireResponse(200, {}, json.dumps(PRODUCT).encode())) == PRODUCT


def test_accounts_differ_by_app_gateway_and_user() -> None:
    options: list[dict[str, Any]] = [
        {},
        {"app_key": "1000001"},
        {"gateway": "https://other.example/openapi"},
        {"access_token": "of-another-user"},
    ]
    names = {ScriptedGateway().client(**each).identity for each in options}
    assert len(names) == 4
    assert "of-another-user" not in "".join(names)


async def test_the_description_comes_only_on_request() -> None:
    product = {"result": {"result": {"subject": "杯", "description": "<p>双层真空</p>"}}}
    client = ScriptedGateway(product, product).client()
    assert "description" not in await client.product_async(1)
    wanted = await client.product_async(1, description=True)
    assert wanted["description"] == "<p>双层真空</p>"


def picture() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "PNG")
    return content.getvalue()


async def test_an_uploaded_picture_has_an_id() -> None:
    gateway = ScriptedGateway({"result": {"success": True, "result": 914_567_890}})
    assert await gateway.client().upload_picture_async(picture()) == "914567890"


@pytest.mark.parametrize("result", ["0", 0, "", None, {}])
async def test_the_id_0_says_that_a_picture_is_refused(result: object) -> None:
    client = ScriptedGateway({"result": {"success": True, "result": result}}).client()
    with pytest.raises(InvalidCallError, match="the platform takes no such picture"):
        await client.upload_picture_async(picture())


async def test_what_is_no_picture_is_not_uploaded() -> None:
    with pytest.raises(ValueError, match="no picture that can be read"):
        await ScriptedGateway().client().upload_picture_async(b"text")


async def test_success_without_a_product_is_an_error_of_its_own() -> None:
    client = ScriptedGateway({"result": {"success": True, "result": None}}).client()
    with pytest.raises(NoProductError):
        await client.product_async(1)


async def test_an_api_that_needs_a_relation_says_so_instead_of_gone() -> None:
    relation_bound = "com.alibaba.product:alibaba.cross.productInfo-1"
    client = ScriptedGateway({"errMsg": "商品不存在"}).client(product_api=relation_bound)
    with pytest.raises(RelationMissingError):
        await client.product_async(1)


async def test_the_language_of_translations() -> None:
    gateway = ScriptedGateway(PRODUCT)
    await gateway.client(country="ja").product_async(1)
    form = dict(parse_qsl((gateway.calls[0].body or b"").decode()))
    assert json.loads(form["offerDetailParam"]) == {"offerId": 1, "country": "ja"}
