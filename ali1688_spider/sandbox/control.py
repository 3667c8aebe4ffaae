"""What the gateway has seen, and the control address ``/_sandbox/`` that shows and changes it."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ali1688_spider.sandbox.catalogue import API_NAMES
from ali1688_spider.sandbox.faults import parse_faults
from ali1688_spider.sandbox.protocols import json_response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ali1688_spider.sandbox.products import Product, Tier
    from ali1688_spider.sandbox.server import Sandbox

Json = dict[str, Any]

PREFIX = "/_sandbox/"
_PRODUCT = re.compile(r"products/([1-9][0-9]{0,18})")


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

    def report(self) -> Json:
        """Return all counts for JSON."""
        counts = {name: count for name, count in vars(self).items() if name[0] != "_"}
        signatures = self.errors["missing-signature"] + self.errors["invalid-signature"]
        rate = self.errors["rate-limit"] + self.errors["ban"]
        return counts | {"refused_signatures": signatures, "refused_rate": rate}


class Control:
    """Serves the control address; its paths and bodies: :mod:`ali1688_spider.sandbox`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a call: 200 and JSON, 400 with a sentence under ``error``, 404 or 405."""
        text = await request.read()
        try:
            return json_response(self._dispatch(request, json.loads(text) if text else {}))
        except ValueError as error:
            return json_response({"error": str(error)}, 400)

    def _dispatch(self, request: web.BaseRequest, body: Any) -> Json:
        name = request.path.removeprefix(PREFIX)
        if not isinstance(body, dict):
            raise ValueError("the body is no JSON object")  # noqa: TRY004  # answered with 400
        match request.method, name:
            case "GET", "status":
                return self._report(products=request.query.get("products") != "0")
            case "GET", "settings":
                return dataclasses.asdict(self._sandbox.options)
            case "POST", "settings":
                return self._change_settings(body)
            case "POST", "faults":
                return self._change_faults(body)
            case "POST", "reset":
                _refuse_others(body, {"everything"})
                self._sandbox.reset(everything=bool(body.get("everything")))
                return {}
        product = _PRODUCT.fullmatch(name)
        if not product:
            raise web.HTTPNotFound
        return self._serve_product(request.method, int(product[1]), body)

    def _report(self, *, products: bool) -> Json:
        report = self._sandbox.counters.report()
        if not products:
            del report["by_product"]
        report["used_today"] = self._sandbox.admission.used_today
        return report | {"step": self._sandbox.inventory.step()}

    def _change_settings(self, body: Json) -> Json:
        self._sandbox.change({name: body[name] for name in body if name != "expire_token"})
        if body.get("expire_token"):
            self._sandbox.tokens.expire()
        return dataclasses.asdict(self._sandbox.options)

    def _change_faults(self, body: Json) -> Json:
        _refuse_others(body, {"faults", "product_id", "api", "rate", "times"})
        names, queue = body.get("faults"), self._sandbox.faults.queue
        if not isinstance(names, (str, list)):
            raise ValueError("faults is a list of names")  # noqa: TRY004  # answered with 400
        faults = parse_faults(map(str, names) if isinstance(names, list) else names)
        if "product_id" in body:
            if type(body["product_id"]) is not int:
                raise ValueError("product_id is an integer")
            queue(body["product_id"], faults)
        elif "api" in body:
            if body["api"] not in API_NAMES:
                raise ValueError(f"there is no API {body['api']}")
            queue(body["api"], faults)
        else:
            settings = {"rate": "fault_rate", "times": "fault_times"}
            changes = {settings[name]: body[name] for name in settings if name in body}
            text = names if isinstance(names, str) else ",".join(names)
            self._sandbox.change(changes | {"faults": text})
        return {}

    def _serve_product(self, method: str, product_id: int, body: Json) -> Json:
        inventory = self._sandbox.inventory
        if method == "POST":
            inventory.change(product_id, body)
        elif method == "DELETE":
            inventory.restore(product_id)
        elif method != "GET":
            raise web.HTTPMethodNotAllowed(method, ["GET", "POST", "DELETE"])
        if not inventory.exists(product_id):
            return {"product_id": product_id, "exists": False}
        return _describe(inventory.product(product_id, inventory.step()))


def _refuse_others(body: Json, known: set[str]) -> None:
    others = set(body) - known
    if others:
        raise ValueError(f"unknown: {', '.join(sorted(others))}")


def _describe(product: Product) -> Json:
    """Return what is true of a product, whatever an API says of it; amounts as exact texts."""
    return {
        "product_id": product.product_id,
        "exists": True,
        "name": product.name,
        "price": str(product.price),
        "price_max": str(product.price_max),
        "stock": product.stock,
        "status": product.status,
        "tiers": _describe_tiers(product.tiers),
        "skus": [
            {"sku_id": sku.sku_id, "price": str(sku.price), "stock": sku.stock}
            | {"tiers": _describe_tiers(sku.tiers)}
            for sku in product.skus
        ],
        "category_id": product.category.category_id,
        "traits": vars(product.traits),
    }


def _describe_tiers(tiers: Iterable[Tier]) -> list[Json]:
    return [{"min_quantity": tier.min_quantity, "price": str(tier.price)} for tier in tiers]
