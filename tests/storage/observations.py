"""Observations of products, for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson import Decimal128

from ali1688_spider.storage.observation import Observation

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """The time so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def observation(product_id: int, seconds: float, **set_fields: Any) -> Observation:
    """A response with the product's id and *set_fields*; a price is given as text."""
    if "price" in set_fields:
        set_fields["price"] = Decimal128(set_fields["price"])
    fields = {"product_id": product_id, **set_fields}
    return Observation(product_id, after(seconds), bson.encode(fields))
