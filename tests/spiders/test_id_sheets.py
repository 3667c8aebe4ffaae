"""Workbooks and Parquet files of people, and the project's own exports."""

from __future__ import annotations

import sys
from itertools import chain
from typing import TYPE_CHECKING, Any

import openpyxl
import pyarrow as pa
import pytest
from pyarrow import parquet

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.files import FORMATS, exporter
from ali1688_spider.exporting.rows import PRODUCTS
from ali1688_spider.gateway.identifiers import product_url
from ali1688_spider.spiders.ids import IdentifierSource

if TYPE_CHECKING:
    from pathlib import Path

A, B, C, D = range(610000000001, 610000000005)
ROUNDED = "Excel rounded this id: format the column as text (or 0) and save again"


def read(file: Path) -> tuple[list[int], list[str]]:
    source = IdentifierSource(ids_file=str(file))
    source.check()
    ids = [*chain.from_iterable(source.batches())]
    assert source.bytes_read == source.size
    return ids, source.summary.splitlines()[1:]


def workbook(file: Path, *sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"s{number}") if number else book.active
        for row in rows:
            sheet.append(row)
    book.save(file)
    return file


@pytest.mark.parametrize(
    "rows",
    [
        [[A], [B]],
        [[str(A)], [f"'{B}"]],
        [["编码"], [A], [B]],
        [["商品清单"], [], ["序号", "商品ID", "货号"], [1, A, 690123456789], [2, B, 690123456788]],
        [["名称", "商品链接"], ["杯子", product_url(A)], ["碗", f"看 {product_url(B)} 吧"]],
        [["product_id", "url"], ["6.1E+11", product_url(A)], [610000000000, product_url(B)]],
        [[A, B]],
        [["编码", "名称", "库存"], [A, "杯子", 5], [float(B), "碗", 7.5]],
    ],
)
def test_the_ids_of_a_sheet(rows: list[list[Any]], tmp_path: Path) -> None:
    assert read(workbook(tmp_path / "ids", rows)) == ([A, B], [])


def test_numbers_are_exact_as_far_as_excel_is(tmp_path: Path) -> None:
    rows = [["product_id"], [2**53], [2**53 + 2], [6.1e17], [0.5], [True], ["1234567890123456789"]]
    ids, reasons = read(workbook(tmp_path / "ids.xlsx", rows))
    assert ids == [2**53, 1234567890123456789]
    assert [reason.partition(": ")[0] for reason in reasons] == ["Row 3", "Row 4", "Row 5", "Row 6"]
    assert ROUNDED in reasons[0]
    assert ROUNDED in reasons[1]


def test_a_link_counts_where_the_text_is_no_id(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["商品", "价格"], ["杯子", 1], [B, 2], ["碗", 3], ["盘", 4]):
        sheet.append(row)
    sheet["A2"].hyperlink = product_url(A)
    sheet["A3"].hyperlink = product_url(D)
    sheet["A4"] = f'=HYPERLINK("{product_url(C)}", "碗")'
    book.save(tmp_path / "ids.xlsx")
    ids, reasons = read(tmp_path / "ids.xlsx")
    assert ids == [A, B, C]
    assert reasons == ["Row 5: '盘' is neither a product id nor a product's URL on 1688.com"]


def test_every_sheet_of_ids_is_read_and_no_other(tmp_path: Path) -> None:
    notes = [["说明"], ["请填写 5 个商品"], [5, "库存"]]
    first, second = [["商品ID"], [A]], [["商品ID", "x"], [B], ["x", 1]]
    ids, reasons = read(workbook(tmp_path / "ids.xlsx", notes, first, second))
    assert ids == [A, B]
    reason = "'x' is neither a product id nor a product's URL on 1688.com"
    assert reasons == [f"Sheet 's2', row 3: {reason}"]
    ids, reasons = read(workbook(tmp_path / "notes.xlsx", [], notes))
    assert ids == []
    assert len(reasons) == 3


