"""Ids in the files that people have: of Excel, of other programs, and our own exports."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING

import openpyxl
import pytest

from ali1688_spider.gateway.identifiers import product_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.harness import Gateway, Scrapy

    Ids = Callable[[int], Sequence[int]]

ROUNDED = "Excel rounded this id: format the column as text (or 0) and save again"


def test_a_workbook(scrapy: Scrapy, gateway: Gateway, ids: Ids) -> None:
    first, second, third, fourth = ids(4)
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["采购清单"], ["序号", "商品", "链接"], [1, first], [2, f"'{second}"], [3, "杯子"]):
        sheet.append(row)
    sheet["B2"] = "商品ID"
    sheet["C5"] = "查看"
    sheet["C5"].hyperlink = product_url(third)
    book.create_sheet("更多").append([fourth])
    book.save(scrapy.folder / "ids.xlsx")
    crawl = scrapy.crawl("product", "-a", "ids_file=ids.xlsx", "-O", "out.jsonl")
    assert gateway.by_product == dict.fromkeys(ids(4), 1)
    assert set(crawl.read("out.jsonl")) == set(ids(4))
    assert "ali1688/ids/unreadable" not in crawl.stats


@pytest.mark.parametrize("encoding", ["gbk", "utf-16"])
def test_a_table_of_another_program(
    encoding: str, scrapy: Scrapy, gateway: Gateway, ids: Ids
) -> None:
    first, second = ids(2)
    text = f"名称,货号,商品ID\r\n杯子,690123456789,{first}\r\n碗,690123456788,'{second}\r\n"
    (scrapy.folder / "ids.csv").write_bytes(text.encode(encoding))
    crawl = scrapy.crawl("product", "-a", "ids_file=ids.csv")
    assert gateway.by_product == dict.fromkeys(ids(2), 1)
    assert "ali1688/ids/unreadable" not in crawl.stats


def test_our_feed_that_excel_saved_again(scrapy: Scrapy, gateway: Gateway, ids: Ids) -> None:
    wanted = ids(5)
    listed = ",".join(map(str, wanted))
    scrapy.crawl("product", "-a", f"ids={listed}", "-O", "products.csv")
    with (scrapy.folder / "products.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with (scrapy.folder / "saved.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        for row in rows:
            row["product_id"] = f"{int(row['product_id']):.2E}"
            row["url"] = "" if row is rows[-1] else row["url"]
            writer.writerow(row)
    gateway.reset_counts()
    crawl = scrapy.crawl_incompletely("product", "-a", "ids_file=saved.csv")
    assert gateway.calls == 4
    assert set(gateway.by_product) == {int(row["url"].split("/")[-1][:-5]) for row in rows[:-1]}
    assert crawl.stats["ali1688/ids/unreadable"] == 1
    assert f"'6.10E+11': {ROUNDED}" in crawl.log


def test_a_file_without_ids_is_summed_up(scrapy: Scrapy, gateway: Gateway) -> None:
    (scrapy.folder / "ids.csv").write_text("商品ID,名称\n" + "6.1E+11,杯子\n" * 5000)
    crawl = scrapy.crawl_incompletely("product", "-a", "ids_file=ids.csv")
    assert gateway.calls == 0
    assert crawl.stats["ali1688/ids/unreadable"] == 5000
    assert crawl.stats["log_count/WARNING"] == 1
    assert "WARNING: 5,000 entries have no product id:\nLine 2: '6.1E+11'" in crawl.log
    assert f"Line 11: '6.1E+11': {ROUNDED}\n… and 4,990 more\n" in crawl.log
    assert crawl.log.count("6.1E+11") == 10


def test_text_as_it_was_copied(scrapy: Scrapy, gateway: Gateway, ids: Ids) -> None:
    first, second, third, fourth, fifth = ids(5)
    full_width = str(second).translate({ord(str(digit)): 0xFF10 + digit for digit in range(10)})
    chat = f"亲，看看 {product_url(fourth)}?spm=1,2 ，包邮，3 天\n商品ID：{fifth}\n"
    (scrapy.folder / "chat.txt").write_bytes(chat.encode("gbk"))
    crawl = scrapy.crawl(
        "product",
        *("-a", f"ids=“{first}”，{full_width}；{third}.0、", "-a", "ids_file=chat.txt"),
    )
    assert gateway.by_product == dict.fromkeys(ids(5), 1)
    assert "ali1688/ids/unreadable" not in crawl.stats


@pytest.mark.parametrize("name", ["csv", "jsonl", "xlsx", "parquet"])
def test_our_own_exports_are_pushed(
    *,
    name: str,
    scrapy: Scrapy,
    ids: Ids,
    redis_url: str,
    mongo_uri: str,
    mongo_database: str,
) -> None:
    wanted = ids(20)
    settings = {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    listed = ",".join(map(str, wanted))
    scrapy.crawl("product", "-a", f"ids={listed}", **settings)
    assert scrapy.run("export", f"all.{name}", "--private", **settings).exit_code == 0
    pushed = scrapy.run("push", "product", "--file", f"all.{name}", REDIS_URL=redis_url)
    assert pushed.exit_code == 0, pushed.log
    assert pushed.stdout.startswith("20 products queued, 0 were queued already")
    assert pushed.log == ""
    # An export of these products alone, by a file of our own, from standard input.
    exported = scrapy.start("export", "again.csv", "--private", "--ids-file", "-", **settings)
    exported.finish("\n".join(map(str, wanted[:7])))
    assert exported.stdout == "7 products written to again.csv\n"


def test_a_workbook_on_standard_input(scrapy: Scrapy, ids: Ids, redis_url: str) -> None:
    book = openpyxl.Workbook()
    for product_id in ids(3):
        book.active.append([product_id])
    book.save(scrapy.folder / "ids.xlsx")
    os.mkfifo(scrapy.folder / "pipe")
    running = scrapy.start("push", "product", "--file", "pipe", REDIS_URL=redis_url)
    (scrapy.folder / "pipe").write_bytes((scrapy.folder / "ids.xlsx").read_bytes())
    running.wait()
    assert running.stdout.startswith("3 products queued"), running.log


def test_a_table_comes_through_a_pipe_that_stays_open(
    scrapy: Scrapy, gateway: Gateway, ids: Ids
) -> None:
    os.mkfifo(scrapy.folder / "ids")
    arguments = ("-a", "ids_file=ids", "-s", "CLOSESPIDER_ITEMCOUNT=2")
    running = scrapy.start("crawl", "product", *arguments)
    with (scrapy.folder / "ids").open("wb", buffering=0) as pipe:
        pipe.write("名称,商品ID\n杯子,x\n".encode("gbk"))
        for product_id in ids(2):
            pipe.write(f"杯子,{product_id}\n".encode("gbk"))
        crawl = running.finish()
    assert gateway.by_product == dict.fromkeys(ids(2), 1)
    assert crawl.stats["ali1688/ids/unreadable"] == 1
    assert "WARNING: 1 entry has no product id:\nLine 2: 'x' is neither" in crawl.log


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xd0\xcf\x11\xe0", "ids_file 'ids' is an old Excel file (.xls), or one with a pass"),
        (b"PK\x03\x04", "for .xlsx the package openpyxl is missing: in a checkout run .venv/"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    content: bytes, sentence: str, scrapy: Scrapy, redis_url: str
) -> None:
    (scrapy.folder / "openpyxl.py").write_text("raise ImportError\n")
    (scrapy.folder / "ids").write_bytes(content)
    for command in (
        ("crawl", "product", "-a", "ids_file=ids"),
        ("push", "product", "--file", "ids"),
        ("unwatch", "--file", "ids"),
    ):
        ended = scrapy.run(*command, REDIS_URL=redis_url)
        assert ended.exit_code == 1
        assert ended.log.splitlines()[-1].startswith(f"Error: {sentence}")
        assert "Traceback" not in ended.log
