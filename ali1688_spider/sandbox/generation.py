"""Makes products from their number and a step of time alone: the same at every run.

The shape follows from the number (:class:`.products.Traits`), so that any hundred products in a
row show every shape that real answers have; what they cost and how many are left also follow from
the step.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ali1688_spider.sandbox.products import (
    BY_QUANTITY,
    BY_QUANTITY_WITH_SKUS,
    BY_SKU,
    BY_SKU_AND_QUANTITY,
    FIRST_ID,
    UNLIMITED_STOCK,
    Product,
    Sku,
    Tier,
    Traits,
)
from ali1688_spider.sandbox.words import (
    CATEGORIES,
    COLOURS,
    COMPANIES,
    MATERIALS,
    REGIONS,
    SIZES,
    STATUSES,
    STYLES,
    Category,
)

_MASK = 2**64 - 1
_MAGNITUDES = (100, 1_000, 1_000, 10_000)
_PRICE_PERIODS = (1, 2, 3, 5, 8, 13, 34, 0)
_STOCK_PERIODS = (1, 1, 2, 5, 0)
_CENT, _MILLE = Decimal("0.01"), Decimal("0.001")
_TIER_PERCENTS = (120, 110, 100)


def mix(*parts: int) -> int:
    """Return a 64-bit number that looks random and depends on *parts* alone."""
    state = 0x9E3779B97F4A7C15
    for part in parts:
        state = (state ^ part) * 0xBF58476D1CE4E5B9 & _MASK
        state ^= state >> 29
    state = state * 0x94D049BB133111EB & _MASK
    return state ^ (state >> 31)


def category_of(number: int) -> Category:
    """Return the category of the product of this number."""
    return CATEGORIES[mix(number, 1) % len(CATEGORIES)]


def names_of(number: int) -> tuple[str, str]:
    """Return the Chinese and the English name of the product of this number."""
    seed = mix(number, 2)
    nouns = category_of(number).nouns
    words = (
        STYLES[seed % len(STYLES)],
        MATERIALS[(seed >> 8) % len(MATERIALS)],
        nouns[(seed >> 16) % len(nouns)],
    )
    chinese, english = zip(*words, strict=True)
    model = f"{chr(65 + number % 26)}-{number}"
    return f"{''.join(chinese)} {model}", f"{' '.join(english)} {model}"


def price_of(number: int, step: int) -> Decimal:
    """Return the lowest price of the product of this number at a step of time, in CNY."""
    seed = mix(number, 3)
    smallest = _MAGNITUDES[seed % len(_MAGNITUDES)]
    base = smallest + (seed >> 8) % (9 * smallest)
    period = _PRICE_PERIODS[(seed >> 40) % len(_PRICE_PERIODS)]
    percent = 80 + mix(number, 4, step // period if period else 0) % 41
    if number % 23 == 9:
        return (Decimal(base * percent) / 10_000).quantize(_MILLE)
    return (Decimal(base * percent) / 10_000).quantize(_CENT)


def stock_of(number: int, step: int) -> int:
    """Return how many of the product of this number are left at a step of time."""
    if Traits.of(number).unlimited:
        return UNLIMITED_STOCK
    period = _STOCK_PERIODS[mix(number, 5) % len(_STOCK_PERIODS)]
    return mix(number, 6, step // period if period else 0) % 5_000


def make_product(number: int, step: int, changes: dict[str, Any]) -> Product:
    """Return the product of a number at a step of time.

    Args:
        number: From 1; its id is 610000000000 more.
        step: The step of time.
        changes: ``name``, ``price``, ``stock`` and ``status`` that were set from outside.
    """
    traits, seed = Traits.of(number), mix(number, 7)
    names = names_of(number)
    price = changes.get("price", price_of(number, step))
    stock = changes.get("stock", stock_of(number, step))
    skus = _make_skus(number, traits, price, stock)
    min_order_quantity = (1, 2, 5, 10)[seed % 4]
    tiers = _make_tiers(price, min_order_quantity, 1 + (seed >> 4) % 3, traits)
    odd_status = STATUSES[seed % len(STATUSES)] if number % 29 == 13 else "published"
    return Product(
        number=number,
        product_id=FIRST_ID - 1 + number,
        traits=traits,
        category=category_of(number),
        name=changes.get("name", names[0]),
        english_name=names[1],
        status=changes.get("status", odd_status),
        price=price,
        price_max=_highest(traits.quote_type, tiers, skus),
        tiers=tiers,
        skus=skus,
        stock=stock,
        min_order_quantity=min_order_quantity,
        attributes=_make_attributes(seed, traits),
        images=tuple(f"img/ibank/O1CN01{seed % 10**8:08d}_{index}.jpg" for index in range(3)),
        supplier=COMPANIES[(seed >> 16) % len(COMPANIES)],
        login_id=f"supplier{seed % 500:03d}",
        region=REGIONS[(seed >> 24) % len(REGIONS)],
        sold=(seed >> 32) % 20_000,
    )


def _make_tiers(price: Any, first: int, count: int, traits: Traits) -> tuple[Tier, ...]:
    percents = _TIER_PERCENTS[-count:]
    return tuple(
        Tier(first * 10**index, _percent(price, percent, traits))
        for index, percent in enumerate(percents)
    )


def _make_skus(number: int, traits: Traits, price: Any, stock: Any) -> tuple[Sku, ...]:
    if traits.quote_type == BY_QUANTITY:
        return ()
    count = 2 + number % 5
    skus = []
    for index in range(count):
        lowest = price
        if traits.quote_type in (BY_SKU, BY_SKU_AND_QUANTITY):
            lowest = _percent(price, 100 + 5 * index, traits)
        tiers = (
            _make_tiers(lowest, 1, 2, traits) if traits.quote_type == BY_SKU_AND_QUANTITY else ()
        )
        sku_id = (FIRST_ID - 1 + number) * 10 + index
        sku = Sku(
            sku_id=sku_id,
            spec_id=f"{mix(sku_id):016x}{mix(sku_id, 1):016x}",
            colour=COLOURS[index % len(COLOURS)],
            size=SIZES[index % len(SIZES)],
            price=lowest,
            tiers=tiers,
            stock=_share(stock, count, index),
            image=f"img/ibank/sku_{sku_id}.jpg",
        )
        skus.append(sku)
    return tuple(skus)


def _make_attributes(seed: int, traits: Traits) -> tuple[tuple[int, str, str], ...]:
    material = MATERIALS[seed % len(MATERIALS)][0]
    attributes = [
        (287, "材质", material),
        (3216, "颜色", COLOURS[seed % 6]),
        (2176, "品牌", "晨星"),
    ]
    if traits.repeated:
        attributes += [(3216, "颜色", COLOURS[(seed + more) % 6]) for more in (1, 2)]
    return tuple(attributes)


def _highest(quote_type: int, tiers: tuple[Tier, ...], skus: tuple[Sku, ...]) -> Any:
    if quote_type in (BY_QUANTITY, BY_QUANTITY_WITH_SKUS):
        return tiers[0].price
    if quote_type == BY_SKU:
        return skus[-1].price
    return skus[-1].tiers[0].price


def _percent(price: Any, percent: int, traits: Traits) -> Any:
    """Return a share of *price*; one that is no amount stays what it is."""
    if percent == 100 or not isinstance(price, Decimal):
        return price
    return (price * percent / 100).quantize(_MILLE if traits.fine else _CENT)


def _share(stock: Any, count: int, index: int) -> Any:
    """Return one SKU's part of *stock*; a stock that is no usual count is not split."""
    if type(stock) is not int or not 0 <= stock < UNLIMITED_STOCK:
        return stock
    return stock // count + (index < stock % count)
