"""The changes that were observed last, for the dashboard's ticker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ali1688_spider.storage.database import PRODUCT_CHANGES, PRODUCTS

if TYPE_CHECKING:
    from ali1688_spider.storage.database import Database

SHOWN = 30


async def latest_changes(database: Database) -> list[dict[str, Any]]:
    """Return the last changes, the latest first, with the products' names.

    Each is ``{product_id, sku_id, field, old, new, percent, at, name}``.

    Raises:
        PyMongoError: The database is away.
    """
    fields = dict.fromkeys(("product_id", "sku_id", "field", "old", "new", "percent", "at"), 1)
    found = database[PRODUCT_CHANGES].find({}, {"_id": 0, **fields}).sort("at", -1).limit(SHOWN)
    changes = [dict.fromkeys(fields) | change for change in await found.to_list()]
    ids = list({change["product_id"] for change in changes})
    named = database[PRODUCTS].find({"_id": {"$in": ids}}, {"name": 1}).limit(SHOWN)
    names = {product["_id"]: product.get("name") for product in await named.to_list()}
    return [{**change, "name": names.get(change["product_id"])} for change in changes]
