from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ali1688_spider.gateway.identifiers import parse_product_id, product_url, read_identifiers

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX = 2**63 - 1


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
    assert parse_product_id(text) == 610000000001


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


def test_lines_are_read_once_each_and_errors_have_their_number() -> None:
    lines = [
        "\ufeff# our products\n",
        "610000000001\n",
        "\n",
        "  \t\n",
        "no id\n",
        "https://m.1688.com/offer/610000000001.html\n",
        "610000000002",
    ]
    read = [
        (number, entry if isinstance(entry, int) else str(entry))
        for number, entry in read_identifiers(lines)
    ]
    assert read == [
        (2, 610000000001),
        (5, "'no id' is neither a product id nor a product's URL on 1688.com"),
        (7, 610000000002),
    ]


def test_no_line_is_read_before_it_is_needed() -> None:
    def lines() -> Iterator[str]:
        yield "1"
        raise AssertionError("read ahead")

    assert next(read_identifiers(lines())) == (1, 1)
