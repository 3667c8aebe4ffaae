"""The formats that only whole files have: workbooks and Parquet."""

from __future__ import annotations

import gc
import io
import sys
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import openpyxl
import pyarrow.parquet
import pytest

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting import typed_files
from ali1688_spider.exporting.files import exporter
from ali1688_spider.exporting.rows import CHANGES, PRODUCT_COLUMNS, PRODUCTS, SKUS, Table, sku_rows
from ali1688_spider.exporting.typed_files import CUT_SENTENCE, ParquetFile, XlsxFeed, XlsxFile

NOON = datetime(2026, 11, 23, 12, 0, 0, 250000, UTC)
DOCUMENT: dict[str, Any] = {
    "_id": 610000000001,
    "product_id": 610000000001,
    "name": "=HYPERLINK(1)",
    "price": Decimal("9.95"),
    "price_max": Decimal("9999999999999999.999999999999999999"),
    "stock": 2147483646,
    "price_tiers": [{"min_quantity": 2, "price": Decimal("9.95")}],
    "skus": [
        {
            "sku_id": 7,
            "spec_id": "a1",
            "attributes": {"颜色": "红色"},
            "price": Decimal("9.95"),
            "price_tiers": [],
            "stock": 3,
            "image": None,
            "retail_price": None,
            "promotion_price": None,
            "dropship_price": None,
            "cargo_number": None,
        }
    ],
    "attributes": {"材质": ["棉", "麻"]},
    "images": ["https://cbu01.alicdn.com/1.jpg"],
    "fetched_at": NOON,
    "price_private": False,
}


IDS = Table("products", {"product_id": int})
NAMES = Table("products", {"name": str})


def write_xlsx(*items: Any, table: Table = PRODUCTS) -> tuple[io.BytesIO, XlsxFile]:
    file = io.BytesIO()
    writer = XlsxFile(file, table=table)
    writer.start_exporting()
    for item in items:
        writer.export_item(item)
    writer.finish_exporting()
    return file, writer


def write_parquet(*items: Any, table: Table = PRODUCTS) -> pyarrow.Table:
    file = io.BytesIO()
    writer = ParquetFile(file, table=table)
    writer.start_exporting()
    for item in items:
        writer.export_item(item)
    writer.finish_exporting()
    file.seek(0)
    return pyarrow.parquet.read_table(file)


def test_workbook_has_typed_cells() -> None:
    file, _ = write_xlsx(DOCUMENT)
    sheet = openpyxl.load_workbook(file)["products"]
    assert tuple(cell.value for cell in sheet[1]) == PRODUCT_COLUMNS
    cells = dict(zip(PRODUCT_COLUMNS, sheet[2], strict=True))
    assert (cells["product_id"].value, cells["product_id"].data_type) == (610000000001, "n")
    assert (cells["stock"].value, cells["stock"].data_type) == (2147483646, "n")
    assert (cells["price"].value, cells["price"].number_format) == (9.95, "0.00########")
    assert cells["fetched_at"].value == datetime(2026, 11, 23, 12)  # noqa: DTZ001
    assert cells["fetched_at"].number_format == 'yyyy-mm-dd"T"hh:mm:ss"Z"'
    assert cells["images"].value == "https://cbu01.alicdn.com/1.jpg"
    assert cells["attributes"].value == '{"材质":["棉","麻"]}'
    assert cells["price_private"].value is False
    assert cells["unit"].value is None
    assert sheet.auto_filter.ref == "A1:AW2"


def test_workbook_numbers_are_exact() -> None:
    file, _ = write_xlsx(DOCUMENT)
    content = zipfile.ZipFile(file).read("xl/worksheets/sheet1.xml").decode()
    assert "<v>9.95</v>" in content
    assert "<t>9999999999999999.999999999999999999</t>" in content


