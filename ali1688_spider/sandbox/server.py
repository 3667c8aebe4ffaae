"""The process: listens, passes each request to the protocol of its path, ends on a signal."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import signal
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ali1688_spider.sandbox import protocols
from ali1688_spider.sandbox.admission import Admission, OAuthError, Tokens
from ali1688_spider.sandbox.control import PREFIX, Control, Counters
from ali1688_spider.sandbox.faults import Faults
from ali1688_spider.sandbox.inventory import Inventory
from ali1688_spider.sandbox.protocols import PARAM2_PREFIX, json_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ali1688_spider.sandbox.options import Options

_MAX_BODY_BYTES = 64 * 2**20
_SHUTDOWN_SECONDS = 1.0
_OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob"
_PROTOCOLS: dict[str, tuple[str, type[protocols.Call]]] = {
    "router": ("/router/json", protocols.Router),
    "top": ("/router/rest", protocols.Top),
    "param2": (PARAM2_PREFIX, protocols.Param2),
}
_TOKENS = frozenset({"access_token", "refresh_token", "token_lifetime"})


class Sandbox:
    """A sandbox: its parts and the options that they share; ``url`` is known when it runs."""

    def __init__(self, options: Options) -> None:
        self._initial = options
        self.reset(everything=True)
        self.url = ""
        self.request_ids = itertools.count(1)
        self._protocols = dict(_PROTOCOLS[name] for name in options.protocol)
        self._runner = web.ServerRunner(_Server(self), shutdown_timeout=_SHUTDOWN_SECONDS)

    def reset(self, *, everything: bool) -> None:
        """Reset the counts, or go back to how the sandbox started in *everything*."""
        self.counters = Counters()
        if everything:
            self.options = dataclasses.replace(self._initial)
            self.inventory = Inventory(self.options)
            self.admission = Admission(self.options)
            self.tokens = Tokens(self.options)
            self.faults = Faults(self.options)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change options while running; raises ValueError, and then nothing is changed."""
        vars(self.options).update(vars(self.options.changed(changes)))
        self.inventory.revision += 1
        if any(name.startswith("fault") for name in changes):
            self.faults.load()
        if not _TOKENS.isdisjoint(changes):
            self.tokens = Tokens(self.options)

    async def start(self) -> None:
        """Listen; raises OSError when the address cannot be listened on."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self.options.host, self.options.port).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop(self) -> None:
        """Stop listening and close all connections."""
        await self._runner.cleanup()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        path = request.path
        if path.startswith(PREFIX):
            return await Control(self).serve(request)
        protocol = self._protocols.get(PARAM2_PREFIX if path.startswith(PARAM2_PREFIX) else path)
        if protocol is None and path != "/oauth/authorize":
            raise web.HTTPNotFound
        if request.method not in ("GET", "POST"):
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "POST"])
        # What counts is when a call arrives, not when it is answered.
        response = await protocol(self, request).serve() if protocol else self._authorize(request)
        if self.options.latency and not response.prepared:
            await asyncio.sleep(self.options.latency / 1000)
        if self.options.clock_skew and not response.prepared:
            response.headers["Date"] = formatdate(self.options.now(), usegmt=True)
        return response

    def _authorize(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            address = self.tokens.authorize(request.query)
        except OAuthError as error:
            return json_response(error.body, 400)
        if address.startswith(_OUT_OF_BAND):
            return web.Response(text=address)
        return web.Response(status=302, headers={"Location": address})


class _Server(web.Server):
    """Counts the connections, and takes bodies as large as tests need."""

    def __init__(self, sandbox: Sandbox) -> None:
        loop = asyncio.get_running_loop()
        request = partial(web.BaseRequest, loop=loop, client_max_size=_MAX_BODY_BYTES)
        super().__init__(sandbox.serve, request_factory=request, access_log=None)
        self._sandbox = sandbox

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        self._sandbox.counters.connections += 1
        super().connection_made(handler, transport)


async def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT; the first line of standard output says where."""
    sandbox, ended = Sandbox(options), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await sandbox.start()
    print(f"Sandbox ready on {sandbox.url}", flush=True)  # noqa: T201  # what starters wait for
    await ended.wait()
    await sandbox.stop()
