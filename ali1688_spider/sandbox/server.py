"""The process: the sandbox's parts, its control address ``/_sandbox/``, and listening."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import time
from collections import Counter, deque
from email.utils import formatdate
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ali1688_spider.sandbox.admission import Admission, OAuthError, Tokens
from ali1688_spider.sandbox.api_catalogue import API_NAMES, Query
from ali1688_spider.sandbox.faults import Faults
from ali1688_spider.sandbox.products import Inventory, SandboxProduct, SandboxSku
from ali1688_spider.sandbox.shapes import Json, encode
from ali1688_spider.sandbox.wire import PARAM2_PREFIX, Param2, Router, Top, json_response

if TYPE_CHECKING:
    from ali1688_spider.sandbox.options import Options

_PROTOCOLS = {"router": Router, "top": Top, "param2": Param2}
_PATHS = {"router": "/router/json", "top": "/router/rest", "param2": PARAM2_PREFIX}
_CONTROL_PREFIX = "/_sandbox/"
_PRODUCT = re.compile(r"products/([1-9][0-9]{0,18})")
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
        self.body = lru_cache(maxsize=20_000)(self._body)  # cleared at each change
        self.url = ""
        self.request_ids = itertools.count(1)
        self._protocols = {_PATHS[name]: _PROTOCOLS[name] for name in options.protocol}
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

    async def start(self) -> None:
        """Listen; raises OSError when the address cannot be listened on."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self.options.host, self.options.port).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop(self) -> None:
        """Stop listening and close all connections."""
        await self._runner.cleanup()

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        """Count a connection."""
        self.counters.connections += 1
        super().connection_made(handler, transport)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        path = request.path
        if path.startswith(_CONTROL_PREFIX):
            return await _serve_control(self, request)
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

    def _body(self, query: Query, step: int) -> bytes:
        """Return the JSON text of what a query asks for; raises RefusedError."""
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


async def _serve_control(sandbox: Sandbox, request: web.BaseRequest) -> web.Response:
    """Answer at the control address: 200 and JSON, 400 and a sentence, 404 or 405."""
    text = await request.read()
    if request.method != "GET":
        sandbox.body.cache_clear()
        sandbox.inventory.find.cache_clear()
    try:
        body = json.loads(text) if text else {}
        if not isinstance(body, dict):
            raise ValueError("the body is no JSON object")  # noqa: TRY004, TRY301  # answered below
        return json_response(_control(sandbox, request, body))
    except ValueError as error:
        return json_response({"error": str(error)}, 400)


def _control(sandbox: Sandbox, request: web.BaseRequest, body: Json) -> Json:
    inventory, name = sandbox.inventory, request.path.removeprefix(_CONTROL_PREFIX)
    match request.method, name:
        case "GET", "status":
            return _status(sandbox, products=request.query.get("products") != "0")
        case "GET" | "POST", "settings":
            if request.method == "POST":
                sandbox.change(body)
            return vars(sandbox.options)
        case "POST", "faults":
            _change_faults(sandbox, body)
            return {}
        case "POST", "reset":
            _refuse_others(body, {"everything"})
            sandbox.reset(everything=bool(body.get("everything")))
            return {}
    if not (product := _PRODUCT.fullmatch(name)):
        raise web.HTTPNotFound
    product_id = int(product[1])
    if request.method == "POST":
        inventory.change(product_id, body)
    elif request.method == "DELETE":
        inventory.restore(product_id)
    elif request.method != "GET":
        raise web.HTTPMethodNotAllowed(request.method, ["GET", "POST", "DELETE"])
    return _describe(inventory, product_id)


def _status(sandbox: Sandbox, *, products: bool) -> Json:
    counts = {name: n for name, n in vars(sandbox.counters).items() if name[0] != "_"}
    if not products:
        del counts["by_product"]
    errors = sandbox.counters.errors
    return counts | {
        "refused_signatures": errors["missing-signature"] + errors["invalid-signature"],
        "refused_rate": errors["rate-limit"] + errors["ban"],
        "used_today": sandbox.admission.used_today,
        "step": sandbox.inventory.step(),
    }


def _change_faults(sandbox: Sandbox, body: Json) -> None:
    _refuse_others(body, {"faults", "product_id", "api", "rate", "times"})
    names, options = body.get("faults"), sandbox.options
    if not isinstance(names, (str, list)):
        raise ValueError("faults is a list of names")  # noqa: TRY004  # answered with 400
    faults = names if isinstance(names, str) else ",".join(map(str, names))
    if "product_id" in body:
        if type(body["product_id"]) is not int:
            raise ValueError("product_id is an integer")
        sandbox.faults.queue(body["product_id"], faults)
    elif "api" in body:
        if str(body["api"]) not in API_NAMES:
            raise ValueError(f"there is no API {body['api']}")
        sandbox.faults.queue(body["api"], faults)
    else:
        rate, times = body.get("rate", options.fault_rate), body.get("times", options.fault_times)
        sandbox.change({"faults": faults, "fault_rate": rate, "fault_times": times})


def _refuse_others(body: Json, known: set[str]) -> None:
    if others := set(body) - known:
        raise ValueError(f"unknown: {', '.join(sorted(others))}")


def _describe(inventory: Inventory, product_id: int) -> Json:
    """Return what is true of a product, whatever an API says of it; amounts as exact texts."""
    if not inventory.exists(product_id):
        return {"product_id": product_id, "exists": False}
    product = inventory.product(product_id, inventory.step())
    told = _tell(product, "name", "price", "price_max", "stock", "status")
    told["skus"] = [_tell(sku, "sku_id", "price", "stock") for sku in product.skus]
    told |= {"category_id": product.category.category_id, "traits": vars(product.traits)}
    return {"product_id": product_id, "exists": True} | told


def _tell(of: SandboxProduct | SandboxSku, *names: str) -> Json:
    """Return what these attributes and the tiers of a product or one of its SKUs are."""
    values = {name: getattr(of, name) for name in names}
    told = {name: str(v) if name.startswith("price") else v for name, v in values.items()}
    return told | {"tiers": [{"min_quantity": n, "price": str(price)} for n, price in of.tiers]}
