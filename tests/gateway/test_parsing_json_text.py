from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ali1688_spider.exceptions import UnexpectedAnswerError
from ali1688_spider.gateway.parsing.json_text import load_json


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.50", "12.50"),
        ("0.1", "0.1"),
        ("12.340000000000000000000000000000000001", "12.340000000000000000000000000000000001"),
        ("1.25e1", "12.5"),
        ("2E3", "2000"),
        ("-0.05", "-0.05"),
    ],
)
def test_a_number_with_a_point_is_a_decimal_of_the_same_digits(text: str, expected: str) -> None:
    value = load_json(text)
    assert isinstance(value, Decimal)
    assert str(value) == expected


def test_a_whole_number_is_an_int() -> None:
    value = load_json("610000000001")
    assert value == 610000000001
    assert isinstance(value, int)


def test_a_gigantic_integer_is_a_decimal_that_no_rule_accepts() -> None:
    assert load_json("9" * 100_000) == Decimal("9" * 100_000)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_are_no_json_become_decimals_that_no_rule_accepts(text: str) -> None:
    (value,) = load_json(f"[{text}]")
    assert isinstance(value, Decimal)
    assert not value.is_finite()


def test_an_exponent_that_no_decimal_holds_stays_text() -> None:
    assert load_json("[1e99999999999999999999]") == ["1e99999999999999999999"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"名":"值"}'.encode(), {"名": "值"}),
        ('\ufeff{"a":1}'.encode(), {"a": 1}),
        ('\ufeff{"a":1}', {"a": 1}),
        ('"20261010164552223+0800"', "20261010164552223+0800"),
        (b'"\\ud800"', "\ud800"),
        (b'"\xed\xa0\x80"', "\ud800"),
    ],
)
def test_text_and_bytes_with_or_without_a_byte_order_mark(text: str | bytes, expected: Any) -> None:
    assert load_json(text) == expected


@pytest.mark.parametrize(
    "text", ["", "<html></html>", '{"result":{"prod', b"\xff\xfe\x00", "[" * 100_000, "{} {}"]
)
def test_what_is_no_json_is_an_unexpected_answer(text: str | bytes) -> None:
    with pytest.raises(UnexpectedAnswerError, match=r"^the answer is not JSON: "):
        load_json(text)
