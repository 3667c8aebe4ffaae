from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.settings import Settings

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.files import check_feeds, format_of, open_output

if TYPE_CHECKING:
    from pathlib import Path


def test_file_appears_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("old")
    with open_output(str(path)) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_failure_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("old")

    def fail() -> None:
        with open_output(str(path)) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_file_has_usual_permissions_and_links_stay(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        path, link = tmp_path / "products.csv", tmp_path / "latest.csv"
        link.symlink_to(path)
        with open_output(str(link)) as file:
            file.write(b"new")
    finally:
        os.umask(mask)
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("missing/products.csv", "No such file or directory"),
        ("folder", "it exists and is not a regular file"),
    ],
)
def test_error_says_why_a_place_cannot_be_written(place: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = str(tmp_path / place)
    with pytest.raises(ConfigurationError) as caught, open_output(path):
        pass
    assert str(caught.value) == f"{path} cannot be written: {reason}"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("products.csv", "csv"),
        ("a.b/products.JSONL", "jsonl"),
        ("products.ndjson", "jsonl"),
        ("products.xlsx", "xlsx"),
        ("products.parquet", "parquet"),
    ],
)
def test_format_is_the_suffix(file: str, expected: str) -> None:
    assert format_of(file) == expected


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            "products.pdf",
            (
                "products.pdf has no suffix that says its format: end it with one of "
                ".csv, .jsonl, .xlsx, .parquet, or say --format"
            ),
        ),
        (
            "-",
            "standard output has no suffix: say --format with one of csv, jsonl, xlsx, parquet",
        ),
    ],
)
def test_error_names_the_formats(file: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        format_of(file)
    assert str(caught.value) == message


def check(address: str, **options: Any) -> None:
    check_feeds(Settings({"FEEDS": {address: options}}), {"name": "product"})


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "product.xlsx"
    path.write_bytes(b"there")
    return path


@pytest.mark.parametrize("address", ["product.xlsx", "{path}", "file://{path}", "%(name)s.xlsx"])
def test_no_workbook_is_appended_to(address: str, there: Path) -> None:
    address = address.replace("{path}", str(there))
    with pytest.raises(ConfigurationError) as caught:
        check(address)
    place = address.replace("%(name)s", "product")
    assert str(caught.value) == (
        f"{place} exists already, and a workbook cannot be appended to: "
        f"say another name, or -O {place} to replace it"
    )
    check(address, overwrite=True)
    there.write_bytes(b"")
    check(address)


@pytest.mark.parametrize(
    "address",
    ["new.xlsx", "%(time)s.xlsx", "%(batch_id)d.xlsx", "s3://bucket/product.xlsx", "stdout:"],
)
@pytest.mark.usefixtures("there")
def test_a_new_workbook_needs_no_overwriting(address: str) -> None:
    check(address, format="xlsx")


@pytest.mark.usefixtures("there")
def test_other_feeds_are_left_to_scrapy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    check("product.csv")
    check("product.xlsx", format="csv")
    with pytest.raises(ConfigurationError, match="the package openpyxl is missing"):
        check("new.xlsx")
