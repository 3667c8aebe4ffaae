"""Each price keeps its meaning: list, one piece, promotion, drop-shipping."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from tests.gateway.catalogued import (
    DETAIL,
    DROPSHIP,
    KEYWORD,
    PRODUCT_GET,
    read_page,
    read_product,
    sample,
)

FOUR_EIGHTY, FOUR_FIVE = Decimal("4.80"), Decimal("4.05")
TIERS = [{"min_quantity": 1, "price": FOUR_EIGHTY}, {"min_quantity": 2, "price": FOUR_FIVE}]


def detail(sale: dict[str, Any], *skus: dict[str, Any]) -> dict[str, Any]:
    product = {"offerId": 1, "productSaleInfo": sale, "productSkuInfos": list(skus)}
    return read_product(DETAIL, {"result": {"result": product}})


def test_one_piece_costs_the_retail_price_and_two_the_wholesale_price() -> None:
    fields = read_product(DETAIL, sample("detail_retail"))
    assert fields["price_tiers"] == TIERS
    assert (fields["price"], fields["price_max"]) == (FOUR_FIVE, FOUR_EIGHTY)
    assert fields["retail_price"] == FOUR_EIGHTY
    assert [sku["retail_price"] for sku in fields["skus"]] == [FOUR_EIGHTY, FOUR_EIGHTY]


def test_wholesale_from_the_first_piece_is_wholesale_from_the_second() -> None:
    ranges = [{"startQuantity": 1, "price": "4.05"}, {"startQuantity": 100, "price": "3.50"}]
    fields = detail({"quoteType": 0, "retailPrice": "4.80", "priceRangeList": ranges})
    assert fields["price_tiers"] == [*TIERS, {"min_quantity": 100, "price": Decimal("3.50")}]


@pytest.mark.parametrize("quote_type", [1, "1", None])
def test_the_retail_price_of_each_sku(quote_type: Any) -> None:
    first = {"skuId": 1, "price": "4.05", "retailPrice": "4.80"}
    second = {"skuId": 2, "price": "6.00", "retailPrice": "7.50"}
    fields = detail({"quoteType": quote_type}, first, second)
    assert [sku["price_tiers"] for sku in fields["skus"]] == [
        TIERS,
        [{"min_quantity": 1, "price": Decimal("7.50")}, {"min_quantity": 2, "price": Decimal(6)}],
    ]
    assert [sku["price"] for sku in fields["skus"]] == [FOUR_FIVE, Decimal(6)]
    assert (fields["price"], fields["price_max"]) == (FOUR_FIVE, Decimal("7.50"))
    assert fields["price_tiers"] == []
    assert fields["retail_price"] == FOUR_EIGHTY


def test_the_tiers_that_all_skus_share_are_the_product_s() -> None:
    sku = {"price": "4.05", "retailPrice": "4.80"}
    fields = detail({"quoteType": 1}, {"skuId": 1, **sku}, {"skuId": 2, **sku})
    assert fields["price_tiers"] == TIERS
    plain = {"skuId": 1, "price": "4.05"}
    assert detail({"quoteType": 1, "retailPrice": "4.80"}, plain)["price_tiers"] == TIERS


def test_of_the_old_model_nothing_is_guessed() -> None:
    ranges = [{"startQuantity": 2, "price": "4.05"}]
    fields = detail({"quoteType": 0, "priceRangeList": ranges})
    assert fields["price_tiers"] == [{"min_quantity": 2, "price": FOUR_FIVE}]
    assert "retail_price" not in fields


@pytest.mark.parametrize("retail", [None, "", "0", 0, "none", Decimal("NaN"), {}])
def test_no_retail_price_is_none(retail: Any) -> None:
    fields = detail({"retailPrice": retail}, {"skuId": 1, "price": "4.05", "retailPrice": retail})
    assert fields["skus"][0]["retail_price"] is None
    assert "retail_price" not in fields


def test_elsewhere_a_retail_price_is_what_the_seller_suggests() -> None:
    fields = read_product(DROPSHIP, sample("dropship_product"))
    assert "retail_price" not in fields
    assert (fields["price"], fields["price_max"]) == (Decimal("6.5"), Decimal("6.9"))
    fields = read_product(PRODUCT_GET, sample("product_info_by_sku"))
    assert fields["price_max"] == Decimal("21.50")


def test_a_campaign_changes_no_list_price() -> None:
    with_campaign = sample("detail_retail")
    without = copy.deepcopy(with_campaign)
    product = without["result"]["result"]
    product["productSaleInfo"]["priceRangeList"][0]["promotionPrice"] = ""
    product["productSkuInfos"][0]["promotionPrice"] = None
    before, during = (read_product(DETAIL, data) for data in (without, with_campaign))
    assert (before.pop("promotion_price"), during.pop("promotion_price")) == (None, Decimal("3.90"))
    assert during["skus"][0].pop("promotion_price") == Decimal("3.90")
    assert before["skus"][0].pop("promotion_price") is None
    assert before == during


def test_an_api_that_cannot_tell_promotions_says_nothing_of_them() -> None:
    assert "promotion_price" not in read_product(DROPSHIP, sample("dropship_product"))


def test_the_drop_shipping_price() -> None:
    fields = read_product(DETAIL, sample("detail_retail"))
    assert fields["dropship_price"] == Decimal("4.50")
    assert [sku["dropship_price"] for sku in fields["skus"]] == [Decimal("4.50"), Decimal("4.40")]


def test_a_consign_price_counts_where_it_is_all_there_is() -> None:
    fields = read_product(DROPSHIP, sample("dropship_product"))
    assert fields["dropship_price"] == Decimal("7.20")
    assert [sku["dropship_price"] for sku in fields["skus"]] == [Decimal("7.20"), Decimal("7.5")]
    only_sale = {"productInfo": {"productID": 1, "saleInfo": {"consignPrice": "7"}}}
    assert read_product(PRODUCT_GET, only_sale)["dropship_price"] == Decimal(7)


def test_private_prices_are_all_hidden() -> None:
    payload = sample("detail_retail")
    payload["result"]["result"]["productSaleInfo"]["priceAuth"] = "true"
    fields = read_product(DETAIL, payload)
    names = ("price", "price_max", "retail_price", "promotion_price", "dropship_price")
    assert {name: fields[name] for name in names} == dict.fromkeys(names)
    assert not {"4.05", "4.80", "3.90", "4.50"} & set(repr(fields).split("'"))


def test_the_prices_of_rows() -> None:
    umbrella, boots = read_page(KEYWORD, sample("keyword_query_full")).rows
    assert (umbrella["price"], umbrella["promotion_price"]) == (Decimal("9.90"), Decimal("8.80"))
    assert umbrella["dropship_price"] == Decimal("12.00")
    assert boots["price"] == Decimal("25.00")
    assert not {"promotion_price", "dropship_price", "retail_price"} & boots.keys()
