from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.sandbox.product_facts import UNLIMITED_STOCK
from ali1688_spider.sandbox.sandbox_product import SandboxProduct
from ali1688_spider.sandbox.shapes import router_product
from ali1688_spider.sandbox.shapes.offers import offer
from ali1688_spider.sandbox.shapes.product_info import full_product, simple_product
from tests.sandbox.caller import CROSS, FIRST, OFFER, PRODUCT, SIMPLE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.sandbox.caller import Caller

HUNDRED = [SandboxProduct(number, 0, {}) for number in range(1, 101)]


def made(**traits: Any) -> Iterator[SandboxProduct]:
    for product in HUNDRED:
        if all(getattr(product.traits, name) == value for name, value in traits.items()):
            yield product


def first(**traits: Any) -> SandboxProduct:
    return next(made(**traits))


def plain(quote_type: int) -> dict[str, Any]:
    product = first(quote_type=quote_type, private=False, texts=False, sparse=False)
    info: dict[str, Any] = full_product(product)["productInfo"]
    return info


def described(number: int, step: int) -> tuple[Any, ...]:
    product = SandboxProduct(number, step, {})
    return full_product(product), offer(product), router_product(product)


def test_the_same_number_makes_the_same_product() -> None:
    assert described(7, 3) == described(7, 3)
    assert described(7, 3) != described(8, 3)


@pytest.mark.parametrize(
    "traits",
    [
        *({"quote_type": quote_type, "private": True} for quote_type in range(4)),
        *({"image_style": style} for style in range(3)),
        {"texts": True, "sparse": True},
        {"repeated": True},
        {"extended": True},
        {"fine": True},
        {"unlimited": True},
        {"display_names": True},
        *({"retail": True, "quote_type": quote_type} for quote_type in range(4)),
        {"campaign": True},
        {"dropship": True},
        {"video": True},
        {"weighed": True, "absurd": True},
        {"weighed": False},
    ],
)
def test_a_hundred_products_show_every_shape(traits: dict[str, Any]) -> None:
    assert list(made(**traits))


def test_price_by_quantity() -> None:
    info = plain(0)
    assert info["skuInfos"] == []
    ranges = info["saleInfo"]["priceRanges"]
    assert info["saleInfo"]["quoteType"] == 0
    assert [row["startQuantity"] for row in ranges] == sorted(
        row["startQuantity"] for row in ranges
    )
    prices = [row["price"] for row in ranges]
    assert prices == sorted(prices, reverse=True)


def test_price_by_sku() -> None:
    info = plain(1)
    assert info["saleInfo"]["priceRanges"] == []
    assert all(sku["price"] > 0 and sku["priceRange"] == [] for sku in info["skuInfos"])


def test_price_by_quantity_with_skus() -> None:
    info = plain(2)
    assert info["saleInfo"]["priceRanges"]
    assert {sku["price"] for sku in info["skuInfos"]} == {None}


def test_price_by_sku_and_quantity() -> None:
    info = plain(3)
    assert info["saleInfo"]["priceRanges"] == []
    assert all(len(sku["priceRange"]) == 2 and sku["price"] is None for sku in info["skuInfos"])


def test_the_lowest_of_all_prices_is_the_price() -> None:
    for product in HUNDRED:
        tiers = [tier.price for tier in product.tiers]
        in_skus = [tier.price for sku in product.skus for tier in sku.tiers]
        in_skus += [sku.price for sku in product.skus]
        told = tiers if product.traits.quote_type in (0, 2) else in_skus
        assert min(told) == product.price
        assert max(product.price, *told) >= product.price_max >= product.price


def test_stock_is_spread_over_the_skus() -> None:
    for product in made(unlimited=False):
        if product.skus:
            assert sum(sku.stock for sku in product.skus) == product.stock
    for product in made(unlimited=True):
        assert {product.stock, *(sku.stock for sku in product.skus)} == {UNLIMITED_STOCK}


def test_a_private_price_is_told_nowhere() -> None:
    for product in made(private=True):
        info = full_product(product)["productInfo"]
        assert info["saleInfo"]["priceAuth"] in (True, "true")
        assert info["saleInfo"]["priceRanges"] == []
        assert all(sku["price"] is None and sku["priceRange"] == [] for sku in info["skuInfos"])
        assert info["referencePrice"] == ""
        assert router_product(product)["result"]["product"]["price"] is None


def test_numbers_are_texts_for_some() -> None:
    product = first(texts=True, private=False, sparse=False)
    info = full_product(product)["productInfo"]
    assert info["productID"] == str(product.product_id)
    assert info["saleInfo"]["amountOnSale"] == str(product.stock)
    assert info["saleInfo"]["mixWholeSale"] == "true"
    assert router_product(product)["result"]["product"]["price"] == f"{product.price:f}"


