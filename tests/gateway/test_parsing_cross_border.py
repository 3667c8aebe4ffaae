from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ali1688_spider.gateway.errors import UnreadableResponseError
from tests.gateway.catalogued import DETAIL, KEYWORD, read_page, read_product, sample


def product(**values: Any) -> dict[str, Any]:
    return read_product(DETAIL, {"result": {"result": values}})


def test_a_product() -> None:
    unknown: dict[str, Any] = {
        "price": None,
        "price_tiers": [],
        "retail_price": None,
        "promotion_price": None,
        "dropship_price": None,
        "cargo_number": None,
    }
    assert read_product(DETAIL, sample("query_product_detail")) == {
        "product_id": 610000000020,
        "name": "儿童雨衣",
        "name_translated": "Children's raincoat",
        "price": Decimal("15.00"),
        "price_max": Decimal("18.00"),
        "promotion_price": Decimal("16.20"),
        "dropship_price": Decimal("22.00"),
        "price_tiers": [
            {"min_quantity": 2, "price": Decimal("18.00")},
            {"min_quantity": 200, "price": Decimal("15.00")},
        ],
        "stock": 155,
        "unit": "件",
        "min_order_quantity": 2,
        "skus": [
            {
                "sku_id": 4000000000051,
                "spec_id": "s51",
                "attributes": {"颜色": "黄色"},
                "stock": 100,
                "image": "https://cbu01.alicdn.com/img/ibank/2001.jpg",
                **unknown,
                "dropship_price": Decimal("22.00"),
            },
            {
                "sku_id": 4000000000052,
                "spec_id": "s52",
                "attributes": {"颜色": "蓝色"},
                "stock": 55,
                "image": None,
                **unknown,
            },
        ],
        "attributes": {"材质": ["EVA"]},
        "images": ["https://cbu01.alicdn.com/img/ibank/2000.jpg"],
        "category_id": 1034340,
        "supplier": "义乌雨具厂",
        "seller_id": "BBBxyz",
        "sales_total": 1543,
        "status": "published",
    }


def test_price_by_sku() -> None:
    skus = [{"skuId": 1, "price": "18.00", "promotionPrice": "17.10"}, {"skuId": 2, "price": "20"}]
    fields = product(productSkuInfos=skus, productSaleInfo={"quoteType": 1})
    assert (str(fields["price"]), str(fields["price_max"])) == ("18.00", "20")
    assert [str(sku["price"]) for sku in fields["skus"]] == ["18.00", "20"]
    assert [sku["promotion_price"] for sku in fields["skus"]] == [Decimal("17.10"), None]
    assert fields["promotion_price"] == Decimal("17.10")


@pytest.mark.parametrize("promotion", [None, "", "0", 0, Decimal("NaN"), "none"])
def test_no_promotion_is_told_as_none(promotion: Any) -> None:
    ranges = [{"startQuantity": 1, "price": "18.00", "promotionPrice": promotion}]
    fields = product(productSaleInfo={"quoteType": 0, "priceRangeList": ranges})
    assert str(fields["price"]) == "18.00"
    assert fields["promotion_price"] is None


@pytest.mark.parametrize(
    ("sold_out", "sold"), [("1543", 1543), (0, 0), (True, None), ("true", None), ("", None)]
)
def test_sold_out_counts_what_was_sold_and_says_nothing_of_the_stock(
    sold_out: Any, sold: int | None
) -> None:
    fields = product(soldOut=sold_out, productSaleInfo={"amountOnSale": 9})
    assert fields["stock"] == 9
    assert fields.get("sales_total") == sold


def test_the_translated_name_is_better_than_none() -> None:
    assert product(subject="", subjectTrans="Raincoat")["name"] == "Raincoat"


@pytest.mark.parametrize("payload", [{}, {"result": {"success": "true"}}, {"result": []}, None])
def test_an_answer_without_a_product_tells_nothing(payload: Any) -> None:
    assert read_product(DETAIL, payload) == {}


def test_a_search_page() -> None:
    page = read_page(KEYWORD, sample("keyword_query"))
    assert (page.total, page.page, page.page_size) == (2345, 1, 50)
    assert page.rows == [
        {
            "product_id": 610000000030,
            "name": "雨伞",
            "name_translated": "Umbrella",
            "price": Decimal("9.90"),
            "dropship_price": Decimal("12.00"),
            "images": ["https://cbu01.alicdn.com/img/ibank/3000.jpg"],
        },
        {
            "product_id": 610000000031,
            "name": "Rain boots",
            "name_translated": "Rain boots",
            "price": Decimal("25.00"),
            "promotion_price": Decimal("21.00"),
        },
        {"product_id": 610000000032, "name": "雨鞋套"},
    ]
    assert [row["offerId"] for row in page.payloads] == [
        610000000030,
        "610000000031",
        610000000032,
    ]


def test_a_page_past_the_end_is_empty() -> None:
    page = read_page(KEYWORD, sample("past_the_end")["keyword_query"])
    assert page.rows == []
    assert page.total == 0


def test_an_answer_without_a_page_is_unexpected() -> None:
    with pytest.raises(UnreadableResponseError, match=r"^no search page in the response$"):
        read_page(KEYWORD, {"result": {"success": "true"}})
