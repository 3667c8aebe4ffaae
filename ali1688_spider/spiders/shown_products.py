"""Which products the searches of this process have shown already, and on which of their pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ali1688_spider.gateway.calls import ApiCall

MOST_SHOWN = 200_000
"""With more products than these, the oldest search is forgotten."""


class ShownProducts:
    """For each search, the products and the call that showed them first.

    What is forgotten is shown a second time, which costs work and no correctness.

    Args:
        most: How many products are remembered, over all searches.
    """

    def __init__(self, most: int = MOST_SHOWN) -> None:
        self._most = most
        self._searches: dict[str, dict[int, ApiCall]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def begin(self, search: str) -> None:
        """Forget what an earlier search of the same name has shown."""
        self._count -= len(self._searches.pop(search, {}))

    def first_call(self, search: str, product_id: int, call: ApiCall) -> ApiCall:
        """Return the call of this search that showed the product first; it may be this *call*."""
        shown = self._searches.setdefault(search, {})
        if product_id not in shown:
            shown[product_id] = call
            self._count += 1
            self._forget_oldest()
        return shown.get(product_id, call)

    def find(self, search: str, product_id: object) -> ApiCall | None:
        """Return the call of this search that showed the product first; None when none did."""
        shown = self._searches.get(search, {})
        return shown.get(product_id) if isinstance(product_id, int) else None

    def _forget_oldest(self) -> None:
        while self._count > self._most:
            oldest, shown = next(iter(self._searches.items()))
            if len(self._searches) > 1:
                self.begin(oldest)
            else:
                del shown[next(iter(shown))]
                self._count -= 1
