"""A product at a step of time, with what was set of it from outside: its prices, its SKUs.

One product has several prices, each with a meaning of its own: ``price`` is the lowest wholesale
price, that of the last of its tiers; ``retail_price`` is what one piece costs (the model of 2026,
in which the tiers begin at two pieces), None in the old model; ``promotion_price`` is what a
campaign makes of ``price``, None without one; ``dropship_price`` is that of one piece sent to a
buyer's customer, None where the product cannot be had so.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

from ali1688_spider.sandbox import product_facts as facts
from ali1688_spider.sandbox.product_facts import (
    BY_QUANTITY,
    BY_QUANTITY_WITH_SKUS,
    BY_SKU_AND_QUANTITY,
    CENT,
    COLOURS,
    FIRST_ID,
    MATERIALS,
    MILLE,
    RETAIL_EXAMPLE,
    SIZES,
    UNLIMITED_STOCK,
    SandboxParcel,
    SandboxSales,
    SandboxSeller,
    Traits,
)

_TIER_PERCENTS = (120, 110, 100)
_RETAIL_PERCENT = Decimal("118.5")  # of the highest wholesale price
_PROMOTION_PERCENT, _DROPSHIP_PERCENT = 85, 112


class Tier(NamedTuple):
    """A price per unit (CNY) from a quantity on."""

    min_quantity: int
    price: Any


class SandboxProduct:
    """The product of a number (from 1) at a step of time.

    ``name``, ``stock``, ``status`` and the prices may be set by *changes*, to values of any type; a
    price is otherwise a Decimal (CNY per unit), and a stock a count. *modified_at* is when it last
    changed, in seconds since 1970; None for what its number tells.
    """

    def __init__(
        self,
        number: int,
        step: int,
        changes: Mapping[str, Any],
        modified_at: float | None = None,
    ) -> None:
        seed, traits = facts.mix(number, 7), Traits(number)
        self.number, self.traits = number, traits
        self.product_id = FIRST_ID - 1 + number
        self.category = facts.category_of(number)
        name, self.english_name = facts.names_of(number)
        odd_status = facts.STATUSES[seed % len(facts.STATUSES)]
        self.name = changes.get("name", name)
        self.status = changes.get("status", odd_status if number % 29 == 13 else "published")
        self.stock = changes.get("stock", facts.stock_of(number, step))
        self.listed_at = facts.listed_at(number)
        self.modified_at = facts.modified_at(number) if modified_at is None else modified_at
        self._set_prices(changes, facts.price_of(number, step), 1 + (seed >> 4) % 3)
        count = 0 if traits.quote_type == BY_QUANTITY else 2 + number % 5
        self.skus = tuple(SandboxSku(self, index, count) for index in range(count))
        tiers = self.tiers if self.by_quantity else self.skus[-1].tiers
        self.price_max = tiers[0].price if tiers else self.skus[-1].price  # of all wholesale ones
        colours = [COLOURS[(seed + more) % 6] for more in range(3 if traits.repeated else 1)]
        self.attributes = [(287, ("材质", "Material"), MATERIALS[seed % len(MATERIALS)])]
        self.attributes += [(3216, ("颜色", "Colour"), colours[0])]
        self.attributes += [(2176, ("品牌", "Brand"), ("晨星", "Morning Star"))]
        self.attributes += [(3216, ("颜色", "Colour"), colour) for colour in colours[1:]]
        self.images = [f"img/ibank/{facts.image_key(number)}_{index}.jpg" for index in range(3)]
        self.region = facts.REGIONS[(seed >> 24) % len(facts.REGIONS)]

    @cached_property
    def sales(self) -> SandboxSales:
        """How often it was sold."""
        return SandboxSales(self.number)

    @cached_property
    def seller(self) -> SandboxSeller:
        """Who sells it."""
        return SandboxSeller(self.number)

    @cached_property
    def parcel(self) -> SandboxParcel:
        """What is told of its parcel."""
        return SandboxParcel(self.number)

    def _set_prices(self, changes: Mapping[str, Any], price: Decimal, tier_count: int) -> None:
        traits = self.traits
        self.price = changes.get("price", price)
        self.by_quantity = traits.quote_type in (BY_QUANTITY, BY_QUANTITY_WITH_SKUS)
        count = 1 if self.number == RETAIL_EXAMPLE else tier_count
        highest = self.share_of_price(
            self.price, _TIER_PERCENTS[-count if self.by_quantity else -1]
        )
        retail = self.share_of_price(highest, _RETAIL_PERCENT) if traits.retail else None
        self.retail_price = changes.get("retail_price", retail)
        is_retail = self.retail_price is not None
        self.min_order_quantity = 1 if is_retail else facts.least_quantity(self.number)
        first = 2 if is_retail else self.min_order_quantity
        self.tiers = self.make_tiers(self.price, first, count)
        promotion = self.share_of_price(self.price, _PROMOTION_PERCENT)
        self.promotion_price = changes.get(
            "promotion_price", promotion if traits.campaign else None
        )
        dropship = self.share_of_price(self.price, _DROPSHIP_PERCENT)
        self.dropship_price = dropship if traits.dropship else None

    def share_of_price(self, price: Any, percent: int | Decimal) -> Any:
        """Return a share of *price*; one that is no amount stays what it is."""
        if percent == 100 or not isinstance(price, Decimal):
            return price
        return (price * percent / 100).quantize(MILLE if self.traits.fine else CENT)

    def make_tiers(self, price: Any, first: int, count: int) -> tuple[Tier, ...]:
        """Return so many tiers, from a quantity on, of which *price* is the lowest."""
        prices = [self.share_of_price(price, percent) for percent in _TIER_PERCENTS[-count:]]
        return tuple(Tier(first * 10**index, price) for index, price in enumerate(prices))

    def promotion_of(self, price: Any) -> Any:
        """Return what the campaign makes of one of the wholesale prices; None without one."""
        amounts = (price, self.price, self.promotion_price)
        if price == self.price or not all(isinstance(each, Decimal) for each in amounts):
            return self.promotion_price
        return (price * self.promotion_price / self.price).quantize(MILLE)


class SandboxSku:
    """One of the *count* variants of a product; ``price`` is the lowest of its tiers."""

    def __init__(self, product: SandboxProduct, index: int, count: int) -> None:
        quote_type, stock = product.traits.quote_type, product.stock
        self.sku_id = product.product_id * 10 + index
        self.spec_id = f"{facts.mix(self.sku_id):016x}{facts.mix(self.sku_id, 1):016x}"
        self.cargo_number = f"C{product.number}-{index}"
        self.colour, self.size = COLOURS[index % len(COLOURS)], SIZES[index % len(SIZES)]
        self.image = f"img/ibank/sku_{self.sku_id}.jpg"
        percent = 100 if quote_type == BY_QUANTITY_WITH_SKUS else 100 + 5 * index
        self.price = product.share_of_price(product.price, percent)
        self.retail_price = product.share_of_price(product.retail_price, percent)
        self.promotion_price = product.share_of_price(product.promotion_price, percent)
        self.dropship_price = product.share_of_price(product.dropship_price, percent)
        first = 1 if product.retail_price is None else 2
        by_both = quote_type == BY_SKU_AND_QUANTITY
        self.tiers = product.make_tiers(self.price, first, 2) if by_both else ()
        # Its part of the stock; a stock that is no usual count is not split.
        usual = type(stock) is int and 0 <= stock < UNLIMITED_STOCK
        self.stock = stock // count + (index < stock % count) if usual else stock
