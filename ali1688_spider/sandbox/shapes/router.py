"""The answers of ``router`` and ``top``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.sandbox.shapes.wire import Json, Wire

if TYPE_CHECKING:
    from ali1688_spider.sandbox.products import Product


def product(product: Product) -> Json:
    """Return the answer of the router's ``alibaba.product.get``."""
    wire = Wire(product)
    fields: Json = {
        "productName": product.name,
        "price": wire.money(product.price),
        "quantity": wire.number(product.stock),
    }
    if product.traits.extended:
        fields |= {"productID": wire.number(product.product_id), "isVip": wire.flag(False)}
    return {"result": {"product": fields}}


def row(product: Product) -> Json:
    """Return a row of the router's ``alibaba.product.search``."""
    wire = Wire(product)
    return {
        "productID": wire.number(product.product_id),
        "productName": product.name,
        "price": wire.money(product.price),
        "quantity": wire.number(product.stock),
    }


def page(rows: list[Json], total: int, number: int, page_size: int) -> Json:
    """Return a page of the router's search."""
    return {
        "result": {"totalCount": total, "pageNo": number, "pageSize": page_size, "products": rows}
    }
