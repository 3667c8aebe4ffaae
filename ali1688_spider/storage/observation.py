"""What one answer tells about a product, ready to be stored."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bson.raw_bson import RawBSONDocument

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_HEADER = 4
"""Bytes of a BSON document's length, before its elements; a NUL byte follows them."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One answer about one product.

    The record is encoded once and stays so: comparing digests shows most products to be unchanged
    without reading a field of them.

    Attributes:
        product_id: The product.
        fetched_at: When the answer arrived (UTC, in milliseconds).
        told: A BSON document of the record's fields that the answer tells, save ``fetched_at``.
        untold: The record's other fields with their defaults, for a product that is new.
        digest: Equal for answers that tell the same.
    """

    product_id: int
    fetched_at: datetime
    told: bytes
    untold: Mapping[str, Any] = field(default_factory=dict)
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.blake2b(self.told, digest_size=16).digest()
        object.__setattr__(self, "digest", digest)


def joined(*parts: bytes) -> RawBSONDocument:
    """Return the BSON document of the elements of all *parts*, in order."""
    elements = b"".join(part[_HEADER:-1] for part in parts)
    length = _HEADER + len(elements) + 1
    return RawBSONDocument(length.to_bytes(_HEADER, "little") + elements + b"\0")