def test_images_are_relative_absolute_or_without_scheme() -> None:
    starts = []
    for style in range(3):
        info = full_product(first(image_style=style, sparse=False))["productInfo"]
        starts.append(info["image"]["images"][0].partition("img/ibank")[0])
    assert starts == ["", "https://cbu01.alicdn.com/", "//cbu01.alicdn.com/"]


def test_attributes_repeat_fields_miss_and_others_appear() -> None:
    repeated = full_product(first(repeated=True, sparse=False))["productInfo"]
    assert [row["attributeName"] for row in repeated["attributes"]].count("颜色") == 3
    sparse = full_product(first(sparse=True))["productInfo"]
    assert "categoryName" not in sparse
    assert "image" not in sparse
    extended = full_product(first(extended=True))["productInfo"]
    assert extended["bizType"] == 1


def test_the_simple_api_tells_a_reference_price_alone() -> None:
    seen = set()
    for product in made(sparse=False):
        info = simple_product(product)["productInfo"]
        assert "saleInfo" not in info
        assert all("price" not in sku and "priceRange" not in sku for sku in info["skuInfos"])
        price = info["referencePrice"]
        seen.add("empty" if not price else "range" if "-" in price else "one")
        if price:
            assert price.split("-")[0] == str(product.price)
    assert seen == {"empty", "range", "one"}


def test_an_offer() -> None:
    product = first(quote_type=2, private=False, texts=False, sparse=False)
    answer = offer(product)["result"]
    assert answer["success"] == "true"
    told = answer["result"]
    assert told["offerId"] == product.product_id
    assert told["subjectTrans"] == product.english_name
    assert told["productSaleInfo"]["quoteType"] == 2
    assert told["productSaleInfo"]["priceRangeList"][-1]["price"] == float(product.price)
    assert told["productImage"]["images"][0].startswith("https://")
    assert {sku["price"] for sku in told["productSkuInfos"]} == {None}


def test_the_digits_of_an_amount_are_exact() -> None:
    for text in ("0.1", "12.34", "99999999.99", "0.035"):
        product = SandboxProduct(1, 0, {"price": Decimal(text)})
        assert repr(router_product(product)["result"]["product"]["price"]) == text
    product = SandboxProduct(1, 0, {"price": Decimal("123456789012345.678901")})
    assert router_product(product)["result"]["product"]["price"] == "123456789012345.678901"


@pytest.mark.parametrize(
    ("api", "params"),
    [
        (PRODUCT, {"productID": str(FIRST), "webSite": "1688"}),
        (SIMPLE, {"productID": str(FIRST), "webSite": "1688"}),
        (CROSS, {"productId": str(FIRST)}),
        (OFFER, {"offerDetailParam": {"offerId": FIRST, "country": "en"}}),
        (OFFER, {"offerDetailParam": {"offerId": str(FIRST), "country": "en"}}),
    ],
)
async def test_every_api_answers_the_product(
    gateway: Caller, api: str, params: dict[str, Any]
) -> None:
    await gateway.control(f"products/{FIRST}", {"related": True})
    answer = (await gateway.param2(api, **params)).json
    product = answer["productInfo"] if "productInfo" in answer else answer["result"]["result"]
    assert product["subject"] == HUNDRED[0].name


async def test_every_nth_product_is_gone(start: Callable[..., Awaitable[Caller]]) -> None:
    gateway = await start(products=10, removed=3)
    gone = [
        number
        for number in range(1, 12)
        if "errMsg" in (await gateway.product("param2", number)).json
    ]
    assert gone == [3, 6, 9, 11]


async def test_prices_and_stock_move_with_the_steps_alone(
    start: Callable[..., Awaitable[Caller]],
) -> None:
    gateway = await start()

    async def seen() -> list[tuple[str, int, str]]:
        told = []
        for number in range(1, 41):
            answer = await gateway.control(f"products/{FIRST - 1 + number}", method="GET")
            told.append((answer["price"], answer["stock"], answer["name"]))
        return told

    before = await seen()
    assert await seen() == before
    await gateway.control("settings", {"step": 1})
    after = await seen()
    changes = [one != other for one, other in zip(before, after, strict=True)]
    assert set(changes) == {True, False}  # some products change, others do not
    assert [name for *_, name in before] == [name for *_, name in after]
    assert any(one[0] != other[0] for one, other in zip(before, after, strict=True))
    assert any(one[1] != other[1] for one, other in zip(before, after, strict=True))
    await gateway.control("settings", {"step": 0})
    assert await seen() == before


async def test_steps_follow_the_clock(start: Callable[..., Awaitable[Caller]]) -> None:
    gateway = await start(drift=100_000.0)
    before = (await gateway.status())["step"]
    await gateway.control("settings", {"clock_skew": 1_000_000})
    assert (await gateway.status())["step"] == before + 10
