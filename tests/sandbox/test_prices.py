"""Each price with its meaning: wholesale, one piece, campaign, drop-shipping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.sandbox.sandbox_product import SandboxProduct
from ali1688_spider.sandbox.shapes.offers import offer
from ali1688_spider.sandbox.shapes.product_info import full_product
from tests.sandbox.caller import FIRST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox.caller import Caller

EXAMPLE = 66  # the product with the prices of the documentation


def offers(**traits: Any) -> Iterator[tuple[SandboxProduct, dict[str, Any]]]:
    for number in range(1, 201):
        product = SandboxProduct(number, 0, {})
        if all(getattr(product.traits, name) == value for name, value in traits.items()):
            yield product, offer(product)["result"]["result"]


async def test_the_example_of_the_documentation(gateway: Caller) -> None:
    for step in (0, 50):
        await gateway.control("settings", {"step": step})
        told = await gateway.offer(EXAMPLE)
        assert told["minOrderQuantity"] == 1
        sale = told["productSaleInfo"]
        assert sale["retailPrice"] == "4.80"
        (row,) = sale["priceRangeList"]
        assert (row["startQuantity"], row["price"], row["promotionPrice"]) == (2, 4.05, None)
        prices = {(sku["retailPrice"], sku["price"]) for sku in told["productSkuInfos"]}
        assert prices == {("4.80", 4.05)}
    truth = await gateway.control(f"products/{FIRST - 1 + EXAMPLE}", method="GET")
    assert (truth["price"], truth["retail_price"]) == ("4.05", "4.80")
    assert truth["tiers"] == [{"min_quantity": 2, "price": "4.05"}]


def test_in_the_model_of_2026_one_piece_costs_more_than_two() -> None:
    for product, told in offers(retail=True, private=False):
        sale = told["productSaleInfo"]
        retail = float(sale["retailPrice"])
        assert all(int(row["startQuantity"]) >= 2 for row in sale["priceRangeList"])
        assert all(float(row["price"]) < retail for row in sale["priceRangeList"])
        for sku in told["productSkuInfos"]:
            assert float(sku["price"]) < float(sku["retailPrice"])
        assert int(told["minOrderQuantity"]) == 1
        assert product.retail_price


def test_the_old_model_tells_none_of_the_new_prices() -> None:
    for _, told in offers(retail=False, campaign=False, dropship=False):
        sale, skus = told["productSaleInfo"], told["productSkuInfos"]
        assert not {"retailPrice", "fenxiaoSaleInfo"} & set(sale)
        assert not any({"retailPrice", "fenxiaoPriceInfo"} & set(sku) for sku in skus)
        assert {row["promotionPrice"] for row in [*sale["priceRangeList"], *skus]} <= {None}
        assert str(told["promotionModel"]["hasPromotion"]).lower() == "false"


def test_a_campaign_stands_beside_the_list_prices() -> None:
    for product, told in offers(campaign=True, private=False):
        rows = told["productSaleInfo"]["priceRangeList"] + [
            sku for sku in told["productSkuInfos"] if sku["price"] is not None
        ]
        assert rows
        assert all(float(row["promotionPrice"]) < float(row["price"]) for row in rows)
        assert str(told["promotionModel"]["hasPromotion"]).lower() == "true"
        without = offer(SandboxProduct(product.number, 0, {"promotion_price": None}))
        ranges = without["result"]["result"]["productSaleInfo"]["priceRangeList"]
        assert [row["price"] for row in ranges] == [
            row["price"] for row in told["productSaleInfo"]["priceRangeList"]
        ]


def test_drop_shipping_has_its_own_prices() -> None:
    for _, told in offers(dropship=True, private=False):
        sale = told["productSaleInfo"]["fenxiaoSaleInfo"]
        assert set(sale) == {"startQuantity", "onePiecePrice", "offerPrice", "onePieceFreePostage"}
        assert float(sale["offerPrice"]) < float(sale["onePiecePrice"])
        for sku in told["productSkuInfos"]:
            assert set(sku["fenxiaoPriceInfo"]) == {"onePiecePrice", "offerPrice"}
            assert sku["consignPrice"] is None


def test_a_private_product_tells_no_price_at_all() -> None:
    for _, told in offers(private=True):
        sale = told["productSaleInfo"]
        assert sale["priceRangeList"] == []
        assert sale.get("retailPrice") is None
        for sku in told["productSkuInfos"]:
            assert [sku["price"], sku["promotionPrice"], sku.get("retailPrice")] == [None] * 3


async def test_a_campaign_begins_and_ends(gateway: Caller) -> None:
    path = f"products/{FIRST - 1 + EXAMPLE}"

    async def told() -> tuple[Any, Any, Any]:
        page = await gateway.offers(keyword="杯子1000", priceStart="4.05", priceEnd="4.05")
        (row,) = (row for row in page["data"] if int(row["offerId"]) == FIRST - 1 + EXAMPLE)
        sale = (await gateway.offer(EXAMPLE))["productSaleInfo"]
        (tier,) = sale["priceRangeList"]
        return row["priceInfo"]["promotionPrice"], tier["promotionPrice"], tier["price"]

    assert await told() == (None, None, 4.05)
    truth = await gateway.control(path, {"promotion_price": "3.20"})
    assert (truth["price"], truth["promotion_price"]) == ("4.05", "3.20")
    assert {sku["promotion_price"] for sku in truth["skus"]} == {"3.20"}
    assert await told() == ("3.20", 3.2, 4.05)
    await gateway.control(path, {"promotion_price": None})
    assert await told() == (None, None, 4.05)


async def test_tiers_keep_their_proportion_in_a_campaign(gateway: Caller) -> None:
    number = next(
        product.number
        for product, _ in offers(quote_type=0, private=False, texts=False)
        if len(product.tiers) > 1 and product.promotion_price is None
    )
    truth = await gateway.control(f"products/{FIRST - 1 + number}", {"price": 10})
    await gateway.control(f"products/{FIRST - 1 + number}", {"promotion_price": 5})
    rows = (await gateway.offer(number))["productSaleInfo"]["priceRangeList"]
    assert rows[-1]["promotionPrice"] == 5
    for row, tier in zip(rows, truth["tiers"], strict=True):
        assert row["promotionPrice"] == float(tier["price"]) / 2


async def test_the_price_of_one_piece_can_be_set(gateway: Caller) -> None:
    truth = await gateway.control("products/610000000003", {"price": 10, "retail_price": 12.5})
    assert truth["retail_price"] == "12.5"
    assert [tier["min_quantity"] for tier in truth["skus"][0]["tiers"]] == [2, 20]
    assert [sku["retail_price"] for sku in truth["skus"]][:2] == ["12.5", "13.12"]
    truth = await gateway.control(f"products/{FIRST - 1 + EXAMPLE}", {"retail_price": None})
    assert truth["retail_price"] is None
    assert truth["tiers"] == [{"min_quantity": 1, "price": "4.05"}]
    assert "retailPrice" not in (await gateway.offer(EXAMPLE))["productSaleInfo"]


@pytest.mark.parametrize("price", ["NaN", "abc", None, {"a": 1}, True, "1e40", 0, -1])
@pytest.mark.parametrize("name", ["price", "promotion_price", "retail_price"])
async def test_impossible_prices_are_passed_on(gateway: Caller, name: str, price: Any) -> None:
    for number in (3, 7, 11, 21, 44, EXAMPLE):
        await gateway.control(f"products/{FIRST - 1 + number}", {name: price})
        assert (await gateway.offer(number))["offerId"]
    assert (await gateway.offers(keyword="杯子1000", sort='{"price":"asc"}'))["data"]


def test_other_apis_know_the_wholesale_price_alone() -> None:
    info = full_product(SandboxProduct(EXAMPLE, 0, {}))["productInfo"]
    assert info["saleInfo"]["priceRanges"] == [{"startQuantity": 2, "price": 4.05}]
    assert {sku["retailPrice"] for sku in info["skuInfos"]} == {None}
