from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from tests.gateway.catalogued import OWN, PRODUCT_GET, read_page, read_product, sample

CHINA = timezone(timedelta(hours=8))


def tier(min_quantity: int, price: str) -> dict[str, Any]:
    return {"min_quantity": min_quantity, "price": Decimal(price)}


def sku(sku_id: int, attributes: dict[str, str], **values: Any) -> dict[str, Any]:
    names = ("price", "stock", "image", "retail_price", "promotion_price", "dropship_price")
    unknown: dict[str, Any] = {"price_tiers": [], **dict.fromkeys((*names, "cargo_number"))}
    return {"sku_id": sku_id, "attributes": attributes, **unknown, **values}


def test_price_by_quantity_without_skus() -> None:
    assert read_product(PRODUCT_GET, sample("product_info_by_quantity")) == {
        "product_id": 610000000010,
        "name": "不锈钢保温杯 500ml",
        "price": Decimal("12.50"),
        "price_max": Decimal("15.00"),
        "price_tiers": [tier(2, "15.00"), tier(100, "13.8"), tier(1000, "12.50")],
        "price_private": False,
        "stock": 3200,
        "unit": "个",
        "min_order_quantity": 2,
        "skus": [],
        "attributes": {"材质": ["不锈钢", "塑料"], "产地": ["浙江"], "1811": ["500"]},
        "images": [
            "https://cbu01.alicdn.com/img/ibank/2019/001/002/1000.jpg",
            "https://cbu01.alicdn.com/img/ibank/2019/1001.jpg",
            "https://img.alicdn.com/1002.jpg",
            "https://cbu01.alicdn.com/img/ibank/1003.jpg",
        ],
        "category_id": 1031910,
        "category_name": "保温杯",
        "supplier": "杯业旗舰店",
        "seller_id": "杯业旗舰店",
        "status": "published",
        "batch_number": 10,
        "weight_g": 350,
        "weight_source": "declared",
        "weight_suspect": False,
        "length_cm": 8.5,
        "width_cm": 8.5,
        "height_cm": 24.0,
        "ship_from": "浙江 永康",
        "listed_at": datetime(2018, 12, 13, 20, 16, 38, tzinfo=CHINA),
        "modified_at": datetime(2024, 3, 1, 10, 15, 30, tzinfo=CHINA),
    }


def test_price_by_sku() -> None:
    fields = read_product(PRODUCT_GET, sample("product_info_by_sku"))
    assert (fields["price"], fields["price_max"]) == (Decimal("19.90"), Decimal("21.50"))
    assert fields["price_tiers"] == []
    assert fields["stock"] == 150
    assert fields["supplier"] == "衣衣不舍"
    assert fields["skus"] == [
        sku(
            4000000000001,
            {"颜色": "白色", "尺码": "XL"},
            spec_id="b266e0726506185beaf205cbae88530d",
            price=Decimal("19.90"),
            stock=120,
            cargo_number="A-1",
            dropship_price=Decimal("25.00"),
            image="https://cbu01.alicdn.com/img/ibank/white.jpg",
        ),
        sku(
            4000000000002,
            {"颜色": "黑色", "尺码": "XXL"},
            spec_id="c266e0726506185beaf205cbae88530e",
            price=Decimal("21.50"),
            stock=30,
        ),
    ]


def test_skus_with_a_price_by_quantity_for_the_whole_product() -> None:
    fields = read_product(PRODUCT_GET, sample("product_info_skus_by_quantity"))
    assert (fields["price"], fields["price_max"]) == (Decimal("2.75"), Decimal("3.20"))
    assert fields["price_tiers"] == [tier(10, "3.20"), tier(500, "2.75")]
    assert fields["skus"] == [
        sku(4000000000011, {"颜色": "红色"}, spec_id="s11", stock=70),
        sku(4000000000012, {"颜色": "蓝色"}, spec_id="s12", stock=80),
    ]


def test_price_by_sku_and_quantity() -> None:
    fields = read_product(PRODUCT_GET, sample("product_info_by_sku_and_quantity"))
    assert (fields["price"], fields["price_max"]) == (Decimal("4.20"), Decimal("7.00"))
    assert fields["price_tiers"] == []
    assert [(sku["price"], sku["price_tiers"]) for sku in fields["skus"]] == [
        (Decimal("4.20"), [tier(1, "5.00"), tier(50, "4.20")]),
        (Decimal("6.10"), [tier(1, "7.00"), tier(50, "6.10")]),
    ]


@pytest.mark.parametrize(
    ("reference", "low", "high"),
    [
        ("10.00-15.50", "10.00", "15.50"),
        ("10.00 ~ 15.50", "10.00", "15.50"),
        ("¥10.00—¥15.50元", "10.00", "15.50"),
        ("12.50", "12.50", "12.50"),
        ("￥12.50", "12.50", "12.50"),
        (Decimal("12.50"), "12.50", "12.50"),
        (12, "12", "12"),
    ],
)
def test_without_sale_info_the_reference_price_is_left(reference: Any, low: str, high: str) -> None:
    payload = sample("product_info_simple")
    payload["productInfo"]["referencePrice"] = reference
    fields = read_product(PRODUCT_GET, payload)
    assert (str(fields["price"]), str(fields["price_max"])) == (low, high)
    assert "stock" not in fields
    assert "price_tiers" not in fields
    assert "price_private" not in fields


