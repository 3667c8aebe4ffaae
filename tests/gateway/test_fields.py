from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ali1688_spider.gateway.fields import (
    amount,
    count,
    first,
    image_url,
    image_urls,
    is_true,
    listed,
    section,
    text,
    told_amount,
    told_count,
    told_number,
    told_scores,
    told_text,
    told_urls,
)

NOT_A_NUMBER = ["NaN", "abc", "1e5", "0x10", "１２", "1,234.50", True, {}, [], Decimal("NaN")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12, "12"),
        ("12.50", "12.50"),
        (" 12.5 ", "12.5"),
        ("-3", "-3"),
        (Decimal("9.90"), "9.90"),
    ],
)
def test_an_amount_keeps_its_digits(value: Any, expected: str) -> None:
    read = amount(value)
    assert isinstance(read, Decimal)
    assert str(read) == expected


@pytest.mark.parametrize("value", NOT_A_NUMBER)
def test_what_is_no_number_comes_back_as_it_is(value: Any) -> None:
    assert amount(value) is value
    assert count(value) is value


@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, 7), ("7", 7), ("7.00", 7), (Decimal("1E+3"), 1000), (2**70, 2**70), (str(2**70), 2**70)],
)
def test_a_count_is_an_int(value: Any, expected: int) -> None:
    read = count(value)
    assert read == expected
    assert isinstance(read, int)


@pytest.mark.parametrize("value", ["1.5", Decimal("0.5"), Decimal("1E+9999999"), "9" * 10_000])
def test_what_is_no_count_comes_back_as_it_is(value: Any) -> None:
    assert count(value) is value


@pytest.mark.parametrize("read", [amount, count, text, image_url])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_nothing_is_not_told(read: Any, value: Any) -> None:
    assert read(value) is None


@pytest.mark.parametrize(
    ("value", "expected"), [(" 红 ", "红"), (500, "500"), (Decimal("1.5"), "1.5"), (True, True)]
)
def test_text(value: Any, expected: Any) -> None:
    assert text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), ("true", True), (" TRUE ", True), (False, False), ("false", False), (1, False)],
)
def test_true_comes_as_a_boolean_or_as_text(value: Any, expected: bool) -> None:  # noqa: FBT001
    assert is_true(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("img/ibank/1.jpg", "https://cbu01.alicdn.com/img/ibank/1.jpg"),
        ("/img/ibank/1.jpg", "https://cbu01.alicdn.com/img/ibank/1.jpg"),
        ("//img.alicdn.com/1.jpg", "https://img.alicdn.com/1.jpg"),
        ("http://img.alicdn.com/1.jpg", "http://img.alicdn.com/1.jpg"),
        ("https://img.alicdn.com/1.jpg", "https://img.alicdn.com/1.jpg"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        (5, 5),
    ],
)
def test_an_image_has_an_absolute_address(value: Any, expected: Any) -> None:
    assert image_url(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ([], []),
        ("//a.com/1.jpg", ["https://a.com/1.jpg"]),
        (["//a.com/1.jpg", "", None], ["https://a.com/1.jpg"]),
        ({"url": "a"}, {"url": "a"}),
    ],
)
def test_a_list_of_images(value: Any, expected: Any) -> None:
    assert image_urls(value) == expected


def test_the_first_value_that_tells_something() -> None:
    source = {"a": None, "b": "", "c": 0, "d": 1}
    assert first(source, "a", "b", "c", "d") == 0
    assert first(source, "b", "a") == ""
    assert first(source, "a", "e") is None


def test_a_section_that_is_no_object_is_empty() -> None:
    source = {"a": {"b": {"c": 1}}, "d": [1], "e": None}
    assert section(source, "a", "b") == {"c": 1}
    assert section(source, "d", "b") == section(source, "e") == section("text", "a") == {}


def test_a_lone_object_is_a_list_of_one() -> None:
    assert listed({"a": 1}) == [{"a": 1}]
    assert listed(None) == listed("") == []
    assert listed("text") == "text"


@pytest.mark.parametrize("value", [None, "", " ", True, [], {}, "a\ud800", "a\0"])
def test_a_text_that_cannot_be_stored_is_not_told(value: Any) -> None:
    assert told_text(value) is None


@pytest.mark.parametrize(
    "value", [None, "", "0", 0, -1, "1e5", "x", True, Decimal("NaN"), Decimal("1E+16"), {}]
)
def test_no_amount_above_0_is_not_told(value: Any) -> None:
    assert told_amount(value) is None


@pytest.mark.parametrize("value", [None, "", "-1", "1.5", True, 2**63, Decimal("1E+9999999"), []])
def test_what_is_no_count_is_not_told(value: Any) -> None:
    assert told_count(value) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [("4.7", 4.7), (5, 5.0), ("13.5%", 0.135), (Decimal("1E+9999999"), None), ("-", None)],
)
def test_a_number_may_be_a_percentage(value: Any, number: float | None) -> None:
    assert told_number(value) == number


def test_scores_are_what_is_a_number() -> None:
    raw = {"a": "4.5", "b": "", "c": None, "d": {}, "e\0": 1, "f": "60%"}
    assert told_scores(raw) == {"a": 4.5, "f": 0.6}
    assert told_scores([]) is told_scores({"a": "high"}) is None


def test_addresses_of_videos() -> None:
    urls = ("//a.com/1.mp4", "https://a.com/2.mp4", "https://a.com/2.mp4", "", None, 77, "a b")
    assert told_urls(*urls) == ["https://a.com/1.mp4", "https://a.com/2.mp4"]
    assert told_urls("", "play/3.mp4") is None
