"""The formats that only whole files have: workbooks and Parquet."""

from __future__ import annotations

import gc
import io
import sys
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import openpyxl
import pyarrow.parquet
import pytest

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting import typed_files
from ali1688_spider.exporting.files import exporter
from ali1688_spider.exporting.rows import CHANGE_COLUMNS, PRODUCT_COLUMNS
from ali1688_spider.exporting.typed_files import ParquetFile, XlsxFile

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


def write_xlsx(
    *items: Any, columns: tuple[str, ...] = PRODUCT_COLUMNS
) -> tuple[io.BytesIO, XlsxFile]:
    file = io.BytesIO()
    writer = XlsxFile(file, fields_to_export=columns, title="products")
    writer.start_exporting()
    for item in items:
        writer.export_item(item)
    writer.finish_exporting()
    return file, writer


def write_parquet(*items: Any, columns: tuple[str, ...] = PRODUCT_COLUMNS) -> pyarrow.Table:
    file = io.BytesIO()
    writer = ParquetFile(file, fields_to_export=columns)
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


def test_workbook_replaces_what_xml_cannot_hold() -> None:
    file, _ = write_xlsx({"name": "a\0b\x0bc\ud800\nd"}, columns=("name",))
    assert openpyxl.load_workbook(file)["products"]["A2"].value == "a\ufffdb\ufffdc\ufffd\nd"


def test_workbook_marks_and_counts_what_it_cuts() -> None:
    file, writer = write_xlsx({"name": "长" * 32_767}, {"name": "长" * 32_768}, columns=("name",))
    sheet = openpyxl.load_workbook(file)["products"]
    assert sheet["A2"].value == "长" * 32_767
    assert sheet["A3"].value == "长" * 32_760 + "… [cut]"
    assert writer.cut == 1


def test_workbook_goes_on_in_another_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_files, "MAX_ROWS", 3)
    file, _ = write_xlsx(
        *({"product_id": number} for number in range(1, 6)), columns=("product_id",)
    )
    book = openpyxl.load_workbook(file)
    rows = {sheet.title: [cell.value for cell in sheet["A"]] for sheet in book}
    assert rows == {
        "products": ["product_id", 1, 2],
        "products 2": ["product_id", 3, 4],
        "products 3": ["product_id", 5],
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
        {"product_id": 1, "field": "price", "old": Decimal("1E+1"), "new": None, "at": at},
        {"product_id": 1, "sku_id": 7, "field": "stock", "old": 5, "new": 0, "at": at},
        {"product_id": 1, "field": "status", "old": "published", "new": "removed", "at": at},
    ]
    rows = write_parquet(*changes, columns=CHANGE_COLUMNS).to_pylist()
    assert [(row["sku_id"], row["old"], row["new"]) for row in rows] == [
        (None, "10", None),
        (7, "5", "0"),
        (None, "published", "removed"),
    ]


def test_parquet_groups_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed_files, "ROW_GROUP", 2)
    file = io.BytesIO()
    writer = ParquetFile(file, fields_to_export=("product_id",))
    for number in range(5):
        writer.export_item({"product_id": number})
    writer.finish_exporting()
    written = pyarrow.parquet.ParquetFile(file)
    assert [written.metadata.row_group(n).num_rows for n in range(3)] == [2, 2, 1]
    assert write_parquet(columns=("product_id",)).num_rows == 0


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("xlsx", "openpyxl", "xlsx"), ("parquet", "pyarrow", "parquet")],
)
def test_error_names_the_missing_package(
    name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError) as caught:
        exporter(name, io.BytesIO(), columns=("name",), title="products")
    assert str(caught.value) == (
        f"for .{name} the package {package} is missing: "
        f"run pip install 'ali1688-spider[{extra}]', or choose .csv"
    )


def test_unfinished_workbook_leaves_no_noise() -> None:
    writer = XlsxFile(io.BytesIO(), fields_to_export=("name",), title="products")
    writer.start_exporting()
    writer.finish_exporting()
    del writer
    gc.collect()
