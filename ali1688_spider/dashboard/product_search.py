"""Finds stored products: by id, by the address of their page, or by words of their names."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ali1688_spider.dashboard.newest import READ_SECONDS, read_newest
from ali1688_spider.gateway.identifiers import SURE_DIGITS, find_product_ids
from ali1688_spider.storage.database import PRODUCTS

if TYPE_CHECKING:
    from ali1688_spider.reporting.figures import Document
    from ali1688_spider.storage.database import Database

SHOWN = 50
SEARCH_SECONDS = 3.0
LONGEST_QUERY = 1000
"""Characters of a search that are read; the address of a page has some hundred."""
LONGEST_WORDS = 200
"""Characters of it that are looked for in names; servers refuse long patterns."""
LONGEST_TEXT = 300
LONGEST_STATUS = 40
"""Characters of a name, and of a status, that are shown."""
SEARCHED = ("name", "supplier", "name_translated")
"""What is looked through for words, one after the other, until something is found."""
LISTED = (
    *("name", "supplier", "url", "images", "price", "promotion_price", "stock"),
    *("status", "available", "fetched_at", "changed_at"),
)
"""The fields of a product that lists show."""

_NO_TEXT = re.compile(r"[\x00-\x20\x7f\s]+")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Found:
    """The products that a search found, those that changed last first.

    Attributes:
        products: At most :data:`SHOWN`, each with all of :data:`LISTED`.
        has_more: Whether there are others.
        cut_at: The search took too long: products that did not change since were not looked at.
        missing: The ids that were searched for and are not stored.
    """

    products: list[Document]
    has_more: bool = False
    cut_at: datetime | None = None
    missing: list[int] = field(default_factory=list)


def listed(product: Document) -> Document:
    """Return a product with all fields of :data:`LISTED`, and texts of bounded length."""
    whole = dict.fromkeys(LISTED) | product
    texts = {name: shortened(whole[name]) for name in ("name", "supplier")}
    return whole | texts | {"status": shortened(whole["status"], LONGEST_STATUS)}


def shortened(text: Any, longest: int = LONGEST_TEXT) -> str | None:
    """Return a text that is cut where it is too long for a table."""
    if text is None:
        return None
    shown = str(text)
    return shown if len(shown) <= longest else f"{shown[:longest]}…"


async def find_products(database: Database, text: str) -> Found:
    """Return the products that a text names by ids or addresses, or else by words of their names.

    All words have to be in the name, in any case and order; where no name has them, in that of the
    supplier. Without a text, these are the products that changed last.

    Raises:
        ExecutionTimeout: There are too many products to look through.
        PyMongoError: The database is away.
    """
    text = _NO_TEXT.sub(" ", text[:LONGEST_QUERY]).strip()
    if not text:
        return await _newest(database, {}, READ_SECONDS)
    ids = _ids_of(text)
    if ids:
        found = await _with_ids(database, ids)
        missing = sorted(set(ids) - {product["_id"] for product in found})
        is_sure = "1688." in text or any(len(str(each)) >= SURE_DIGITS for each in ids)
        if found or is_sure:
            return Found(found, missing=missing)
    return await _with_words(database, text[:LONGEST_WORDS].split())


def _ids_of(text: str) -> list[int]:
    """Return the first ids of a text that consists of nothing else."""
    found = find_product_ids(text)
    ids = [each for each in found if isinstance(each, int)]
    return ids[:SHOWN] if len(ids) == len(found) else []


async def _with_ids(database: Database, ids: list[int]) -> list[Document]:
    stored = database[PRODUCTS].find({"_id": {"$in": ids}}, dict.fromkeys(LISTED, 1))
    found = [listed(each) for each in await stored.to_list()]
    return sorted(found, key=lambda product: product["changed_at"] or _LONG_AGO, reverse=True)


async def _with_words(database: Database, words: list[str]) -> Found:
    pattern = "".join(f"(?=.*{re.escape(word)})" for word in dict.fromkeys(words))
    ends_at = time.monotonic() + SEARCH_SECONDS
    found = Found([])
    for name in SEARCHED:
        # One field at a time, since the server of scrapy up uses no index for a choice.
        query = {name: {"$regex": f"^{pattern}", "$options": "is"}}
        found = await _newest(database, query, ends_at - time.monotonic())
        if found.products or found.cut_at:
            break
    return found


async def _newest(database: Database, query: Document, seconds: float) -> Found:
    newest = await read_newest(
        database[PRODUCTS], query, "changed_at", LISTED, limit=SHOWN + 1, seconds=seconds
    )
    has_more = len(newest.documents) > SHOWN
    products = [listed(each) for each in newest.documents[:SHOWN]]
    return Found(products, has_more, None if has_more else newest.cut_at)
