"""The answer that a product is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.items import REMOVED

if TYPE_CHECKING:
    from ali1688_spider.gateway.parsing.values import Fields


def removed_fields(product_id: int) -> Fields:
    """Return what is known of a product that the platform no longer has."""
    return {"product_id": product_id, "status": REMOVED}
