"""The control address ``/_sandbox/``: what the gateway saw, and what it shall do next."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ali1688_spider.sandbox.answers import encode
from ali1688_spider.sandbox.apis import API_NAMES
from ali1688_spider.sandbox.faults import parse_faults
from ali1688_spider.sandbox.protocol import json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from ali1688_spider.sandbox.products import Product, Tier
    from ali1688_spider.sandbox.state import State

PREFIX = "/_sandbox/"

_PRODUCT = re.compile(r"products/([1-9][0-9]{0,18})")


class Control:
    """Serves the control address; its paths and bodies: :mod:`ali1688_spider.sandbox`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._handlers: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
            ("GET", "settings"): lambda _body: dataclasses.asdict(state.options),
            ("POST", "settings"): self._change_settings,
            ("POST", "faults"): self._change_faults,
            ("POST", "reset"): self._reset,
        }

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a call: 200 and JSON, 400 with a sentence under ``error``, 404 or 405."""
        try:
            body = await self._read(request)
            answer = self._dispatch(request, body)
        except ValueError as error:
            return json_response(encode({"error": str(error)}), 400)
        return json_response(encode(answer))

    def _dispatch(self, request: web.BaseRequest, body: dict[str, Any]) -> Any:
        name, method = request.path.removeprefix(PREFIX), request.method
        if (method, name) == ("GET", "status"):
            return self._report(products=request.query.get("products") != "0")
        handler = self._handlers.get((method, name))
        if handler:
            return handler(body)
        product = _PRODUCT.fullmatch(name)
        if not product:
            raise web.HTTPNotFound
        return self._serve_product(method, int(product[1]), body)

    async def _read(self, request: web.BaseRequest) -> dict[str, Any]:
        text = await request.read()
        body = json.loads(text) if text else {}
        if not isinstance(body, dict):
            raise ValueError("the body is no JSON object")  # noqa: TRY004  # answered with 400
        return body

    def _report(self, *, products: bool) -> dict[str, Any]:
        state = self._state
        report = state.counters.report(products=products)
        return report | {"used_today": state.admission.used_today, "step": state.catalogue.step()}

    def _reset(self, body: dict[str, Any]) -> dict[str, Any]:
        _refuse_others(body, {"everything"})
        if body.get("everything"):
            self._state.reset()
        else:
            self._state.counters.reset()
        return {}

    def _change_settings(self, body: dict[str, Any]) -> dict[str, Any]:
        changes = dict(body)
        expire = changes.pop("expire_token", False)
        self._state.change(changes)
        if expire:
            self._state.tokens.expire()
        return dataclasses.asdict(self._state.options)

    def _change_faults(self, body: dict[str, Any]) -> dict[str, Any]:
        _refuse_others(body, {"faults", "product_id", "api", "rate", "times"})
        names = body.get("faults")
        if not isinstance(names, (str, list)):
            raise ValueError("faults is a list of names")  # noqa: TRY004  # answered with 400
        faults = parse_faults(map(str, names) if isinstance(names, list) else names)
        if "product_id" in body:
            if type(body["product_id"]) is not int:
                raise ValueError("product_id is an integer")
            self._state.faults.queue(body["product_id"], faults)
        elif "api" in body:
            if body["api"] not in API_NAMES:
                raise ValueError(f"there is no API {body['api']}")
            self._state.faults.queue(body["api"], faults)
        else:
            changes = {"faults": names if isinstance(names, str) else ",".join(names)}
            settings = {"rate": "fault_rate", "times": "fault_times"}
            changes |= {settings[name]: body[name] for name in settings if name in body}
            self._state.change(changes)
        return {}

    def _serve_product(self, method: str, product_id: int, body: dict[str, Any]) -> Any:
        catalogue = self._state.catalogue
        if method == "POST":
            catalogue.change(product_id, body)
        elif method == "DELETE":
            catalogue.restore(product_id)
        elif method != "GET":
            raise web.HTTPMethodNotAllowed(method, ["GET", "POST", "DELETE"])
        if not catalogue.exists(product_id):
            return {"product_id": product_id, "exists": False}
        return _describe(catalogue.product(product_id, catalogue.step()))


def _refuse_others(body: dict[str, Any], known: set[str]) -> None:
    others = set(body) - known
    if others:
        raise ValueError(f"unknown: {', '.join(sorted(others))}")


def _describe(product: Product) -> dict[str, Any]:
    """Return what is true of a product, whatever an API tells of it; amounts as exact texts."""
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
            {
                "sku_id": sku.sku_id,
                "price": str(sku.price),
                "stock": sku.stock,
                "tiers": _describe_tiers(sku.tiers),
            }
            for sku in product.skus
        ],
        "category_id": product.category.category_id,
        "traits": dataclasses.asdict(product.traits),
    }


def _describe_tiers(tiers: tuple[Tier, ...]) -> list[dict[str, Any]]:
    return [{"min_quantity": tier.min_quantity, "price": str(tier.price)} for tier in tiers]
