"""What one response says about a product, encoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import bson
from bson.raw_bson import RawBSONDocument

from ali1688_spider.storage.database import CODEC_OPTIONS
from ali1688_spider.storage.database_errors import DocumentRefusedError

if TYPE_CHECKING:
    from ali1688_spider.items import Product

MAX_DOCUMENT_BYTES = 1024 * 1024
"""The record has to stay below this; MongoDB itself takes 16 MiB."""

_SET_BY_STORE = frozenset({"fetched_at", "first_seen_at", "changed_at"})
_SET_WHEN_TOLD = frozenset({"promotion_price"})


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One response about one product.

    The record is encoded once and stays so: comparing digests shows most products to be unchanged
    without reading a field of them.

    Attributes:
        product_id: The product.
        fetched_at: When the response arrived (UTC, in milliseconds).
        set_fields: A BSON document of the record's fields that the response has; without
            ``fetched_at``.
        unset_fields: The record's other fields with their defaults, for a product that is new;
            without ``promotion_price``, whose absence says that no response could tell it.
    """

    product_id: int
    fetched_at: datetime
    set_fields: bytes
    unset_fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> bytes:
        """Equal for responses that say the same."""
        return hashlib.blake2b(self.set_fields, digest_size=16).digest()

    @classmethod
    def of(cls, product: Product) -> Self:
        """Return what is to be stored of *product*.

        Raises:
            DocumentRefusedError: BSON cannot hold it, or it is too large.
        """
        names = product.model_fields_set
        fields = [each for each in product.__dict__.items() if each[0] not in _SET_BY_STORE]
        known = names | _SET_WHEN_TOLD
        unset_fields = {name: value for name, value in fields if name not in known}
        set_fields = {name: value for name, value in fields if name in names}
        try:
            encoded = bson.encode(set_fields, codec_options=CODEC_OPTIONS)
        # The values decide what goes wrong here, and it has to stay with them.
        except Exception as error:
            raise DocumentRefusedError(f"document: BSON cannot hold it: {error!r}") from error
        if (size := len(encoded)) >= MAX_DOCUMENT_BYTES:
            raise DocumentRefusedError(
                f"document: {size} bytes long, must stay below {MAX_DOCUMENT_BYTES}"
            )
        return cls(product.product_id, product.fetched_at, encoded, unset_fields)


def join_documents(*parts: bytes) -> RawBSONDocument:
    """Return the BSON document of the elements of all *parts*, in order."""
    # A document is its length in four bytes, its elements, and a NUL byte.
    elements = b"".join(part[4:-1] for part in parts)
    return RawBSONDocument((4 + len(elements) + 1).to_bytes(4, "little") + elements + b"\0")
