"""Products as workbooks: straight from a crawl without a database, and from the stored ones."""

from __future__ import annotations

import csv
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from tests.harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness import Gateway, Process, Scrapy

    Settings = Callable[[str], dict[str, str]]

FIRST, SECOND = 610_000_000_001, 610_000_000_002
IDS = ("-a", f"ids={FIRST},{SECOND}")


def rows(path: Path, sheet: str) -> list[dict[str, Any]]:
    """Return the rows of a sheet, each a dict of cells by column."""
    header, *others = openpyxl.load_workbook(path)[sheet].iter_rows()
    names = [cell.value for cell in header]
    return [dict(zip(names, cells, strict=True)) for cells in others]


def refused(command: Process) -> str:
    """Return the sentence that a crawl ends with before it begins."""
    command.logged_no_error()
    assert command.exit_code == 1
    assert "Spider opened" not in command.log
    return command.log.splitlines()[-1]


@pytest.fixture
def by_param2(scrapy: Scrapy, settings_for: Settings) -> Scrapy:
    scrapy.settings |= settings_for("param2")
    return scrapy


def test_a_crawl_without_a_database_writes_a_workbook(by_param2: Scrapy, gateway: Gateway) -> None:
    by_param2.crawl("product", *IDS, "-O", "products.xlsx")
    assert [path.name for path in by_param2.folder.glob("[!.]*")] == ["products.xlsx"]
    path = by_param2.folder / "products.xlsx"
    products = {row["product_id"].value: row for row in rows(path, "products")}
    assert set(products) == {FIRST, SECOND}
    for product_id, row in products.items():
        truth = gateway.product(product_id)
        assert row["product_id"].number_format == "0"
        assert (row["name"].value, row["stock"].value) == (truth["name"], truth["stock"])
        assert Decimal(str(row["price"].value)) == Decimal(truth["price"])
        assert row["url"].hyperlink.target == row["url"].value
        assert row["url"].value == f"https://detail.1688.com/offer/{product_id}.html"
        assert row["images"].hyperlink.target == row["images"].value.split()[0]
        skus = [each for each in rows(path, "skus") if each["product_id"].value == product_id]
        assert [(sku["sku_id"].value, sku["stock"].value) for sku in skus] == [
            (sku["sku_id"], sku["stock"]) for sku in truth["skus"]
        ]
        assert [sku["name"].value for sku in skus] == [truth["name"]] * len(skus)
        assert [sku["sku_id"].number_format for sku in skus] == ["0"] * len(skus)


def test_a_workbook_is_replaced_but_never_appended_to(by_param2: Scrapy, gateway: Gateway) -> None:
    by_param2.crawl("product", *IDS, "-o", "products.xlsx")
    path = by_param2.folder / "products.xlsx"
    assert len(rows(path, "products")) == 2
    before = path.read_bytes()
    calls = gateway.calls
    assert refused(by_param2.run("crawl", "product", *IDS, "-o", "products.xlsx")) == (
        "Error: products.xlsx exists already, and a workbook cannot be appended to: "
        "say another name, or -O products.xlsx to replace it."
    )
    assert (path.read_bytes(), gateway.calls) == (before, calls)
    by_param2.crawl("product", "-a", f"ids={SECOND}", "-O", "products.xlsx")
    assert [row["product_id"].value for row in rows(path, "products")] == [SECOND]


