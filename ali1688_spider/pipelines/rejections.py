"""Answers that failed validation, and where they are kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import bson
from bson.errors import BSONError

from ali1688_spider.pipelines.documents import CODEC_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 80  # MongoDB takes 100 levels


@dataclass(frozen=True, slots=True)
class Rejection:
    """An answer that failed validation, as ``rejected_items`` keeps it.

    Attributes:
        product_id: The product's id; None if the answer has no possible one.
        errors: Every reason, in plain words.
        payload: What the platform answered, of types that BSON holds (see :func:`storable`).
        at: When the answer arrived (UTC).
    """

    product_id: int | None
    errors: list[str]
    payload: Any = field(repr=False)
    at: datetime


class RejectionStore(Protocol):
    """Where rejections are kept."""

    async def keep(self, rejection: Rejection) -> None:
        """Return when *rejection* is stored."""


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
        level = [child for value in level for child in _children(value)]
    return depth


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _json_text(payload: Any) -> str:
    try:
        text = json.dumps(payload, ensure_ascii=False, default=str)
    except RecursionError:
        return "nested too deeply to be kept"
    # Python's escape of half a surrogate pair is JSON's, so the text stays JSON.
    encoded = text.encode(errors="backslashreplace")
    return encoded[:MAX_PAYLOAD_BYTES].decode(errors="ignore")
