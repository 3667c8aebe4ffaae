from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali1688_spider.gateway.identifiers import (
    SURE_DIGITS,
    RoundedIdError,
    find_product_ids,
    is_like_product_id,
    parse_product_id,
    product_url,
)

MAX = 2**63 - 1
A, B, C = 610000000001, 610000000002, 610000000003


@pytest.mark.parametrize(
    "text",
    [
        "610000000001",
        "  610000000001\r\n",
        "\ufeff610000000001",
        "\u3000610000000001\u200b",
        "000610000000001",
        "https://detail.1688.com/offer/610000000001.html",
        "https://detail.1688.com/offer/610000000001.html?spm=a2615.7691456.0.0&sk=1,2",
        "http://detail.1688.com/offer/610000000001.html#anchor",
        "https://m.1688.com/offer/610000000001.html",
        "https://m.1688.com/offer/610000000001.htm",
        "https://DETAIL.1688.COM:443/offer/610000000001.html",
        "https://detail.m.1688.com/page/index.html?spm=x&offerId=610000000001",
        "https://m.1688.com/?offerid=610000000001&offerId=",
        "detail.1688.com/offer/610000000001.html",
        "1688.com?offerId=610000000001",
        "//detail.1688.com/offer/610000000001.html",
    ],
)
def test_every_form_of_a_product_id(text: str) -> None:
    assert parse_product_id(text) == A
    assert find_product_ids(text) == find_product_ids(f"看 {text} ！") == [A]


def test_the_largest_id() -> None:
    assert parse_product_id(str(MAX)) == MAX


@pytest.mark.parametrize("text", ["0", "000", str(MAX + 1), "9" * 5000, "m.1688.com/offer/0.html"])
def test_an_id_out_of_range(text: str) -> None:
    with pytest.raises(ValueError, match=r"' is out of range: a product id is from 1 to 2\^63 - 1"):
        parse_product_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "-5",
        "+5",
        "1.5",
        "1e5",
        "1_000",
        "1,2",
        "６１０",
        "²",
        "61\ud800",
        "[::1",
        "https://[1688.com/offer/1.html",
        "https://detail.1688.com/",
        "https://detail.1688.com/offer/x.html",
        "https://detail.1688.com/offer/610.html/more",
        "https://detail.1688.com/?offerId=x",
        "https://item.taobao.com/offer/610.html",
        "https://detail.1688.com.example.org/offer/610.html",
        "https://detail.1688.com@example.org/offer/610.html",
        "https://notreally1688.com/offer/610.html",
        "ftp://detail.1688.com/offer/610.html",
        "javascript://detail.1688.com/offer/610.html",
    ],
)
def test_what_is_no_product_id(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"is neither a product id nor a product's URL on 1688\.com$"
    ) as caught:
        parse_product_id(text)
    assert str(caught.value).isprintable()


def test_the_url_of_a_product_names_it() -> None:
    assert product_url(610000000001) == "https://detail.1688.com/offer/610000000001.html"
    assert parse_product_id(product_url(MAX)) == MAX


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("'610000000001", [A]),
        ("“610000000001”，‘610000000002’；「610000000003」", [A, B, C]),
        ("610000000001、610000000002|610000000003\t610000000001 610000000002", [A, B, C, A, B]),
        ("６１０００００００００１", [A]),
        ("\u200b61000\u200b0000001\u2060", [A]),
        ("610000000001.0", [A]),
        ("610,000,000,001", [A]),
        ("610 000 000 001", [A]),
        ("610.000.000.001", [A]),
        ("6.10000000001E+11", [A]),
        ("6,10000000001E+11", [A]),
        ("1,2,3", [1, 2, 3]),
        ("1、2、3", [1, 2, 3]),
        ("102,103,104", [102, 103, 104]),  # as likely a list as one number
        ("1. 610000000001", [A]),
        ("2、610000000002", [B]),
        ("商品ID：610000000001", [A]),
        ("offerId=610000000001", [A]),
        ("610000000001 # 610000000002", [A]),
        ("# 610000000001", []),
        ("610000000001 红色杯子 x 2", [A]),
        ("亲，看看 https://detail.1688.com/offer/610000000001.html?a=1,2 ，包邮，3 天", [A]),
        ("链接:https://detail.1688.com/offer/610000000001.html。", [A]),
        ("看看detail.1688.com/offer/610000000001.html吧", [A]),
        ('<a href="https://detail.1688.com/offer/610000000001.html">杯子</a>', [A]),
        (f"{product_url(A)},{product_url(B)}?x=1,610000000003", [A, B, C]),
        (f"{product_url(5)} {product_url(6)}", [5, 6]),
        ("6.1E+11,https://detail.1688.com/offer/610000000001.html", [A]),
        (" , ", []),
        ("", []),
    ],
)
def test_ids_in_a_text_as_it_was_copied(text: str, ids: list[int]) -> None:
    assert find_product_ids(text) == ids


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2 y", ["'2 y' is neither a product id nor a product's URL on 1688.com"]),
        ("2,y", [2, "'y' is neither a product id nor a product's URL on 1688.com"]),
        ("买 2 个", ["'买 2 个' is neither a product id nor a product's URL on 1688.com"]),
        ("610000000001,61000000000x", [A, "'61000000000x' is neither a product id nor a"]),
        ("skuId: 4567890123456", ["'skuId:4567890123456' is neither a product id"]),
        ("0,610000000001", ["'0' is out of range", A]),
        ("-9", ["'-9' is neither"]),
        ("12.50", ["'12.50' is neither"]),
        ("12:30", ["'12:30' is neither"]),
        ("https://shop.1688.com/ ?", ["'https://shop.1688.com/' is neither"]),
        ("https://item.taobao.com/offer/610000000001.html", ["'https://item.taobao.com/offer/6"]),
        ("https://detail.1688.com@example.org/offer/610.html", ["'https://detail.1688.com@exam"]),
        ("https://notreally1688.com/offer/610000000001.html", ["'https://notreally1688.com/off"]),
    ],
)
def test_what_is_no_id_has_a_reason(text: str, found: list[int | str]) -> None:
    for each, expected in zip(find_product_ids(text), found, strict=True):
        assert each == expected or str(each).startswith(str(expected))