def test_workbook_text_is_never_a_formula() -> None:
    file, _ = write_xlsx(DOCUMENT, {"product_id": 2, "name": "#N/A"})
    sheet = openpyxl.load_workbook(file)["products"]
    assert (sheet["B2"].value, sheet["B2"].data_type) == ("=HYPERLINK(1)", "s")
    assert sheet["B2"].quotePrefix
    assert (sheet["B3"].value, sheet["B3"].data_type) == ("#N/A", "s")
    assert not sheet["B3"].quotePrefix


def test_workbook_shows_ids_whole() -> None:
    sku = DOCUMENT["skus"][0] | {"sku_id": 4979634221234}
    file, _ = write_xlsx(DOCUMENT | {"skus": [sku]}, {"product_id": 2**63 - 1})
    book = openpyxl.load_workbook(file)
    for sheet, column, value in (("products", "A", 610000000001), ("skus", "C", 4979634221234)):
        cell = book[sheet][f"{column}2"]
        assert (cell.value, cell.data_type, cell.number_format) == (value, "n", "0")
        assert book[sheet].column_dimensions[column].width > len(str(value))
    # Excel would round it.
    assert (book["products"]["A3"].value, book["products"]["A3"].data_type) == (str(2**63 - 1), "s")


def test_workbook_has_a_row_for_each_sku() -> None:
    red, blue = (
        DOCUMENT["skus"][0] | {"sku_id": number, "attributes": {"颜色": colour, "尺码": "大"}}
        for number, colour in ((7, "=红"), (8, "蓝"))
    )
    product = DOCUMENT | {"skus": [red, blue], "url": "https://detail.1688.com/offer/1.html"}
    file, _ = write_xlsx(product, {"product_id": 2, "name": "杯"})
    book = openpyxl.load_workbook(file)
    assert book.sheetnames == ["products", "skus"]
    header, *rows = book["skus"].iter_rows(values_only=True)
    assert header == SKUS.columns
    assert [row[:6] for row in rows] == [
        (610000000001, "=HYPERLINK(1)", 7, "a1", "颜色: =红; 尺码: 大", 9.95),
        (610000000001, "=HYPERLINK(1)", 8, "a1", "颜色: 蓝; 尺码: 大", 9.95),
    ]
    assert rows[0][9:] == (3, None, None, "https://detail.1688.com/offer/1.html")
    assert book["skus"]["B2"].data_type == "s"
    assert (book["skus"].freeze_panes, book["skus"].auto_filter.ref) == ("A2", "A1:M3")


def links(sheet: Any) -> dict[str, str]:
    cells = [cell for row in sheet.iter_rows() for cell in row if cell.hyperlink]
    return {cell.coordinate: cell.hyperlink.target for cell in cells}


ADDRESSES = Table("products", {"url": str, "images": list[str], "supplier": str})


def test_workbook_has_addresses_as_links() -> None:
    page, picture = "https://detail.1688.com/offer/1.html", "https://cbu01.alicdn.com/1.jpg"
    file, _ = write_xlsx(
        {"url": page, "images": [picture, f"{picture}?2"], "supplier": page},
        {"url": "https://1688.com/杯", "images": ["javascript:1"]},
        {"url": f"https://1688.com/{'x' * 2_079}", "images": []},
        {"url": f"{page}?a=1&b=%20#c", "images": None},
        table=ADDRESSES,
    )
    sheet = openpyxl.load_workbook(file)["products"]
    assert links(sheet) == {"A2": page, "B2": picture, "A5": f"{page}?a=1&b=%20#c"}
    assert sheet["B2"].value == f"{picture} {picture}?2"
    assert sheet["A2"].font.underline == "single"
    assert sheet["A3"].value == "https://1688.com/杯"


def test_workbook_has_no_more_links_than_excel_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_files, "MAX_LINKS", 2)
    file, _ = write_xlsx(*[{"url": "https://1688.com/"}] * 3, table=ADDRESSES)
    sheet = openpyxl.load_workbook(file)["products"]
    assert list(links(sheet)) == ["A2", "A3"]
    assert sheet["A4"].value == "https://1688.com/"


