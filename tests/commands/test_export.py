from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import openpyxl
import pyarrow.parquet
import pymongo
import pytest
from bson import Decimal128

from ali1688_spider.exporting.rows import SKUS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def document(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "_id": number,
        "product_id": number,
        "name": f"连衣裙 {number}",
        "price": Decimal128(f"{number}.50"),
        "stock": number,
        "currency": "CNY",
        "status": "published",
        "url": f"https://detail.1688.com/offer/{number}.html",
        "fetched_at": NOON,
        "price_private": False,
        **fields,
    }


def sku(number: int, colour: str) -> dict[str, Any]:
    return {
        "sku_id": number,
        "spec_id": f"s{number}",
        "attributes": {"颜色": colour, "尺码": "大"},
        "price": Decimal128("1.50"),
        "price_tiers": [],
        "stock": 0,
        "image": None,
        "retail_price": Decimal128("2.00"),
        "promotion_price": None,
        "dropship_price": None,
        "cargo_number": "K-1",
    }


@pytest.fixture(scope="module")
def database(mongo_server_uri: str) -> Iterator[str]:
    name = f"test_export_{uuid.uuid4().hex[:12]}"
    now = datetime.now(UTC)
    with pymongo.MongoClient[dict[str, Any]](mongo_server_uri) as client:
        client[name]["products"].insert_many(
            [
                document(1, skus=[sku(11, "红"), sku(12, "蓝")]),
                *(document(number) for number in (2, 3)),
                document(4, price_private=True),
            ]
        )
        client[name]["product_changes"].insert_many(
            {
                "_id": f"{number}",
                "product_id": number,
                "sku_id": None,
                "field": "price",
                "old": Decimal128("10.00"),
                "new": Decimal128(f"{number}.50"),
                "at": now - timedelta(hours=20 * number),
            }
            for number in (1, 2, 3, 4)
        )
        yield name
        client.drop_database(name)


@pytest.fixture
def export(
    run_command: Callable[..., int], mongo_server_uri: str, database: str
) -> Callable[..., int]:
    def run(*arguments: str, uri: str = mongo_server_uri) -> int:
        return run_command("export", *arguments, MONGO_URI=uri, MONGO_DATABASE=database)

    return run


def ids(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row["product_id"] for row in csv.DictReader(file)]


