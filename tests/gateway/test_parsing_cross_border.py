from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ali1688_spider.gateway.errors import UnreadableResponseError
from ali1688_spider.gateway.parsing import parse_keyword_query, parse_product_detail
from ali1688_spider.gateway.response import load_json

SAMPLES = Path(__file__).parent / "samples"


def sample(name: str) -> Any:
    return load_json((SAMPLES / f"{name}.json").read_bytes())


def product(**values: Any) -> dict[str, Any]:
    return parse_product_detail({"result": {"result": values}})


def test_a_product() -> None:
    unknown: dict[str, Any] = {"price": None, "price_tiers": []}
    assert parse_product_detail(sample("query_product_detail")) == {
        "product_id": 610000000020,
        "name": "儿童雨衣",
        "price": Decimal("15.00"),
        "price_max": Decimal("16.20"),
        "price_tiers": [
            {"min_quantity": 2, "price": Decimal("16.20")},
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
        "status": "published",
    }


def test_price_by_sku() -> None:
    skus = [{"skuId": 1, "price": "18.00", "promotionPrice": "17.10"}, {"skuId": 2, "price": "20"}]
    fields = product(productSkuInfos=skus, productSaleInfo={"quoteType": 1})
    assert (str(fields["price"]), str(fields["price_max"])) == ("17.10", "20")
    assert [str(sku["price"]) for sku in fields["skus"]] == ["17.10", "20"]


@pytest.mark.parametrize("promotion", [None, "", "0", 0, Decimal("NaN"), "none"])
def test_no_promotion_leaves_the_price(promotion: Any) -> None:
    ranges = [{"startQuantity": 1, "price": "18.00", "promotionPrice": promotion}]
    fields = product(productSaleInfo={"quoteType": 0, "priceRangeList": ranges})
    assert str(fields["price"]) == "18.00"


@pytest.mark.parametrize(
    ("sold_out", "stock"), [(True, 0), ("true", 0), (False, 9), ("false", 9), ("1", 9), (1, 9)]
)
def test_sold_out_means_no_stock_and_a_number_is_what_was_sold(sold_out: Any, stock: int) -> None:
    fields = product(soldOut=sold_out, productSaleInfo={"amountOnSale": 9})
    assert fields["stock"] == stock


def test_the_translated_name_is_better_than_none() -> None:
    assert product(subject="", subjectTrans="Raincoat")["name"] == "Raincoat"


@pytest.mark.parametrize("payload", [{}, {"result": {"success": "true"}}, {"result": []}, None])
def test_an_answer_without_a_product_tells_nothing(payload: Any) -> None:
    assert parse_product_detail(payload) == {}


def test_a_search_page() -> None:
    page = parse_keyword_query(sample("keyword_query"))
    assert (page.total, page.page, page.page_size) == (2345, 1, 50)
    assert page.rows == [
        {"product_id": 610000000030, "name": "雨伞", "price": Decimal("9.90")},
        {"product_id": 610000000031, "name": "Rain boots", "price": Decimal("21.00")},
        {"product_id": 610000000032, "name": "雨鞋套"},
    ]
    assert [row["offerId"] for row in page.payloads] == [
        610000000030,
        "610000000031",
        610000000032,
    ]


def test_a_page_past_the_end_is_empty() -> None:
    page = parse_keyword_query(sample("past_the_end")["keyword_query"])
    assert page.rows == []
    assert page.total == 0


def test_an_answer_without_a_page_is_unexpected() -> None:
    with pytest.raises(UnreadableResponseError, match=r"^no search page in the response$"):
        parse_keyword_query({"result": {"success": "true"}})
