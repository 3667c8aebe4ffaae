"""Responses that failed validation, and products that the database refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import bson
from bson import ObjectId
from bson.errors import BSONError
from pymongo.errors import DuplicateKeyError

from ali1688_spider.storage.database import CODEC_OPTIONS, REJECTED_ITEMS

if TYPE_CHECKING:
    from ali1688_spider.retrying import ServerRetry
    from ali1688_spider.storage.database import Database

MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 80  # MongoDB takes 100 levels


class RejectionStore:
    """Keeps rejections in ``rejected_items``, and waits for the database while it is away."""

    def __init__(self, database: Database, retry: ServerRetry) -> None:
        self._collection = database[REJECTED_ITEMS]
        self._retry = retry

    async def keep(
        self, product_id: int | None, errors: Sequence[str], payload: Any, at: datetime
    ) -> None:
        """Return when a rejection is stored; the same one kept twice is there once.

        The *product_id* is None if the response has no possible one; *errors* are all reasons, in
        plain words; *payload* is anything, see :func:`storable`; *at* is when it arrived (UTC).
        """
        document: dict[str, Any] = {
            "product_id": product_id,
            "errors": list(errors),
            "payload": storable(payload),
            "at": at,
        }
        content = bson.encode(document, codec_options=CODEC_OPTIONS)
        document["_id"] = ObjectId(hashlib.blake2b(content, digest_size=12).digest())
        await self._retry.run(lambda: self._insert(document))

    async def _insert(self, document: dict[str, Any]) -> None:
        with suppress(DuplicateKeyError):
            await self._collection.insert_one(document)


def storable(payload: Any) -> Any:
    """Return *payload* of types that BSON holds, numbers exact (Decimal128).

    What MongoDB cannot hold (an integer over 64 bits, half a surrogate pair, a key with NUL, deep
    nesting, more than 4 MiB) becomes JSON text, such halves escaped, cut at 4 MiB.
    """
    try:
        document = bson.encode({"payload": payload}, codec_options=CODEC_OPTIONS)
    except (BSONError, ValueError, ArithmeticError, RecursionError):
        return _json_text(payload)
    if len(document) > MAX_PAYLOAD_BYTES or _depth(payload) > MAX_DEPTH:
        return _json_text(payload)
    return bson.decode(document, CODEC_OPTIONS)["payload"]


def _depth(payload: Any) -> int:
    level, depth = [payload], 0
    while level:
        depth += 1
        parents = [list(each.values()) if isinstance(each, dict) else each for each in level]
        level = [child for parent in parents if isinstance(parent, list) for child in parent]
    return depth


def _json_text(payload: Any) -> str:
    try:
        text = json.dumps(payload, ensure_ascii=False, default=str)
    except RecursionError:
        return "nested too deeply to be kept"
    # Python's escape of half a surrogate pair is JSON's, so the text stays JSON.
    encoded = text.encode(errors="backslashreplace")
    return encoded[:MAX_PAYLOAD_BYTES].decode(errors="ignore")