def test_workbook_has_no_further_links_in_further_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_files, "MAX_LINKS", 3)
    monkeypatch.setattr(typed_files, "MAX_ROWS", 3)
    file, _ = write_xlsx(*[{"url": "https://1688.com/"}] * 6, table=ADDRESSES)
    found = [list(links(sheet)) for sheet in openpyxl.load_workbook(file)]
    assert found == [["A2", "A3"], ["A2"], []]


def test_workbook_of_a_crawl_has_the_fields_of_its_items(caplog: pytest.LogCaptureFixture) -> None:
    def header(*items: Any, **options: Any) -> list[str]:
        file = io.BytesIO()
        feed = XlsxFeed(file, encoding="utf-8", indent=None, **options)
        feed.start_exporting()
        for item in items:
            feed.export_item(item)
        feed.finish_exporting()
        book = openpyxl.load_workbook(file)
        has_skus = not options.get("fields_to_export")
        assert ("skus" in book.sheetnames) is has_skus
        return [cell.value for cell in book["products"][1]]

    assert header() == list(PRODUCT_COLUMNS)
    items = {"note": "x", "product_id": 1}, {"product_id": 2, "other": "y"}
    assert header(*items, fields_to_export=None) == [*PRODUCT_COLUMNS, "note"]
    assert header(*items, fields_to_export=["note", "name"]) == ["note", "name"]
    assert header(*items, fields_to_export={"name": "Name"}) == ["Name"]
    assert not caplog.records
    header({"product_id": 1, "description": "长" * 32_768})
    assert caplog.messages == [f"1 {CUT_SENTENCE}"]


def test_workbook_replaces_what_xml_cannot_hold() -> None:
    file, _ = write_xlsx({"name": "a\0b\x0bc\ud800\nd"}, table=NAMES)
    assert openpyxl.load_workbook(file)["products"]["A2"].value == "a\ufffdb\ufffdc\ufffd\nd"


def test_workbook_marks_and_counts_what_it_cuts() -> None:
    file, writer = write_xlsx({"name": "长" * 32_767}, {"name": "长" * 32_768}, table=NAMES)
    sheet = openpyxl.load_workbook(file)["products"]
    assert sheet["A2"].value == "长" * 32_767
    assert sheet["A3"].value == "长" * 32_760 + "… [cut]"
    assert writer.cut == 1


def test_workbook_goes_on_in_another_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_files, "MAX_ROWS", 3)
    file, _ = write_xlsx(
        *({"product_id": number, "skus": [{"sku_id": number}]} for number in range(1, 6)),
        table=Table("products", {"product_id": int, "skus": list}),
    )
    book = openpyxl.load_workbook(file)
    rows = {sheet.title: [cell.value for cell in sheet["A"]] for sheet in book}
    assert rows == {
        "products": ["product_id", 1, 2],
        "products 2": ["product_id", 3, 4],
        "products 3": ["product_id", 5],
        "skus": ["product_id", 1, 2],
        "skus 2": ["product_id", 3, 4],
        "skus 3": ["product_id", 5],
    }


def test_parquet_is_typed_and_exact() -> None:
    (row,) = write_parquet(DOCUMENT).to_pylist()
    assert (row["product_id"], row["name"]) == (610000000001, "=HYPERLINK(1)")
    assert row["price"] == Decimal("9.95")
    assert row["price_max"] == Decimal("9999999999999999.999999999999999999")
    assert row["price_tiers"] == [{"min_quantity": 2, "price": Decimal("9.95")}]
    assert row["skus"] == [
        {
            "sku_id": 7,
            "spec_id": "a1",
            "attributes": [("颜色", "红色")],
            "price": Decimal("9.95"),
            "price_tiers": [],
            "stock": 3,
            "image": None,
            "retail_price": None,
            "promotion_price": None,
            "dropship_price": None,
            "cargo_number": None,
        }
    ]
    assert row["attributes"] == [("材质", ["棉", "麻"])]
    assert row["images"] == ["https://cbu01.alicdn.com/1.jpg"]
    assert row["fetched_at"] == NOON
    assert row["price_private"] is False
    assert row["unit"] is None


