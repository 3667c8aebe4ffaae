"""The control address ``/_sandbox/``: what is watched and set from outside.

What its addresses are for: the docstring of :mod:`ali1688_spider.sandbox`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ali1688_spider.sandbox.apis.api_table import API_NAMES
from ali1688_spider.sandbox.drawn_pictures import picture_of
from ali1688_spider.sandbox.shapes import Json, encode

if TYPE_CHECKING:
    from ali1688_spider.sandbox.products import Inventory
    from ali1688_spider.sandbox.sandbox_product import SandboxProduct, SandboxSku
    from ali1688_spider.sandbox.server import Sandbox

CONTROL_PREFIX = "/_sandbox/"

_PRODUCT = re.compile(r"products/([1-9][0-9]{0,18})")
_PICTURE = re.compile(r"images/([1-9][0-9]{0,18})\.png")
_PRICES = ("price", "price_max", "retail_price", "promotion_price", "dropship_price")
_SKU_PRICES = ("price", "retail_price", "promotion_price", "dropship_price")


async def serve_control(sandbox: Sandbox, request: web.BaseRequest) -> web.Response:
    """Answer at the control address: 200 and JSON, 400 and a sentence, 404 or 405."""
    text = await request.read()
    if picture := _PICTURE.fullmatch(request.path.removeprefix(CONTROL_PREFIX)):
        return web.Response(body=picture_of(int(picture[1])), content_type="image/png")
    if request.method != "GET":
        sandbox.forget_responses()
    try:
        body = json.loads(text) if text else {}
        if not isinstance(body, dict):
            raise ValueError("the body is no JSON object")  # noqa: TRY004, TRY301  # answered below
        return _json(_control(sandbox, request, body))
    except ValueError as error:
        return _json({"error": str(error)}, 400)


def _control(sandbox: Sandbox, request: web.BaseRequest, body: Json) -> Json:
    name = request.path.removeprefix(CONTROL_PREFIX)
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
    if name == "messages":
        return _messages(sandbox.inventory, request.method, body)
    if product := _PRODUCT.fullmatch(name):
        return _product(sandbox.inventory, int(product[1]), request.method, body)
    raise web.HTTPNotFound


def _messages(inventory: Inventory, method: str, body: Json) -> Json:
    if method == "GET":
        return {"messages": inventory.messages().undelivered()}
    if method != "POST":
        raise web.HTTPMethodNotAllowed(method, ["GET", "POST"])
    if not isinstance(body.get("type"), str):
        raise ValueError("a message has a type, which is a text")  # noqa: TRY004  # answered with 400
    if type(body.get("msgId", 0)) is not int:
        raise ValueError("msgId is an integer")
    return inventory.messages().add(body)


def _product(inventory: Inventory, product_id: int, method: str, body: Json) -> Json:
    if method == "POST":
        inventory.change(product_id, body)
    elif method == "DELETE":
        inventory.restore(product_id)
    elif method != "GET":
        raise web.HTTPMethodNotAllowed(method, ["GET", "POST", "DELETE"])
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
        "messages": dict(sandbox.inventory.messages().counts),
        "undelivered": len(sandbox.inventory.messages().undelivered()),
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
    told: Json = {"product_id": product_id, "exists": True}
    told |= _tell(product, "name", "stock", "status", *_PRICES)
    told["skus"] = [_tell(sku, "sku_id", "stock", *_SKU_PRICES) for sku in product.skus]
    told |= {"category_id": product.category.category_id, "traits": vars(product.traits)}
    told |= {"seller_id": product.seller.open_id, "modified_at": product.modified_at}
    return told | {
        "related": inventory.is_related(product_id),
        "followed": inventory.is_followed(product_id),
        "curated": inventory.is_curated(product_id),
    }


def _tell(of: SandboxProduct | SandboxSku, *names: str) -> Json:
    """Return what these attributes and the tiers of a product or one of its SKUs are."""
    told = {name: _exact(name, getattr(of, name)) for name in names}
    return told | {"tiers": [{"min_quantity": n, "price": str(price)} for n, price in of.tiers]}


def _exact(name: str, value: Any) -> Any:
    """Return an amount as text; None for a further price that a product does not have."""
    if "price" not in name or (value is None and not name.startswith("price")):
        return value
    return str(value)


def _json(value: Json, status: int = 200) -> web.Response:
    return web.Response(body=encode(value), status=status, content_type="application/json")
