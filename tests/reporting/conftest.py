"""A made-up market, as the store would keep it, and a browser to look at the report with."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
import pytest
from bson import Decimal128

from ali1688_spider.gateway.fields import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 11, 23, 18, 30, tzinfo=UTC)
NAMES = ("夏季连衣裙女新款", "男士纯棉短袖T恤", "不锈钢保温杯", "儿童益智积木", "蓝牙耳机 无线")


@dataclass(frozen=True)
class Market:
    """What is stored, and when it was looked at."""

    products: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    crawls: list[dict[str, Any]]
    now: datetime


def make_market(products: int, changes: int, seed: int = 1) -> Market:
    """Return a market of that many products and changes of the last seven days."""
    chance = random.Random(seed)
    ages = sorted(chance.sample(range(7 * 86400), changes), reverse=True)
    moments = [NOW - timedelta(seconds=age) for age in ages]
    price = {n: Decimal(chance.randrange(100, 50000)) / 100 for n in range(1, products + 1)}
    stock = {n: chance.randrange(0, 2000) for n in price}
    recorded = []
    for number, at in enumerate(moments):
        product_id = int(products * chance.random() ** 3) + 1  # few change often, many never
        change = {"_id": str(number), "product_id": product_id, "sku_id": None, "at": at}
        kind = chance.random()
        if number % 50 == 7:
            recorded.append(change | _promotion(number, price[product_id]))
        elif number % 50 == 11:
            is_on = number % 100 == 11
            recorded.append(change | {"field": "available", "old": is_on, "new": not is_on})
        elif kind < 0.6:
            new = (price[product_id] * chance.randrange(90, 111) / 100).quantize(Decimal("0.01"))
            values = Decimal128(price[product_id]), Decimal128(max(new, Decimal("0.01")))
            price[product_id] = max(new, Decimal("0.01"))
            recorded.append(change | {"field": "price", "old": values[0], "new": values[1]})
        else:
            amount = 0 if chance.random() < 0.1 else chance.randrange(0, 2000)
            amount = UNLIMITED if product_id % 19 == 11 and chance.random() < 0.3 else amount
            recorded.append(change | {"field": "stock", "old": stock[product_id], "new": amount})
            stock[product_id] = amount
    stored = [_product(n, price[n], stock[n], chance) for n in price]
    return Market(stored, recorded, [_crawl(n, chance) for n in range(14)], NOW)


def _promotion(number: int, price: Decimal) -> dict[str, Any]:
    lower = Decimal128((price * 9 / 10).quantize(Decimal("0.01")))
    values = (None, lower) if number % 100 == 7 else (lower, None)
    return {"field": "promotion_price", "old": values[0], "new": values[1]}


def _product(number: int, price: Decimal, stock: int, chance: random.Random) -> dict[str, Any]:
    return {
        "_id": number,
        "product_id": number,
        "name": chance.choice(NAMES),
        "supplier": f"义乌市{number % 97}号厂",
        "price": Decimal128(price),
        "stock": stock,
        "status": "published",
        "url": f"https://detail.1688.com/offer/{number}.html",
        "images": [f"https://cbu01.alicdn.com/img/ibank/{number}.jpg"],
        "price_private": False,
        "fetched_at": NOW - timedelta(seconds=chance.randrange(4 * 86400)),
        "first_seen_at": NOW - timedelta(days=chance.randrange(90), seconds=1),
    }


def _crawl(number: int, chance: random.Random) -> dict[str, Any]:
    calls = chance.randrange(500, 10_000)
    ended = NOW - timedelta(hours=12 * number + 1)
    return {
        "spider": "watch" if number % 3 else "product",
        "started_at": ended - timedelta(seconds=chance.randrange(60, 40_000)),
        "finished_at": ended,
        "reason": "finished" if number != 2 else "quota_exhausted",
        "stats": {
            "ali1688/calls": calls,
            "ali1688/cache/hit": calls // 20,
            "ali1688/retries": calls // 50,
            "ali1688/errors/rate_limit": calls // 60,
            "ali1688/errors/item_gone": calls // 300,
            "ali1688/items/stored": calls,
            "ali1688/items/changed": calls // 8,
            "ali1688/items/unchanged": calls - calls // 8,
            "ali1688/items/rejected": calls // 500,
            "ali1688/quota/wait_seconds": calls / 2.3,
            "ali1688/failed_calls": calls // 1000,
        },
    }


@pytest.fixture(scope="session")
def big_market() -> Market:
    """10,000 products and 100,000 changes."""
    return make_market(10_000, 100_000)


@pytest.fixture(scope="session")
def small_market() -> Market:
    """300 products and 3,000 changes."""
    return make_market(300, 3_000)


class Tab:
    """A tab of a browser, over the DevTools protocol.

    Attributes:
        addresses: What it asked for, in order.
        complaints: What its console shows: errors, warnings, violations, exceptions, messages.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.addresses: list[str] = []
        self.complaints: list[dict[str, Any]] = []
        self._socket = socket
        self._ids = itertools.count(1)
        self._session: str | None = None

    async def open(self, address: str, language: str = "en-US") -> None:
        """Load a page, for a reader of a language, and wait until it is complete."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        agent = {"userAgent": "tests", "acceptLanguage": language}
        await self.call("Network.setUserAgentOverride", **agent)
        await self.call("Page.navigate", url=address)
        while (await self._next())["method"] != "Page.loadEventFired":
            pass

    async def evaluate(self, script: str) -> Any:
        """Return what an expression of JavaScript is, or what its promise brings."""
        wanted = {"returnByValue": True, "awaitPromise": True}
        answer = await self.call("Runtime.evaluate", expression=script, **wanted)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        message: dict[str, Any] = {"id": next(self._ids), "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        await self._socket.send_json(message)
        while (answer := await self._next()).get("id") != message["id"]:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    async def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._socket.receive_json()
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.addresses.append(message["params"]["request"]["url"])
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded":
                self.complaints.append(message["params"])
        return message


NewTab: TypeAlias = Callable[[], contextlib.AbstractAsyncContextManager[Tab]]


@pytest.fixture(scope="session")
def browser_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The WebSocket address of a headless Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"no browser is on PATH, none of {', '.join(names)}")
    profile = tmp_path_factory.mktemp("chromium")
    process = subprocess.Popen(
        [
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port, path = _devtools(profile / "DevToolsActivePort", process)
        yield f"ws://127.0.0.1:{port}{path}"
    finally:
        process.terminate()
        process.wait()


def _devtools(file: Path, process: subprocess.Popen[bytes]) -> list[str]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            lines = file.read_text().split()
            if len(lines) == 2:
                return lines
        time.sleep(0.02)
    pytest.fail("the browser does not start")


@pytest.fixture
def new_tab(browser_address: str) -> NewTab:
    """Opens a tab of the browser."""

    @contextlib.asynccontextmanager
    async def tab() -> AsyncIterator[Tab]:
        async with (
            asyncio.timeout(60),
            aiohttp.ClientSession() as session,
            session.ws_connect(browser_address, max_msg_size=0) as socket,
        ):
            yield Tab(socket)

    return tab
