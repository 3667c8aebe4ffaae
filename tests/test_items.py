from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from ali1688_spider.items import ParsedProduct, Product
from ali1688_spider.pipelines.validation import validation_errors

NOW = datetime(2026, 10, 10, 8, 45, 52, 223456, UTC)


def product(**fields: Any) -> Product:
    record = {"product_id": 610000000001, "source_api": "api", "fetched_at": NOW, **fields}
    return Product.model_validate(record)


def refused(**fields: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        product(**fields)
    return validation_errors(caught.value)


def sku(**values: Any) -> dict[str, Any]:
    return {
        "sku_id": 1,
        "spec_id": None,
        "attributes": {"颜色": "红"},
        "price": Decimal("1.50"),
        "price_tiers": [],
        "stock": 3,
        "image": None,
        "retail_price": None,
        "promotion_price": None,
        "dropship_price": None,
        "cargo_number": None,
        **values,
    }


def test_the_fields_have_the_order_of_the_columns() -> None:
    assert list(Product.model_fields) == [
        *("product_id", "name", "price", "stock"),
        *("price_max", "currency", "price_tiers", "unit", "min_order_quantity", "skus"),
        *("attributes", "images", "category_id", "category_name", "supplier", "status", "url"),
        *("source_api", "fetched_at", "first_seen_at", "changed_at", "price_private"),
        *("available", "retail_price", "promotion_price", "dropship_price"),
        *("sales_total", "sales_30d", "repurchase_rate", "trade_score"),
        *("weight_g", "weight_source", "weight_suspect", "length_cm", "width_cm", "height_cm"),
        *("ship_from", "seller_id", "seller_scores", "videos"),
        *("name_translated", "attributes_translated", "category_path"),
        *("cargo_number", "batch_number", "listed_at", "modified_at", "description", "image_files"),
    ]


def test_the_set_fields_are_known() -> None:
    set_fields = product(name="杯", price=None).model_fields_set
    assert set_fields == {"product_id", "name", "price", "source_api", "fetched_at"}


def test_money_keeps_its_digits() -> None:
    assert str(product(price=Decimal("12.50")).price) == "12.50"
    exact = "9999999999999999.999999999999999999"
    assert str(product(price=Decimal(exact)).price) == exact


def test_times_are_utc_in_milliseconds() -> None:
    china = datetime(2026, 10, 10, 16, 45, 52, 223999, timezone(timedelta(hours=8)))
    fetched_at = product(fetched_at=china).fetched_at
    assert fetched_at == datetime(2026, 10, 10, 8, 45, 52, 223000, UTC)
    assert fetched_at.tzinfo is UTC


def test_text_has_no_space_around_it() -> None:
    record = product(name=" 杯 ", skus=[sku(attributes={"颜色": " 红 "})])
    assert record.name == "杯"
    assert record.skus[0]["attributes"] == {"颜色": "红"}


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("product_id", 0, "product_id: not above 0 (0 came)"),
        ("product_id", 2**63, "product_id: not below 9223372036854775808"),
        ("product_id", "5", "product_id: not a whole number ('5' came)"),
        ("product_id", True, "product_id: not a whole number (True came)"),
        ("name", "", "name: empty ('' came)"),
        ("name", "\u3000 ", "name: empty ('\\u3000 ' came)"),
        ("name", 5, "name: not text (5 came)"),
        ("name", {"zh": "杯"}, "name: not text ({'zh': '杯'} came)"),
        ("name", "a\ud800", "name: holds half a surrogate pair, which no encoding can store"),
        ("price", Decimal(-5), "price: below 0 (-5 came)"),
        ("price", Decimal("NaN"), "price: not a finite number (NaN came)"),
        ("price", Decimal("-Infinity"), "price: not a finite number (-Infinity came)"),
        ("price", "NaN", "price: not an amount ('NaN' came)"),
        ("price", True, "price: not an amount (True came)"),
        ("price", 5, "price: not an amount (5 came)"),
        ("price", 1.5, "price: not an amount (1.5 came)"),
        ("price", Decimal("1E+16"), "price: not below 10000000000000000 (1E+16 came)"),
        ("price", Decimal("1E-19"), "price: more than 18 decimal places (1E-19 came)"),
        ("available", "yes", "available: Input should be a valid boolean ('yes' came)"),
        ("repurchase_rate", 1.3, "repurchase_rate: Input should be less than or equal to 1"),
        ("trade_score", float("nan"), "trade_score: not a finite number"),
        ("weight_g", 0, "weight_g: not above 0 (0 came)"),
        ("weight_source", "guessed", "weight_source: Input should be 'measured', 'declared'"),
        ("length_cm", 0.0, "length_cm: not above 0"),
        ("seller_scores", {"a": "high"}, "seller_scores.a: Input should be a valid number"),
        ("category_path", [0], "category_path[0]: not above 0 (0 came)"),
        ("videos", ["a.mp4"], "videos[0]: not an absolute http(s) URL ('a.mp4' came)"),
        ("stock", 2**70, "stock: not below 9223372036854775808 (1180591620717411303424 came)"),
        ("stock", -1, "stock: below 0 (-1 came)"),
        ("stock", Decimal("0.5"), "stock: not a whole number (0.5 came)"),
        ("min_order_quantity", -1, "min_order_quantity: below 0 (-1 came)"),
        ("currency", "USD", "currency: Input should be 'CNY' ('USD' came)"),
        ("images", ["img/1.jpg"], "images[0]: not an absolute http(s) URL ('img/1.jpg' came)"),
        ("images", ["https://"], "images[0]: not an absolute http(s) URL ('https://' came)"),
        ("images", ["https://a.com/ b"], "images[0]: not an absolute http(s) URL"),
        ("images", ["ftp://a.com/"], "images[0]: not an absolute http(s) URL"),
        ("images", "https://a.com/", "images: not a list ('https://a.com/' came)"),
        ("images", [None], "images[0]: not text (None came)"),
        ("url", "https://u@a.com/", "url: not an absolute http(s) URL"),
        ("attributes", [], "attributes: not an object ([] came)"),
        ("attributes", {"颜色": "红"}, "attributes.颜色: not a list ('红' came)"),
        ("attributes", {"a b": ["\ud800"]}, "attributes['a b'][0]: holds half a surrogate pair"),
        ("attributes", {"\ud800": []}, "attributes['\ufffd\ufffd\ufffd']: holds half a surrogate"),
        ("attributes", {"a\0": []}, "attributes['a\\x00']: holds a NUL character, which ends"),
        ("status", "", "status: empty"),
        ("fetched_at", NOW.replace(tzinfo=None), "fetched_at: Input should have timezone info"),
        ("discount", 1, "discount: no field of the record (1 came)"),
    ],
)
def test_an_impossible_value_is_refused(field: str, value: Any, reason: str) -> None:
    (given,) = refused(**{field: value})
    assert given.startswith(reason)
    assert given.isprintable()