def test_an_empty_reference_price_is_an_unknown_price() -> None:
    fields = read_product(
        PRODUCT_GET, {"productInfo": {"productID": 1, "subject": "杯", "referencePrice": ""}}
    )
    assert fields == {"product_id": 1, "name": "杯", "price": None, "price_max": None}


@pytest.mark.parametrize("reference", ["面议", "1.2.3", "-", "1-2-3", " " * 100_000 + "x"])
def test_an_unreadable_reference_price_passes_as_it_came(reference: str) -> None:
    fields = read_product(PRODUCT_GET, {"productInfo": {"referencePrice": reference}})
    assert fields["price"] == reference


def test_a_private_price_is_nowhere_in_the_fields() -> None:
    fields = read_product(PRODUCT_GET, sample("product_info_private"))
    assert fields["price_private"] is True
    assert fields["price"] is fields["price_max"] is None
    assert fields["price_tiers"] == []
    assert fields["skus"] == [
        sku(4000000000041, {"型号": "M8"}, spec_id="s41", stock=5),
    ]
    assert "88" not in repr(fields)


def test_numbers_and_booleans_as_text_and_missing_fields() -> None:
    assert read_product(PRODUCT_GET, sample("product_info_strings")) == {
        "product_id": 610000000016,
        "name": "  塑料收纳箱  ",
        "price": Decimal("26.5"),
        "price_max": Decimal("30.00"),
        "price_tiers": [tier(1, "30.00"), tier(20, "26.5")],
        "price_private": False,
        "stock": 2147483646,
        "min_order_quantity": 1,
        "attributes": {"货号": ["X-7"]},
        "category_id": 1031910,
    }


def product(**values: Any) -> dict[str, Any]:
    return read_product(PRODUCT_GET, {"productInfo": values})


def test_one_unlimited_sku_makes_the_stock_unlimited() -> None:
    skus = [{"amountOnSale": 5}, {"amountOnSale": "2147483646"}]
    assert product(skuInfos=skus)["stock"] == 2147483646


def test_the_stock_of_skus_is_unknown_when_one_is() -> None:
    assert "stock" not in product(skuInfos=[{"amountOnSale": 5}, {"skuId": 1}])


@pytest.mark.parametrize("quote_type", [None, 1, 9, "x"])
def test_a_price_elsewhere_than_announced_still_counts(quote_type: Any) -> None:
    ranges = [{"startQuantity": 1, "price": 3}]
    fields = product(saleInfo={"quoteType": quote_type, "priceRanges": ranges})
    assert fields["price"] == Decimal(3)
    assert fields["price_tiers"] == [tier(1, "3")]


def test_a_range_without_quantity_or_price() -> None:
    ranges = [{"price": "3.00"}, {"startQuantity": 10, "price": None}]
    assert product(saleInfo={"priceRanges": ranges})["price_tiers"] == [tier(1, "3.00")]


@pytest.mark.parametrize("raw", ["none", ["none"], [{"attributeName": [], "value": "x"}], 5])
def test_impossible_attributes_pass_as_they_came(raw: Any) -> None:
    assert product(attributes=raw)["attributes"] is raw
    assert product(skuInfos=[{"attributes": raw}])["skus"][0]["attributes"] is raw


@pytest.mark.parametrize("raw", ["none", ["none"], 5])
def test_impossible_lists_pass_as_they_came(raw: Any) -> None:
    assert product(skuInfos=raw)["skus"] == raw
    assert product(saleInfo={"priceRanges": raw})["price_tiers"] == raw
    assert product(skuInfos=[{"priceRange": raw}])["skus"][0]["price_tiers"] == raw


@pytest.mark.parametrize("payload", [{}, {"productInfo": None}, {"productInfo": {}}, [], None])
def test_an_answer_without_a_product_tells_nothing(payload: Any) -> None:
    assert read_product(PRODUCT_GET, payload) == {}


def test_the_sellers_own_list() -> None:
    page = read_page(OWN, sample("product_list"))
    assert (page.total, page.page, page.page_size) == (2, None, None)
    assert page.rows == [
        {
            "product_id": 610000000040,
            "name": "毛巾",
            "price": Decimal("4.5"),
            "price_max": Decimal("4.5"),
            "price_tiers": [tier(1, "4.5")],
            "stock": 10,
            "status": "published",
        },
        {"product_id": 610000000041, "name": "浴巾", "status": "member expired"},
    ]
    assert read_page(OWN, sample("past_the_end")["product_list"]).rows == []
