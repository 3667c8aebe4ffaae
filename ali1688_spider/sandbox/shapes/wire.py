"""How single values are written in an answer."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox.products import BY_QUANTITY, BY_QUANTITY_WITH_SKUS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ali1688_spider.sandbox.products import Product, Tier

Json = dict[str, Any]

IMAGE_HOST = "https://cbu01.alicdn.com/"
_IMAGE_PREFIXES = ("", IMAGE_HOST, "//cbu01.alicdn.com/")


class Wire:
    """How the values of one product are written."""

    def __init__(self, product: Product) -> None:
        self._texts = product.traits.texts
        self._image_prefix = _IMAGE_PREFIXES[product.traits.image_style]
        self._private = product.traits.private

    def number(self, value: Any) -> Any:
        """Return a count or an id; a text for some products."""
        return str(value) if self._texts and type(value) is int else value

    def money(self, value: Any) -> Any:
        """Return an amount whose digits in the JSON text are exact, None when it is private."""
        if self._private:
            return None
        if not isinstance(value, Decimal):
            return value
        number = float(value)
        exact = Decimal(repr(number)) == value
        return number if exact and not self._texts else f"{value:f}"

    def flag(self, value: bool) -> Any:  # noqa: FBT001  # the value itself
        """Return a boolean; a text for some products."""
        return str(value).lower() if self._texts else value

    def image(self, path: str) -> str:
        """Return an image's address: relative, absolute or without its scheme."""
        return self._image_prefix + path

    def tiers(self, tiers: Iterable[Tier]) -> list[Json]:
        """Return tiers of a price by quantity; none when it is private."""
        if self._private:
            return []
        return [
            {"startQuantity": self.number(tier.min_quantity), "price": self.money(tier.price)}
            for tier in tiers
        ]


def whole_tiers(product: Product) -> tuple[Tier, ...]:
    """Return the tiers of the whole product; none when its prices are those of its SKUs."""
    by_quantity = product.traits.quote_type in (BY_QUANTITY, BY_QUANTITY_WITH_SKUS)
    return product.tiers if by_quantity else ()
