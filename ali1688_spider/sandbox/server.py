"""The process: the sandbox's parts, and listening."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections import Counter, deque
from email.utils import formatdate
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ali1688_spider.sandbox.admission import Admission, OAuthError, Tokens
from ali1688_spider.sandbox.control import CONTROL_PREFIX, serve_control
from ali1688_spider.sandbox.faults import Faults
from ali1688_spider.sandbox.platform_messages import post_messages
from ali1688_spider.sandbox.products import Inventory
from ali1688_spider.sandbox.shapes import Json, encode
from ali1688_spider.sandbox.wire import PARAM2_PREFIX, Param2, Router, Top, json_response

if TYPE_CHECKING:
    from ali1688_spider.sandbox.apis import Query
    from ali1688_spider.sandbox.options import Options

_PROTOCOLS = {"router": Router, "top": Top, "param2": Param2}
_PATHS = {"router": "/router/json", "top": "/router/rest", "param2": PARAM2_PREFIX}
_MAX_BODY_BYTES = 64 * 2**20
_SHUTDOWN_SECONDS = 1.0
_OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob"
_TOKENS = frozenset({"access_token", "refresh_token", "token_lifetime"})


class Counters:
    """The counts of ``/_sandbox/status``, under its names."""

    def __init__(self) -> None:
        self.calls = self.answered = self.token_refreshes = self.connections = 0
        self.max_calls_per_second = 0
        self.first_call_at: float | None = None
        self.last_call_at: float | None = None
        self.by_api: Counter[str] = Counter()
        self.by_product: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._last_second: deque[float] = deque()

    def called(self) -> None:
        """Count a call, whether it is answered or refused."""
        self.calls += 1
        self.last_call_at = time.time()
        self.first_call_at = self.first_call_at or self.last_call_at
        now, recent = time.monotonic(), self._last_second
        recent.append(now)
        while recent[0] <= now - 1:
            recent.popleft()
        self.max_calls_per_second = max(self.max_calls_per_second, len(recent))


class Sandbox(web.Server):
    """A sandbox: its parts and the options that they share; ``url`` is known when it runs."""

    def __init__(self, options: Options) -> None:
        loop = asyncio.get_running_loop()
        request = partial(web.BaseRequest, loop=loop, client_max_size=_MAX_BODY_BYTES)
        super().__init__(self.serve, request_factory=request, access_log=None)
        self._initial = options
        self.reset(everything=True)
        self._cached_body = lru_cache(maxsize=20_000)(self._body)  # cleared at each change
        self.url = ""
        self.request_ids = itertools.count(1)
        self._protocols = {_PATHS[name]: _PROTOCOLS[name] for name in options.protocol}
        self._callbacks: asyncio.Task[None] | None = None
        self._runner = web.ServerRunner(self, shutdown_timeout=_SHUTDOWN_SECONDS)

    def reset(self, *, everything: bool) -> None:
        """Reset the counts; with *everything*, also go back to how the sandbox started."""
        self.counters = Counters()
        if everything:
            self.options = self._initial.model_copy()
            self.inventory = Inventory(self.options)
            self.admission = Admission(self.options)
            self.tokens = Tokens(self.options)
            self.faults = Faults(self.options)

    def change(self, changes: Json) -> None:
        """Change settings while running; raises ValueError, and then nothing is changed."""
        expire_token = changes.pop("expire_token", False)
        self.options.change(changes)
        if any(name.startswith("fault") for name in changes):
            self.faults.load()
        if not _TOKENS.isdisjoint(changes):
            self.tokens = Tokens(self.options)
        if expire_token:
            self.tokens.expire()
        self._post_messages()

    def _post_messages(self) -> None:
        """Post messages from now on if there is an address."""
        if self.options.callback and (self._callbacks is None or self._callbacks.done()):
            posting = post_messages(lambda: (self.options, self.inventory))
            self._callbacks = asyncio.create_task(posting)

    async def start(self) -> None:
        """Listen; raises OSError when the address cannot be listened on."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self.options.host, self.options.port).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._post_messages()

    async def stop(self) -> None:
        """Stop listening and close all connections."""
        if self._callbacks is not None:
            self._callbacks.cancel()
            await asyncio.wait({self._callbacks})
        await self._runner.cleanup()

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        """Count a connection."""
        self.counters.connections += 1
        super().connection_made(handler, transport)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        path = request.path
        if path.startswith(CONTROL_PREFIX):
            return await serve_control(self, request)
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

    def body(self, query: Query) -> bytes:
        """Return the JSON text of what a query asks for now; raises RefusedError."""
        step = self.inventory.step()
        if not query.changes:
            return self._cached_body(query, step)
        self.forget_responses()
        return self._body(query, step)

    def forget_responses(self) -> None:
        """Make all responses anew, since something was changed."""
        self._cached_body.cache_clear()
        self.inventory.find.cache_clear()

    def _body(self, query: Query, step: int) -> bytes:
        return encode(query.data(self.inventory, step))

    def _authorize(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            address = self.tokens.authorize(request.query)
        except OAuthError as error:
            return json_response(error.body, 400)
        if address.startswith(_OUT_OF_BAND):
            return web.Response(text=address)
        return web.Response(status=302, headers={"Location": address})


async def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT; the first line of standard output says where."""
    sandbox, ended = Sandbox(options), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await sandbox.start()
    print(f"Sandbox ready on {sandbox.url}", flush=True)  # noqa: T201  # what starters wait for
    await ended.wait()
    await sandbox.stop()
