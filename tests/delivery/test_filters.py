from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ali1688_spider.delivery.filters import FilteredChannel
from tests.delivery.observed import price_change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ali1688_spider.storage.change import Change


class Receiver:
    def __init__(self) -> None:
        self.told: list[list[int]] = []

    async def deliver(self, changes: Sequence[Change]) -> bool:
        self.told.append([change.product_id for change in changes])
        return False


async def test_by_field_and_percentage() -> None:
    receiver = Receiver()
    filtered = FilteredChannel(receiver, fields=["price", "status"], min_percent=5)
    taken = await filtered.deliver(
        [
            price_change(1, percent=-4.99),
            price_change(2, percent=-5.0),
            price_change(3, percent=5.0),
            price_change(4, percent=None),
            replace(price_change(5), field="stock"),
            replace(price_change(6), field="status", old="published", new="removed", percent=None),
        ]
    )
    assert not taken
    assert await filtered.deliver([price_change(7, percent=1.0)])
    assert receiver.told == [[2, 3, 4, 6]]
