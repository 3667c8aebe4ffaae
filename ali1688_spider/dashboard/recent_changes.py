"""The changes that were observed last, for the dashboard's ticker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ali1688_spider.storage.database import PRODUCT_CHANGES, PRODUCTS

if TYPE_CHECKING:
    from ali1688_spider.storage.database import Database

SHOWN = 30
MOST_MS = 4000


async def latest_changes(database: Database) -> list[dict[str, Any]]:
    """Return the last changes, the latest first, with the products' names.

    Prices that are private now are left out.

    Each is ``{product_id, sku_id, field, old, new, percent, at, name}``.

    Raises:
        PyMongoError: The database is away.
    """
    fields = dict.fromkeys(("product_id", "sku_id", "field", "old", "new", "percent", "at"), 1)
    latest = database[PRODUCT_CHANGES].find({}, {"_id": 0, **fields}).sort("at", -1).limit(SHOWN)
    changes = [dict.fromkeys(fields) | each for each in await latest.max_time_ms(MOST_MS).to_list()]
    shown = {"name": 1, "price_private": 1}
    ids = list({each["product_id"] for each in changes})
    found = database[PRODUCTS].find({"_id": {"$in": ids}}, shown).limit(SHOWN)
    products: dict[Any, Any] = {each["_id"]: each for each in await found.to_list()}
    named = []
    for each in changes:
        product = products.get(each["product_id"], {})
        if not (product.get("price_private") and "price" in str(each["field"])):
            named.append({**each, "name": product.get("name")})
    return named
