from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ali1688_spider.gateway.errors import UnreadableResponseError
from tests.gateway.catalogued import ROUTER, ROUTER_SEARCH, read_page, read_product, sample


def test_a_product_has_name_price_and_stock() -> None:
    fields = read_product(ROUTER, sample("router_product"))
    assert fields == {
        "name": "不锈钢保温杯 500ml",
        "price": Decimal("12.50"),
        "price_max": Decimal("12.50"),
        "stock": 3200,
    }
    assert str(fields["price"]) == "12.50"


def test_the_result_around_a_product_or_a_page_may_be_missing() -> None:
    assert read_product(ROUTER, {"product": {"productName": "杯"}}) == {"name": "杯"}
    assert read_page(ROUTER_SEARCH, {"totalCount": 1, "products": [{"quantity": 1}]}).rows == [
        {"stock": 1}
    ]


def test_what_else_a_product_tells_has_the_names_of_product_info() -> None:
    product = {
        "productID": "610000000001",
        "productName": "杯",
        "price": "8.00-12.50",
        "quantity": "7",
        "status": "published",
        "image": {"images": ["a.jpg"]},
    }
    assert read_product(ROUTER, {"result": {"product": product}}) == {
        "product_id": 610000000001,
        "name": "杯",
        "price": Decimal("8.00"),
        "price_max": Decimal("12.50"),
        "stock": 7,
        "status": "published",
        "images": ["https://cbu01.alicdn.com/a.jpg"],
    }


def test_a_private_price_stays_private() -> None:
    product = {"productName": "杯", "price": 8, "saleInfo": {"priceAuth": True}}
    fields = read_product(ROUTER, {"result": {"product": product}})
    assert fields["price_private"] is True
    assert fields["price"] is fields["price_max"] is None
    assert read_page(ROUTER_SEARCH, {"result": {"products": [product]}}).rows == [fields]


@pytest.mark.parametrize(
    "payload",
    [
        {"result": {"product": {}}},
        {"result": {"product": None}},
        {"result": {"product": [1]}},
        {"result": {}},
        {"result": "ok"},
        {},
        [],
        "20261010164552223+0800",
        None,
    ],
)
def test_an_answer_without_a_product_tells_nothing(payload: Any) -> None:
    assert read_product(ROUTER, payload) == {}


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("quantity", 2**70, "stock"),
        ("productName", {"zh": "杯"}, "name"),
        ("productName", "", "name"),
        ("productName", "\ud800", "name"),
        ("price", Decimal(-1), "price"),
        ("price", "NaN", "price"),
        ("price", True, "price"),
    ],
)
def test_an_impossible_value_passes_as_it_came(name: str, value: Any, field: str) -> None:
    assert read_product(ROUTER, {"result": {"product": {name: value}}})[field] is value


def test_a_search_page() -> None:
    payload = sample("router_search")
    page = read_page(ROUTER_SEARCH, payload)
    assert (page.total, page.page, page.page_size) == (95, 2, 20)
    assert page.rows == [
        {
            "product_id": 610000000001,
            "name": "不锈钢保温杯",
            "price": Decimal("12.50"),
            "stock": 3200,
        },
        {"product_id": 610000000002, "name": "玻璃杯", "price": Decimal("8.80"), "stock": 15},
        {"product_id": 610000000003, "name": "马克杯"},
    ]
    assert page.payloads == payload["result"]["products"]


def test_a_page_past_the_end_is_empty() -> None:
    page = read_page(ROUTER_SEARCH, sample("past_the_end")["router"])
    assert page.rows == page.payloads == []
    assert page.total == 95


def test_a_row_that_is_no_object_tells_nothing() -> None:
    page = read_page(
        ROUTER_SEARCH, {"result": {"totalCount": True, "products": ["x", {"productID": 1}]}}
    )
    assert page.rows == [{}, {"product_id": 1}]
    assert (page.total, page.page, page.page_size) == (None, None, None)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        None,
        {"result": {}},
        {"result": {"success": True}},
        {"result": {"products": "none", "totalCount": 1}},
    ],
)
def test_an_answer_without_a_page_is_unexpected(payload: Any) -> None:
    with pytest.raises(UnreadableResponseError, match=r"^no search page in the response$"):
        read_page(ROUTER_SEARCH, payload)