def test_csv(
    export: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("products.csv") == 0
    assert capsys.readouterr() == ("3 products written to products.csv\n", "")
    lines = (tmp_path / "products.csv").read_text("utf-8-sig").splitlines()
    assert lines[0].startswith("product_id,name,price,stock,")
    assert lines[1].startswith("1,连衣裙 1,1.50,1,,CNY,")
    assert ids(tmp_path / "products.csv") == ["1", "2", "3"]
    assert [path.name for path in tmp_path.iterdir()] == ["products.csv"]


def test_jsonl(export: Callable[..., int], tmp_path: Path) -> None:
    assert export("products.jsonl", "--min-price", "2", "--limit", "1") == 0
    assert json.loads((tmp_path / "products.jsonl").read_text()) == {
        "product_id": 2,
        "name": "连衣裙 2",
        "price": "2.50",
        "stock": 2,
        "currency": "CNY",
        "status": "published",
        "url": "https://detail.1688.com/offer/2.html",
        "fetched_at": "2026-11-23T12:00:00Z",
        "price_private": False,
    }


def test_xlsx_and_parquet(export: Callable[..., int], tmp_path: Path) -> None:
    assert export("products.xlsx") == 0
    sheet = openpyxl.load_workbook(tmp_path / "products.xlsx")["products"]
    assert [cell.value for cell in sheet["C"]] == ["price", 1.5, 2.5, 3.5]
    assert export("products.parquet") == 0
    table = pyarrow.parquet.read_table(tmp_path / "products.parquet")
    assert [str(price)[:4] for price in table["price"].to_pylist()] == ["1.50", "2.50", "3.50"]


def test_filters(export: Callable[..., int], tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    assert export(str(path), "--private") == 0
    assert ids(path) == ["1", "2", "3", "4"]
    assert export(str(path), "--min-price", "2", "--max-price", "2.50", "--in-stock") == 0
    assert ids(path) == ["2"]
    assert export(str(path), "--status", "removed") == 0
    assert ids(path) == []
    assert export(str(path), "--updated-since", "2026-11-23T12:00:01Z") == 0
    assert ids(path) == []


def test_ids_file(
    export: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = tmp_path / "ids.txt"
    wanted.write_text("# mine\nhttps://detail.1688.com/offer/3.html\nx\n1\n3\n77\n")
    assert export("some.csv", "--ids-file", "ids.txt") == 0
    assert ids(tmp_path / "some.csv") == ["1", "3"]
    reason = "is neither a product id nor a product's URL on 1688.com"
    assert capsys.readouterr() == (
        "2 products written to some.csv\n",
        f"1 entry has no product id:\nLine 3: 'x' {reason}\n",
    )


def test_changes(export: Callable[..., int], tmp_path: Path) -> None:
    assert export("changes.csv", "--changes-since", "2d") == 0
    lines = (tmp_path / "changes.csv").read_text("utf-8-sig").splitlines()
    assert lines[0] == "product_id,sku_id,field,old,new,at,percent,name,url"
    times = [line.split(",")[5] for line in lines[1:]]
    assert times == sorted(times)
    assert [line.replace(f"{at},", "") for line, at in zip(lines[1:], times, strict=True)] == [
        "2,,price,10.00,2.50,-75.0,连衣裙 2,https://detail.1688.com/offer/2.html",
        "1,,price,10.00,1.50,-85.0,连衣裙 1,https://detail.1688.com/offer/1.html",
    ]
    assert export("changes.xlsx", "--changes-since", "2d") == 0
    assert openpyxl.load_workbook(tmp_path / "changes.xlsx").sheetnames == ["changes"]


SKU_LINES = [
    ",".join(SKUS.columns),
    "1,连衣裙 1,11,s11,颜色: 红; 尺码: 大,1.50,2.00,,,0,,K-1,https://detail.1688.com/offer/1.html",
    "1,连衣裙 1,12,s12,颜色: 蓝; 尺码: 大,1.50,2.00,,,0,,K-1,https://detail.1688.com/offer/1.html",
    "2,连衣裙 2,,,,2.50,,,,2,,,https://detail.1688.com/offer/2.html",
    "3,连衣裙 3,,,,3.50,,,,3,,,https://detail.1688.com/offer/3.html",
]


def test_skus(
    export: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("skus.csv", "--skus") == 0
    assert capsys.readouterr() == ("4 rows written to skus.csv\n", "")
    assert (tmp_path / "skus.csv").read_text("utf-8-sig").splitlines() == SKU_LINES
    assert export("skus.csv", "--skus", "--max-price", "2", "--limit", "1") == 0
    assert capsys.readouterr().out == "1 row written to skus.csv\n"
    assert (tmp_path / "skus.csv").read_text("utf-8-sig").splitlines() == SKU_LINES[:2]


def test_skus_in_every_format(export: Callable[..., int], tmp_path: Path) -> None:
    for suffix in ("jsonl", "xlsx", "parquet"):
        assert export(f"skus.{suffix}", "--skus") == 0
    rows = [json.loads(line) for line in (tmp_path / "skus.jsonl").read_text().splitlines()]
    assert list(rows[0]) == SKU_LINES[0].split(",")
    assert [row["attributes"] for row in rows] == [
        *("颜色: 红; 尺码: 大", "颜色: 蓝; 尺码: 大"),
        *(None, None),
    ]
    assert rows[0]["price"] == "1.50"
    book = openpyxl.load_workbook(tmp_path / "skus.xlsx")
    assert book.sheetnames == ["skus"]
    assert [cell.value for cell in book["skus"]["C"]] == ["sku_id", 11, 12, None, None]
    assert book["skus"]["M4"].hyperlink.target == "https://detail.1688.com/offer/2.html"
    table = pyarrow.parquet.read_table(tmp_path / "skus.parquet").to_pylist()
    assert [row["sku_id"] for row in table] == [11, 12, None, None]
    assert [str(row["price"])[:4] for row in table] == ["1.50", "1.50", "2.50", "3.50"]


def test_changes_of_the_last_minutes(export: Callable[..., int], tmp_path: Path) -> None:
    for age, lines in (("30m", 1), ("1260m", 2), ("21h", 2)):
        assert export("changes.csv", "--changes-since", age) == 0
        assert (tmp_path / "changes.csv").read_text("utf-8-sig").count("\n") == lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.csv", "--skus", "--changes-since", "7d"], "--skus and --changes-since are different "),
        (["products.pdf"], "products.pdf has no suffix that says its format: end it with "),
        (["-"], "standard output has no suffix: say --format with one of csv, jsonl, "),
        (["a.csv", "--updated-since", "soon"], "'soon' is not a time: write a date such as "),
        (["a.csv", "--changes-since", "soon"], "'soon' is not a time: write a date such as "),
        (["a.csv", "--min-price", "1,5"], "--min-price is '1,5': say an amount in CNY such as "),
        (["a.csv", "--limit", "-1"], "--limit is below 0: say how many rows at most"),
        (["a.csv", "--ids-file", "none"], "ids_file 'none' cannot be read (No such file or "),
        (["none/a.csv"], "none/a.csv cannot be written: No such file or directory"),
    ],
)
def test_wrong_arguments_are_one_sentence(
    export: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    assert export(*arguments) == 1
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith(f"Error: {message}")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_error_says_that_no_database_is_there(
    export: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert export("a.csv", uri="") == 1
    assert capsys.readouterr().err.startswith("Error: MONGO_URI is empty, so no products are ")
    assert export("a.csv", uri="mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=100") == 1
    assert capsys.readouterr().err.startswith("Error: MongoDB does not answer (127.0.0.1:9: ")
    assert list(tmp_path.iterdir()) == []


def test_one_file_is_asked_for(
    export: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert export() == 2
    assert export("a.csv", "b.csv") == 2
    assert export("--unknown") == 2
    assert capsys.readouterr().err.count("say one FILE; scrapy export -h lists the options") == 3


def test_standard_output(mongo_server_uri: str, database: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scrapy", "export", "-", "--format", "csv", "--limit", "1"]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": ":".join(sys.path),
        "SCRAPY_SETTINGS_MODULE": "ali1688_spider.settings",
        "MONGO_URI": mongo_server_uri,
        "MONGO_DATABASE": database,
    }
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, check=True, text=True
    )
    header, row = result.stdout.splitlines()
    assert header.startswith("product_id,name,price,stock,")
    assert row.startswith("1,连衣裙 1,1.50,1,")
    assert result.stderr == "1 product written to -\n"