def test_the_size_that_a_program_claims_is_not_believed(tmp_path: Path) -> None:
    from zipfile import ZipFile

    whole = workbook(tmp_path / "whole.xlsx", [[A], [B]])
    with ZipFile(whole) as old, ZipFile(tmp_path / "ids.xlsx", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'ref="A1:A2"', b'ref="A1"'))
    assert read(tmp_path / "ids.xlsx") == ([A, B], [])


@pytest.mark.parametrize(
    ("columns", "reasons"),
    [
        ({"name": ["x", "y"], "product_id": [A, B], "sku_id": [C, D]}, []),
        ({"name": ["x", "y"], "编码": [str(A), str(B)], "stock": [1, 2]}, []),
        ({"product_id": [float(A), float(B)]}, []),
        ({"product_id": [None, B], "url": [product_url(A), None]}, []),
        ({"skus": [[{"a": 1}], []], "product_id": [A, B]}, []),
        ({"product_id": [A, None, B]}, ["Row 2: no product id in the row"]),
    ],
)
def test_the_ids_of_a_parquet_file(
    columns: dict[str, list[Any]], reasons: list[str], tmp_path: Path
) -> None:
    parquet.write_table(pa.table(columns), tmp_path / "ids")
    ids, found = read(tmp_path / "ids")
    assert ids == [A, B]
    # A column of nothing has no cell that is empty by mistake.
    assert found == reasons


def test_parquet_without_a_column_of_ids(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"skus": [[{"a": 1}]]}), tmp_path / "ids")
    assert read(tmp_path / "ids") == ([], ["Row 1: no column of product ids"])


@pytest.mark.parametrize("name", FORMATS)
def test_our_own_exports(name: str, tmp_path: Path) -> None:
    count = 1234
    with (tmp_path / "ids").open("wb") as file:
        writer = exporter(name, file, PRODUCTS)
        writer.start_exporting()
        for product_id in range(A, A + count):
            row = {
                "product_id": product_id,
                "name": 'Cup "5,5"\nblue' if product_id % 2 else "杯子; 蓝",
                "skus": [{"sku_id": 4567890123456}],
                "category_id": 1031910,
                "seller_id": "2211223344556",
                "url": product_url(product_id),
            }
            writer.export_item(row)
        writer.finish_exporting()
    assert read(tmp_path / "ids") == ([*range(A, A + count)], [])


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel file (.xls), or one with a password"),
        (b"%PDF-1.7", "a PDF"),
        (b"\x1f\x8b\x08", "compressed"),
        (b"PK\x03\x04", "damaged (File is not a zip file)"),
        (b"PAR1", "damaged ("),
    ],
)
def test_a_file_that_is_none_of_ids(start: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "ids").write_bytes(start + b"\0" * 50)
    with pytest.raises(ConfigurationError) as caught:
        IdentifierSource(ids_file=str(tmp_path / "ids")).check()
    assert f"ids' is {what}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    from zipfile import ZipFile

    with ZipFile(tmp_path / "ids", "w") as archive:
        archive.writestr("word/document.xml", "x")
    with pytest.raises(ConfigurationError, match="is an archive, and no Excel workbook: save it"):
        IdentifierSource(ids_file=str(tmp_path / "ids")).check()


def test_damage_inside_costs_only_the_rest(tmp_path: Path) -> None:
    from zipfile import ZipFile

    whole = workbook(tmp_path / "whole.xlsx", [[number] for number in range(A, A + 2000)])
    with ZipFile(whole) as old, ZipFile(tmp_path / "ids.xlsx", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b'<row r="1500"', b'<row r="1500"<', 1))
    ids, (reason,) = read(tmp_path / "ids.xlsx")
    assert ids[:1000] == [*range(A, A + 1000)]
    assert reason.startswith("The rest: it cannot be read: ")


@pytest.mark.parametrize(("package", "start"), [("openpyxl", b"PK\x03\x04"), ("pyarrow", b"PAR1")])
def test_a_package_that_is_missing(
    package: str, start: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "ids").write_bytes(start)
    with pytest.raises(ConfigurationError, match=rf"\.venv/bin/pip install {package}, or "):
        IdentifierSource(ids_file=str(tmp_path / "ids")).check()