def test_a_word_or_a_number_of_several_has_its_own_type_in_parquet() -> None:
    assert str(typed_files._arrow_type(pyarrow, Literal[24, 48] | None)) == "int64"
    assert str(typed_files._arrow_type(pyarrow, Literal["measured", "declared"])) == "string"


def test_parquet_types_are_those_of_the_record() -> None:
    schema = write_parquet().schema
    types = {field.name: str(field.type) for field in schema}
    assert tuple(types) == PRODUCT_COLUMNS
    assert types["product_id"] == types["stock"] == types["category_id"] == "int64"
    assert types["name"] == types["currency"] == types["url"] == "string"
    assert types["price"] == types["price_max"] == "decimal128(34, 18)"
    assert types["fetched_at"] == types["changed_at"] == "timestamp[ms, tz=UTC]"
    assert types["price_private"] == "bool"
    attributes, sku = schema.field("attributes").type, schema.field("skus").type.value_type
    assert (attributes.key_type, attributes.item_type.value_type) == ("string", "string")
    assert {field.name: str(field.type).partition("<")[0] for field in sku} == {
        "sku_id": "int64",
        "spec_id": "string",
        "attributes": "map",
        "price": "decimal128(34, 18)",
        "price_tiers": "list",
        "stock": "int64",
        "image": "string",
        "retail_price": "decimal128(34, 18)",
        "promotion_price": "decimal128(34, 18)",
        "dropship_price": "decimal128(34, 18)",
        "cargo_number": "string",
    }


def test_parquet_changes_have_text_values() -> None:
    at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    changes = [
        {"product_id": 1, "field": "price", "old": Decimal("1E+1"), "new": None, "at": at}
        | {"percent": -5.5, "name": "杯", "url": "https://detail.1688.com/offer/1.html"},
        {"product_id": 1, "sku_id": 7, "field": "stock", "old": 5, "new": 0, "at": at},
        {"product_id": 1, "field": "status", "old": "published", "new": "removed", "at": at},
    ]
    rows = write_parquet(*changes, table=CHANGES).to_pylist()
    assert [(row["sku_id"], row["old"], row["new"]) for row in rows] == [
        (None, "10", None),
        (7, "5", "0"),
        (None, "published", "removed"),
    ]
    assert (rows[0]["percent"], rows[0]["name"], rows[1]["percent"]) == (-5.5, "杯", None)


def test_parquet_skus_are_typed() -> None:
    table = write_parquet(*sku_rows(DOCUMENT), table=SKUS)
    assert {field.name: str(field.type) for field in table.schema} == {
        **dict.fromkeys(("product_id", "sku_id", "stock"), "int64"),
        **dict.fromkeys(SKUS.columns[5:9], "decimal128(34, 18)"),
        **dict.fromkeys(("name", "spec_id", "attributes", "image", "cargo_number"), "string"),
        "url": "string",
    }
    (row,) = table.to_pylist()
    assert (row["sku_id"], row["attributes"], row["price"]) == (7, "颜色: 红色", Decimal("9.95"))


def test_parquet_groups_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_files, "ROW_GROUP", 2)
    file = io.BytesIO()
    writer = ParquetFile(file, table=IDS)
    for number in range(5):
        writer.export_item({"product_id": number})
    writer.finish_exporting()
    written = pyarrow.parquet.ParquetFile(file)
    assert [written.metadata.row_group(n).num_rows for n in range(3)] == [2, 2, 1]
    assert write_parquet(table=IDS).num_rows == 0


@pytest.mark.parametrize(("name", "package"), [("xlsx", "openpyxl"), ("parquet", "pyarrow")])
def test_error_names_the_missing_package(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError) as caught:
        exporter(name, io.BytesIO(), NAMES)
    assert str(caught.value) == (
        f"for .{name} the package {package} is missing: "
        f"in a checkout run .venv/bin/pip install {package}, or choose .csv"
    )


def test_unfinished_workbook_leaves_no_noise() -> None:
    writer = XlsxFile(io.BytesIO(), table=NAMES)
    writer.start_exporting()
    writer.finish_exporting()
    del writer
    gc.collect()