@pytest.mark.parametrize(
    ("tiers", "reason"),
    [
        ([(0, "2")], "[0].min_quantity: not above 0 (0 came)"),
        ([(1, "-2")], "[0].price: below 0 (-2 came)"),
        ([(10, "2"), (1, "3")], ": not in ascending order of min_quantity"),
        ([(1, "2"), (1, "3")], ": not in ascending order of min_quantity"),
    ],
)
def test_impossible_tiers_are_refused(tiers: list[tuple[int, str]], reason: str) -> None:
    raw = [{"min_quantity": quantity, "price": Decimal(price)} for quantity, price in tiers]
    assert refused(price_tiers=raw)[0].startswith(f"price_tiers{reason}")
    assert refused(skus=[sku(price_tiers=raw)])[0].startswith(f"skus[0].price_tiers{reason}")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"sku_id": 2**63}, "skus[1].sku_id: not below 9223372036854775808"),
        ({"price": Decimal("NaN")}, "skus[1].price: not a finite number (NaN came)"),
        ({"stock": -1}, "skus[1].stock: below 0 (-1 came)"),
        ({"image": "1.jpg"}, "skus[1].image: not an absolute http(s) URL ('1.jpg' came)"),
        ({"attributes": {"颜色": {}}}, "skus[1].attributes.颜色: not text ({} came)"),
        ({"colour": "red"}, "skus[1].colour: no field of the record ('red' came)"),
    ],
)
def test_an_impossible_sku_is_refused(values: dict[str, Any], reason: str) -> None:
    (given,) = refused(skus=[sku(), sku(**values)])
    assert given.startswith(reason)


def test_an_incomplete_sku_is_refused() -> None:
    incomplete = sku()
    del incomplete["stock"]
    assert refused(skus=[incomplete, "none"]) == [
        "skus[0].stock: missing",
        "skus[1]: not an object ('none' came)",
    ]


def test_the_highest_price_is_not_below_the_lowest() -> None:
    assert product(price=Decimal("2.0"), price_max=Decimal(2)).price_max == 2
    assert product(price=None, price_max=Decimal(1)).price_max == 1
    assert refused(price=Decimal(2), price_max=Decimal("1.99")) == [
        "price_max: below the lowest price (1.99 came)"
    ]


def test_every_reason_is_given_up_to_a_hundred() -> None:
    assert refused(name="", price=Decimal(-1), stock=-1) == [
        "name: empty ('' came)",
        "price: below 0 (-1 came)",
        "stock: below 0 (-1 came)",
    ]
    many = refused(images=["x"] * 130)
    assert len(many) == 101
    assert many[-1] == "and 30 more"


def test_a_reason_is_short_whatever_came() -> None:
    assert len(refused(name={"a": "x" * 10_000})[0]) < 200
    assert len(refused(price=Decimal("9" * 10_000))[0]) < 200
    assert len(refused(attributes={"k" * 10_000: 1})[0]) < 200


def test_a_response_shows_neither_its_fields_nor_its_payload() -> None:
    answer = ParsedProduct({"product_id": "1\ud800\n", "name": "杯"}, {"x": 1}, "api", NOW)
    assert str(answer) == r"product '1\ud800\n' by api"
    assert str(ParsedProduct({}, None, "api", NOW)) == "product None by api"
