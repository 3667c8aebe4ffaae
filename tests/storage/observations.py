"""Answers about products, for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson import Decimal128

from ali1688_spider.storage.observation import Observation

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """A moment so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def observation(product_id: int, seconds: float, **told: Any) -> Observation:
    """An answer that tells the product's id and *told*; a price is given as text."""
    if "price" in told:
        told["price"] = Decimal128(told["price"])
    fields = {"product_id": product_id, **told}
    return Observation(product_id, after(seconds), bson.encode(fields))
