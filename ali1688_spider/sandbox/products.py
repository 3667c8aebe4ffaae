"""What a product is, and in which shapes products come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ali1688_spider.sandbox.words import Category

FIRST_ID = 610_000_000_001
UNLIMITED_STOCK = 2_147_483_646
BY_QUANTITY, BY_SKU, BY_QUANTITY_WITH_SKUS, BY_SKU_AND_QUANTITY = range(4)


@dataclass(frozen=True, slots=True)
class Traits:
    """How the answers about a product look; each follows from the product's number.

    Attributes:
        quote_type: Where its prices are: 0 to 3 as the platform counts them.
        private: Its price is not for everybody: answered without.
        texts: Its numbers and booleans are texts.
        image_style: 0: relative, 1: absolute, 2: starting with ``//``.
        repeated: An attribute has several values, under the same id.
        sparse: Documented fields are missing.
        extended: Undocumented fields are there.
        fine: Its prices have three decimals.
        unlimited: Its stock is the number that means "unlimited".
        display_names: Attributes of its SKUs are named ``attributeDisplayName``.
    """

    quote_type: int
    private: bool
    texts: bool
    image_style: int
    repeated: bool
    sparse: bool
    extended: bool
    fine: bool
    unlimited: bool
    display_names: bool

    @classmethod
    def of(cls, number: int) -> Traits:
        """Return the traits of the product of this number."""
        return cls(
            quote_type=number % 4,
            private=number % 17 == 5,
            texts=number % 5 == 3,
            image_style=number % 3,
            repeated=number % 2 == 0,
            sparse=number % 7 == 4,
            extended=number % 7 == 2,
            fine=number % 23 == 9,
            unlimited=number % 19 == 11,
            display_names=number % 6 == 1,
        )


@dataclass(frozen=True, slots=True)
class Tier:
    """A price per unit (CNY) from a quantity on."""

    min_quantity: int
    price: Any


@dataclass(frozen=True, slots=True)
class Sku:
    """One variant of a product; ``price`` is the lowest of its tiers."""

    sku_id: int
    spec_id: str
    colour: str
    size: str
    price: Any
    tiers: tuple[Tier, ...]
    stock: Any
    image: str


@dataclass(frozen=True, slots=True)
class Product:
    """A product.

    ``name``, ``price``, ``stock`` and ``status`` are of any type when they were set from outside;
    a price is else a Decimal (CNY per unit), the lowest of all, and a stock a count.
    """

    number: int
    product_id: int
    traits: Traits
    category: Category
    name: Any
    english_name: str
    status: Any
    price: Any
    price_max: Any
    tiers: tuple[Tier, ...]
    skus: tuple[Sku, ...]
    stock: Any
    min_order_quantity: int
    attributes: tuple[tuple[int, str, str], ...]
    images: tuple[str, ...]
    supplier: str
    login_id: str
    region: str
    sold: int
