"""Texts of people: lists, tables with and without a header, JSON lines."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali1688_spider.gateway.identifiers import product_url
from ali1688_spider.spiders.id_tables import LineReader

A, B, C = 610000000001, 610000000002, 610000000003


def read(*lines: str, at_once: int = 100) -> list[int | str]:
    """Return the ids in lines, and where others have none."""
    reader = LineReader()
    found = []
    for start in range(0, len(lines), at_once):
        found += reader.read(lines[start : start + at_once])
    found += reader.read([], is_end=True)
    return [each if isinstance(each, int) else f"{place}: {each}" for place, each in found]


@pytest.mark.parametrize(
    "lines",
    [
        [f"{A}", f"{B}"],
        ["", "# ours", f"{A}", "# theirs", f"{B}"],
        ["product_id", f"{A}", f"{B}"],
        ["\ufeffProduct ID", f"{A}", f"{B}"],
        ["商品ID 名称", f"{A} 杯子", f"{B} 碗"],
        [f"{A},{B}"],
        ["名称,商品ID,货号", f"杯子,{A},690123456789", f"碗,{B},690123456788"],
        ["名称;商品 ID（必填）", f"杯子;{A}", f"碗;{B}"],
        ["sep=;", "名称;链接", f"杯子;{product_url(A)}", f"碗;{product_url(B)}"],
        ["id,url,sales", f"1,{product_url(A)},3", f"2,{product_url(B)},5"],
        ["id,详情,销量", f"1,{product_url(A)},3", f"2,{product_url(B)},5"],
        ["id\tname", f"{A}\t杯子", f"{B}\t碗"],
        ["# ours,", "商品ID,名称", f"{A},#1", f"#{C},x", f"{B},#2"],
        ["商品ID,名称", f"{A},x", "商品ID,名称", f"{B},y"],
        ["商品ID,名称", f'"{A}","杯子,', f'{C}"', f"{B},碗"],
        ["product_id,url", f"6.1E+11,{product_url(A)}", f"6.1E+11,{product_url(B)}"],
        ["product_id,url", f"610000000000,{product_url(A)}", f"610000000000,{product_url(B)}"],
        ["商品ID,名称", '"610,000,000,001",x', f"'{B},y"],
        [f'{{"product_id": {A}, "category_id": {C}, "skus": [{{"sku_id": {C}}}]}}', f"{B}"],
        [f'{{"offerId": "{A}"}}', "", f'{{"name": "x", "url": "{product_url(B)}"}}'],
        ["[", f'{{"product_id": {A}}},', f'{{"product_id": {B}}}', "]"],
        [f"买 2 个，{product_url(A)}", f"亲, 看看, {product_url(B)}, 包邮"],
    ],
)
@pytest.mark.parametrize("at_once", [1, 100])
def test_the_ids_of(lines: list[str], at_once: int) -> None:
    assert read(*lines, at_once=at_once) == [A, B]


@pytest.mark.parametrize(
    "lines",
    [
        [f"{A};{A}", f"{B};{B}"],
        ["商品清单,,", ",,", "序号,offerId,名称", f"1,{A},杯子", f"2,{B},碗"],
        ["编码,名称,库存", f"{A},杯子,100", f"{B},碗,5"],
        [f"{A},杯子,12.50,100", f"{B},碗,3.00,200000000"],
        [f"{A}\t690123456789\t杯子", f"{B}\t690123456788\t碗"],
    ],
)
def test_the_ids_of_a_table_that_some_rows_show(lines: list[str]) -> None:
    assert read(*lines) == [A, B]


def test_a_column_is_one_of_ids_only_where_they_are_whole() -> None:
    lines = ["product_id,name,sku_id", "6.1E+11,x,4567890123456", f"{A},y,4567890123457"]
    reason = "Excel rounded this id: format the column as text (or 0) and save again"
    assert read(*lines) == [f"Line 2: '6.1E+11': {reason}", A]


def test_rows_without_an_id_have_the_number_of_their_first_line() -> None:
    lines = ["商品ID,名称", f'{A},"a', 'b"', "x,y", ",y", ",", f"{B},z"]
    assert read(*lines) == [
        A,
        "Line 4: 'x' is neither a product id nor a product's URL on 1688.com",
        "Line 5: no product id in the row",
        B,
    ]


def test_quotes_that_are_wrong_lose_no_row() -> None:
    lines = ["商品ID,名称", f'{A},"a"b', f'{B},"unclosed', f"{C},5"]
    for at_once in (1, 2, 100):
        assert read(*lines, at_once=at_once) == [A, B, C]


def test_a_row_outside_a_table_that_nobody_named_is_read_too() -> None:
    lines = [f"a,{product_url(A)}", f"b,{product_url(B)}", product_url(C)]
    assert read(*lines) == [A, B, C]


def test_a_file_without_ids_has_a_reason_for_each_line() -> None:
    assert len(read("a,b", "c,d", "e,f")) == 3
    assert len(read('{"a": "x", "n": 5}', "{x", "x")) == 3


@given(
    st.lists(st.tuples(st.text(max_size=20), st.integers(10**9, 10**13)), min_size=1, max_size=30),
    st.sampled_from(",;\t|"),
    st.sampled_from(["商品ID", "product_id", "Offer ID"]),
    st.integers(1, 5),
)
def test_a_table_that_a_program_wrote_loses_no_row(
    rows: list[tuple[str, int]], delimiter: str, name: str, at_once: int
) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["name", name, "stock"])
    for text, product_id in rows:
        writer.writerow([text.replace("\r", ""), product_id, 100])
    lines = file.getvalue().split("\n")
    assert read(*lines, at_once=at_once) == [product_id for _, product_id in rows]


@given(st.lists(st.text("0123456789,;\t\"'{}[]:|# ab.商品ID\n", max_size=40), max_size=8))
def test_any_lines_are_read(lines: list[str]) -> None:
    lines = "\n".join(lines).split("\n")
    places = [found for at_once in (1, 3, 100) for found in read(*lines, at_once=at_once)]
    assert all(isinstance(each, int) or each.startswith("Line ") for each in places)
