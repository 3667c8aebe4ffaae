"""A headless Chromium, over the DevTools protocol."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import pytest


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

    async def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key: a character, ``Tab``, ``Enter``, ``Escape``, ``ArrowLeft``…"""
        texts = {"Enter": "\r", "Tab": "\t"}
        codes = {"Enter": 13, "Tab": 9, "Escape": 27}
        text = key if len(key) == 1 else texts.get(key, "")
        values: dict[str, Any] = {"key": key, "modifiers": 8 if shift else 0}
        values["windowsVirtualKeyCode"] = codes.get(key, 0)
        kind = "keyDown" if text else "rawKeyDown"
        extra = {"text": text} if text else {}
        await self.call("Input.dispatchKeyEvent", type=kind, **values, **extra)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **values)

    async def write(self, text: str) -> None:
        """Type a text into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def until(self, script: str, seconds: float = 30.0) -> Any:
        """Return what an expression is, as soon as it is true."""
        deadline = time.monotonic() + seconds
        while not (value := await self.evaluate(script)):
            assert time.monotonic() < deadline, f"not within {seconds} s: {script}"
            await asyncio.sleep(0.02)
        return value

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


def run_browser(profile: Path) -> Iterator[str]:
    """Yield the WebSocket address of a browser, which ends afterwards."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"no browser is on PATH, none of {', '.join(names)}")
    process = subprocess.Popen(
        [
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
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


def tabs_of(browser_address: str) -> NewTab:
    """Return what opens a tab of the browser at this address."""

    @contextlib.asynccontextmanager
    async def tab() -> AsyncIterator[Tab]:
        async with (
            asyncio.timeout(120),
            aiohttp.ClientSession() as session,
            session.ws_connect(browser_address, max_msg_size=0) as socket,
        ):
            yield Tab(socket)

    return tab