@pytest.mark.parametrize("text", ["6.1E+11", "6,1E+11", "6.10e11", "1E+11", "610000000000.0000"])
def test_an_id_that_was_rounded(text: str) -> None:
    (reason,) = find_product_ids(text)
    assert isinstance(reason, RoundedIdError)
    assert str(reason).endswith(
        "Excel rounded this id: format the column as text (or 0) and save again"
    )
    assert is_like_product_id(text)


def test_a_rounded_id_may_be_any_that_rounds_to_it() -> None:
    assert RoundedIdError("6.1E+11").may_be(A)
    assert RoundedIdError("610000000000.0").may_be(A)
    assert not RoundedIdError("6.12E+11").may_be(A)


def test_each_entry_of_a_list_is_meant() -> None:
    text = f"{product_url(A)} 杯子,7,x,y"
    assert find_product_ids(text) == [A]
    *ids, x, y = find_product_ids(text, is_list=True)
    assert ids == [A, 7]
    assert str(x).startswith("'x' is neither")
    assert str(y).startswith("'y' is neither")
    number, z = find_product_ids("2 z", is_list=True)
    assert number == 2
    assert str(z).startswith("'z' is neither")


def test_a_cell_is_one_number() -> None:
    assert find_product_ids("610,123,456,789", is_cell=True) == [610123456789]
    assert find_product_ids("610,123,456,789") == [610, 123, 456, 789]


@pytest.mark.parametrize("text", ["x", "1,", "a:", "1688.com", "http://", "a.", "1,000", '"', "# "])
def test_a_text_of_any_length_takes_linear_time(text: str) -> None:
    find_product_ids(100_000 * text)


ids = st.integers(10 ** (SURE_DIGITS - 1), 10**13)
forms = st.sampled_from(
    [
        "{}",
        "'{}",
        '"{}"',
        "{}.0",
        "\u200b{}",
        "（{}）",
        "商品ID：{}",
        "https://m.1688.com/offer/{}.html",
    ]
)
separators = st.sampled_from([",", "，", ";", "；", "、", "\t", "|", " ", ", ", "\u3000", "\n"])


@given(st.lists(st.tuples(ids, forms, separators), max_size=6))
def test_no_id_is_lost_whatever_stands_around_it(entries: list[tuple[int, str, str]]) -> None:
    whole = [entry for entry in entries if not (entry[1] == "{}.0" and entry[0] % 100_000 == 0)]
    text = "".join(form.format(each) + separator for each, form, separator in whole)
    assert find_product_ids(text) == [each for each, _, _ in whole]


@given(st.text() | st.text("0123456789.,eE+'# :=/|，；\t１２http1688com"), st.booleans())
def test_any_text_is_read_and_no_id_is_invented(text: str, is_cell: bool) -> None:  # noqa: FBT001
    digits = re.sub(r"[^0-9]", "", unicodedata.normalize("NFKC", text))
    for each in find_product_ids(text, is_cell=is_cell):
        if isinstance(each, int):
            assert str(each) in digits
        else:
            assert str(each).isprintable()