@pytest.mark.parametrize(
    ("package", "arguments", "purpose", "advice"),
    [
        ("openpyxl", "-O products.xlsx", ".xlsx the package openpyxl", "openpyxl, or choose .csv"),
        ("PIL", "-a images=1", "-a images=1 the package Pillow", "pillow"),
    ],
)
def test_a_missing_package_is_said_before_the_crawl(
    *,
    package: str,
    arguments: str,
    purpose: str,
    advice: str,
    scrapy: Scrapy,
    gateway: Gateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    without = tmp_path_factory.mktemp("without")
    (without / f"{package}.py").write_text("raise ImportError")
    paths = f"{without}:{ROOT}"
    crawl = scrapy.run("crawl", "product", *IDS, *arguments.split(), real=True, PYTHONPATH=paths)
    assert refused(crawl) == (
        f"Error: for {purpose} is missing: in a checkout run .venv/bin/pip install {advice}."
    )
    assert gateway.calls == 0
    assert not list(scrapy.folder.glob("*.xlsx"))


def test_rows_of_a_search_have_picture_sales_and_address(by_param2: Scrapy) -> None:
    arguments = ("search", "-a", "keyword=杯子20")
    by_param2.crawl(*arguments, "-O", "found.xlsx")
    by_param2.crawl(*arguments, "-O", "found.csv")
    with (by_param2.folder / "found.csv").open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.DictReader(file))
    cells = rows(by_param2.folder / "found.xlsx", "products")
    assert len(found) == len(cells) == 20
    assert list(found[0])[:4] == ["product_id", "name", "price", "stock"]
    for text, cell in zip(found, cells, strict=True):
        assert cell["product_id"].value == int(text["product_id"])
        assert cell["images"].hyperlink.target == text["images"] != ""
        assert cell["url"].hyperlink.target == text["url"]
        assert text["url"] == f"https://detail.1688.com/offer/{text['product_id']}.html"
        for name in ("price", "sales_30d", "repurchase_rate", "trade_score"):
            assert cell[name].value == (float(text[name]) if text[name] else None)
    for name in ("price", "sales_30d", "repurchase_rate", "trade_score"):
        assert any(row[name] for row in found)
    assert rows(by_param2.folder / "found.xlsx", "skus") == []


def test_stored_products_become_rows_of_skus_and_of_recent_changes(
    by_param2: Scrapy, gateway: Gateway, mongo_uri: str, mongo_database: str
) -> None:
    by_param2.settings |= {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    by_param2.crawl("product", *IDS)
    by_param2.crawl("search", "-a", "keyword=杯子20")
    export = by_param2.run("export", "skus.xlsx", "--skus").ended_well()
    skus = rows(by_param2.folder / "skus.xlsx", "skus")
    truth = {number: gateway.product(number) for number in (FIRST, SECOND)}
    assert export.stdout == f"{len(skus)} rows written to skus.xlsx\n"
    detailed = [row for row in skus if row["sku_id"].value is not None]
    assert [row["sku_id"].value for row in detailed] == [
        sku["sku_id"] for product in truth.values() for sku in product["skus"]
    ]
    others = [row for row in skus if row["product_id"].value not in truth]
    assert {row["sku_id"].value for row in others} == {None}
    assert all(row["image"].hyperlink.target == row["image"].value for row in others)

    by_param2.run("export", "products.xlsx").ended_well()
    assert len(rows(by_param2.folder / "products.xlsx", "skus")) == len(detailed)
    products = rows(by_param2.folder / "products.xlsx", "products")
    assert len(products) > 2
    assert all(row["images"].hyperlink and row["url"].hyperlink for row in products)
    assert any(row["sales_30d"].value for row in products)

    gateway.product(FIRST, name="新名")
    by_param2.crawl("product", *IDS)
    by_param2.run("export", "changes.xlsx", "--changes-since", "30m").ended_well()
    (change,) = rows(by_param2.folder / "changes.xlsx", "changes")
    assert {name: cell.value for name, cell in change.items() if name != "at"} == {
        "product_id": FIRST,
        "sku_id": None,
        "field": "name",
        "old": truth[FIRST]["name"],
        "new": "新名",
        "percent": None,
        "name": "新名",
        "url": f"https://detail.1688.com/offer/{FIRST}.html",
    }
    assert change["url"].hyperlink.target == change["url"].value
    by_param2.run("export", "none.csv", "--changes-since", "0m").ended_well()
    assert (by_param2.folder / "none.csv").read_text().count("\n") == 1
