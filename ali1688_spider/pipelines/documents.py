"""From a product to the document that MongoDB keeps."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import bson
from bson import Decimal128
from bson.codec_options import CodecOptions, TypeEncoder, TypeRegistry

if TYPE_CHECKING:
    from ali1688_spider.items import Product

MAX_DOCUMENT_BYTES = 1024 * 1024
"""A document has to stay below this; MongoDB itself takes 16 MiB."""


@lru_cache(maxsize=8192)  # making one takes 4 µs, and prices repeat within a product
def _decimal128(text: str) -> Decimal128:
    return Decimal128(text)


class _DecimalEncoder(TypeEncoder):
    python_type = Decimal

    def transform_python(self, value: Any) -> Decimal128:
        return _decimal128(str(value))  # by its text: 12.5 and 12.50 are equal as keys


CODEC_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True, type_registry=TypeRegistry([_DecimalEncoder()])
)
"""How documents are written: ``Decimal`` as Decimal128, times as UTC in milliseconds."""


def encode_document(product: Product) -> bytes:
    """Return the BSON document of the fields that *product* was told, with its ``_id``.

    Raises:
        bson.errors.BSONError, ValueError, ArithmeticError: BSON cannot hold one of the values; no
            product that passed validation has any.
    """
    told = product.model_fields_set
    fields = {name: value for name, value in product.__dict__.items() if name in told}
    return bson.encode({"_id": product.product_id, **fields}, codec_options=CODEC_OPTIONS)
