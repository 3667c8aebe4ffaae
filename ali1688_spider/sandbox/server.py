"""The process: listens, hands each request to the protocol of its path, ends on a signal."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ali1688_spider.sandbox import control, param2
from ali1688_spider.sandbox.answers import encode
from ali1688_spider.sandbox.oauth import OAuthError
from ali1688_spider.sandbox.protocol import json_response
from ali1688_spider.sandbox.router import Router, Top
from ali1688_spider.sandbox.state import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ali1688_spider.sandbox.options import Options

    Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_MAX_BODY_BYTES = 64 * 2**20
_SHUTDOWN_SECONDS = 1.0
_OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob"


class Sandbox:
    """A running sandbox.

    Attributes:
        state: What it consists of.
        url: Its address, known when it runs.

    Raises:
        ValueError: An option is wrong; the text is one sentence.
    """

    def __init__(self, options: Options) -> None:
        self.state = State(options)
        self.url = ""
        self._control = control.Control(self.state)
        served = options.protocol
        self._exact: dict[str, Handler] = {"/oauth/authorize": self._authorize}
        if "router" in served:
            self._exact["/router/json"] = Router(self.state).serve
        if "top" in served:
            self._exact["/router/rest"] = Top(self.state).serve
        self._param2 = param2.Param2(self.state).serve if "param2" in served else None
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The address is not to be had.
        """
        server = _Server(self)
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        await self._runner.setup()
        options = self.state.options
        await web.TCPSite(self._runner, options.host, options.port).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening and close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        path = request.path
        if path.startswith(control.PREFIX):
            return await self._control.serve(request)
        handler = self._exact.get(path)
        if handler is None and path.startswith(param2.PREFIX):
            handler = self._param2
        if handler is None:
            raise web.HTTPNotFound
        if request.method not in ("GET", "POST"):
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "POST"])
        options = self.state.options
        # What counts is when a call arrives, not when it is answered.
        response = await handler(request)
        if options.latency and not response.prepared:
            await asyncio.sleep(options.latency / 1000)
        if options.clock_skew and not response.prepared:
            response.headers["Date"] = self.state.clock.http_date()
        return response

    async def _authorize(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            address = self.state.tokens.authorize(request.query)
        except OAuthError as error:
            return json_response(encode(error.body), 400)
        if address.startswith(_OUT_OF_BAND):
            return web.Response(text=address)
        return web.Response(status=302, headers={"Location": address})


class _Server(web.Server):
    """Counts the connections, and takes bodies as large as tests need."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox.serve, request_factory=self._large_request, access_log=None)
        self._counters = sandbox.state.counters

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        """Count a connection."""
        self._counters.connections += 1
        super().connection_made(handler, transport)

    def _large_request(
        self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=_MAX_BODY_BYTES
        )


async def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT; the first line of standard output says where.

    Raises:
        ValueError: An option is wrong; the text is one sentence.
        OSError: The address is not to be had.
    """
    sandbox = Sandbox(options)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await sandbox.start()
    print(f"Sandbox ready on {sandbox.url}", flush=True)  # noqa: T201  # what starters wait for
    await ended.wait()
    await sandbox.stop()
