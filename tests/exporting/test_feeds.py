from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from scrapy.extensions.postprocessing import GzipPlugin, PostProcessingManager

from ali1688_spider.exporting.feeds import CsvFeed, JsonLinesFeed
from ali1688_spider.exporting.rows import PRODUCT_COLUMNS
from ali1688_spider.items import ParsedProduct, Product
from ali1688_spider.pipelines.validation import check
from tests.harness import Scrapy

if TYPE_CHECKING:
    from pathlib import Path

HEADER = (
    "product_id,name,price,stock,price_max,currency,price_tiers,unit,min_order_quantity,skus,"
    "attributes,images,category_id,category_name,supplier,status,url,source_api,fetched_at,"
    "first_seen_at,changed_at,price_private,"
    "available,retail_price,promotion_price,dropship_price,sales_total,sales_30d,repurchase_rate,"
    "trade_score,weight_g,weight_source,weight_suspect,length_cm,width_cm,height_cm,ship_from,"
    "seller_id,seller_scores,videos,name_translated,attributes_translated,category_path,"
    "cargo_number,batch_number,listed_at,modified_at,description,image_files"
)
SKU: dict[str, object] = {
    "sku_id": 7,
    "spec_id": None,
    "attributes": {"颜色": "红色"},
    "price": Decimal("12.50"),
    "price_tiers": [],
    "stock": 3,
    "image": None,
    "retail_price": None,
    "promotion_price": None,
    "dropship_price": None,
    "cargo_number": None,
}
PRODUCT = Product(
    product_id=610000000001,
    name="夏季连衣裙, 新款",
    price=Decimal("12.50"),
    stock=120,
    price_tiers=[{"min_quantity": 2, "price": Decimal("12.50")}],
    skus=[SKU],
    attributes={"材质": ["棉", "麻"]},
    images=["https://cbu01.alicdn.com/1.jpg", "https://cbu01.alicdn.com/2.jpg"],
    url="https://detail.1688.com/offer/610000000001.html",
    source_api="alibaba.product.get",
    fetched_at=datetime(2026, 11, 23, 18, 0, 0, 123000, timezone(timedelta(hours=8))),
)


def csv_bytes(*items: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    feed = CsvFeed(file, **options)
    feed.start_exporting()
    for item in items:
        feed.export_item(item)
    feed.finish_exporting()
    return file.getvalue()


def csv_rows(*items: Any, **options: Any) -> list[dict[str, str]]:
    text = csv_bytes(*items, **options).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def json_lines(*items: Any, **options: Any) -> str:
    file = io.BytesIO()
    feed = JsonLinesFeed(file, **options)
    feed.start_exporting()
    for item in items:
        feed.export_item(item)
    feed.finish_exporting()
    return file.getvalue().decode()


def test_csv_begins_with_the_mark_and_the_record_columns() -> None:
    assert csv_bytes(PRODUCT).startswith(b"\xef\xbb\xbf" + HEADER.encode() + b"\r\n")


def test_csv_row_is_exact_and_readable() -> None:
    (row,) = csv_rows(PRODUCT)
    assert row == {
        **dict.fromkeys(PRODUCT_COLUMNS, ""),
        "product_id": "610000000001",
        "name": "夏季连衣裙, 新款",
        "price": "12.50",
        "stock": "120",
        "currency": "CNY",
        "price_tiers": '[{"min_quantity":2,"price":"12.50"}]',
        "skus": '[{"sku_id":7,"spec_id":null,"attributes":{"颜色":"红色"},"price":"12.50",'
        '"price_tiers":[],"stock":3,"image":null,"retail_price":null,'
        '"promotion_price":null,"dropship_price":null,"cargo_number":null}]',
        "attributes": '{"材质":["棉","麻"]}',
        "images": "https://cbu01.alicdn.com/1.jpg https://cbu01.alicdn.com/2.jpg",
        "url": "https://detail.1688.com/offer/610000000001.html",
        "source_api": "alibaba.product.get",
        "fetched_at": "2026-11-23T10:00:00Z",
    }


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (Decimal("12.50"), "12.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0E-8"), "0.00000000"),
        (Decimal("1E-10"), "0.0000000001"),
        (Decimal("9999999999999999.99"), "9999999999999999.99"),
        (None, ""),
    ],
)
def test_money_is_exact_and_without_exponent(price: Any, text: str) -> None:
    item = {"product_id": 1, "price": price}
    assert csv_rows(item)[0]["price"] == text
    assert json.loads(json_lines(item))["price"] == (text or None)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"])
def test_csv_text_never_runs_as_a_formula(start: str) -> None:
    name = f"{start}HYPERLINK(1)"
    assert csv_rows({"product_id": 1, "name": name})[0]["name"] == f"'{name}"


def test_csv_numbers_are_not_touched() -> None:
    (row,) = csv_rows({"product_id": 1, "price": Decimal("-1.50"), "stock": -2, "name": "2-3"})
    assert (row["price"], row["stock"], row["name"]) == ("-1.50", "-2", "2-3")


def test_csv_keeps_further_fields_of_the_first_item() -> None:
    first, second = csv_rows({"note": "x", "product_id": 1}, {"product_id": 2, "other": "y"})
    assert list(first) == [*PRODUCT_COLUMNS, "note"]
    assert (first["note"], second["note"]) == ("x", "")


def test_csv_follows_the_fields_asked_for() -> None:
    assert csv_bytes(PRODUCT, fields_to_export=["price", "name"]).decode("utf-8-sig") == (
        'price,name\r\n12.50,"夏季连衣裙, 新款"\r\n'
    )
    assert csv_bytes(PRODUCT, fields_to_export={"price": "Preis"}).decode("utf-8-sig") == (
        "Preis\r\n12.50\r\n"
    )


def test_csv_without_rows_has_its_columns() -> None:
    assert csv_bytes() == b"\xef\xbb\xbf" + HEADER.encode() + b"\r\n"
    assert csv_bytes(fields_to_export={"price": "Preis"}) == b"\xef\xbb\xbfPreis\r\n"


def test_csv_in_another_encoding_has_no_mark() -> None:
    content = csv_bytes({"name": "连衣裙"}, encoding="gbk", fields_to_export=["name"])
    assert content == "name\r\n连衣裙\r\n".encode("gbk")


def test_csv_in_a_pipe_has_no_mark() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    pipe = Pipe()
    feed = CsvFeed(pipe, fields_to_export=["product_id"])
    feed.export_item({"product_id": 1})
    feed.finish_exporting()
    assert pipe.getvalue() == b"product_id\r\n1\r\n"


def test_csv_appended_has_mark_and_columns_once(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    for product_id in (1, 2, 3):
        with path.open("ab") as file:
            feed = CsvFeed(file, encoding="utf-8", fields_to_export=["product_id", "name"])
            feed.start_exporting()
            feed.export_item({"product_id": product_id, "name": "裙"})
            feed.finish_exporting()
    assert path.read_bytes() == "\ufeffproduct_id,name\r\n1,裙\r\n2,裙\r\n3,裙\r\n".encode()


def test_json_line_is_the_record_in_its_order() -> None:
    (line,) = json_lines(PRODUCT).splitlines()
    assert "夏季连衣裙" in line
    record = json.loads(line)
    assert list(record)[:5] == ["product_id", "name", "price", "stock", "currency"]
    assert record["price"] == "12.50"
    assert record["skus"] == [SKU | {"price": "12.50"}]
    assert record["fetched_at"] == "2026-11-23T10:00:00Z"


def test_json_line_has_only_the_fields_of_the_response() -> None:
    row = Product(
        product_id=1,
        name="裙",
        price=None,
        url="https://detail.1688.com/offer/1.html",
        source_api="alibaba.product.search",
        fetched_at=datetime(2026, 11, 23, 10, tzinfo=UTC),
    )
    assert json.loads(json_lines(row)) == {
        "product_id": 1,
        "name": "裙",
        "price": None,
        "currency": "CNY",
        "url": "https://detail.1688.com/offer/1.html",
        "source_api": "alibaba.product.search",
        "fetched_at": "2026-11-23T10:00:00Z",
    }


def test_stored_document_is_a_row_without_its_key() -> None:
    document = {
        "_id": 1,
        "product_id": 1,
        "price": Decimal("0.10"),
        "skus": [{"price": Decimal("0.10")}],
        "changed_at": datetime(2026, 11, 23, 10),  # noqa: DTZ001  # as some drivers give it
    }
    assert json.loads(json_lines(document)) == {
        "product_id": 1,
        "price": "0.10",
        "skus": [{"price": "0.10"}],
        "changed_at": "2026-11-23T10:00:00Z",
    }


def test_csv_can_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "products.csv.gz"
    with path.open("ab") as file:
        compressed = PostProcessingManager([GzipPlugin], file, {})
        feed = CsvFeed(compressed, fields_to_export=["product_id"])  # type: ignore[arg-type]
        feed.export_item({"product_id": 1})
        feed.finish_exporting()
        compressed.close()
    assert gzip.decompress(path.read_bytes()) == b"product_id\r\n1\r\n"


SPIDER = """
import scrapy
from ali1688_spider.items import ParsedProduct, Product
from ali1688_spider.pipelines.validation import check

class OfflineSpider(scrapy.Spider):
    name = "offline"
    custom_settings = {
        "FEED_EXPORTERS": {
            "csv": "ali1688_spider.exporting.feeds.CsvFeed",
            "jsonl": "ali1688_spider.exporting.feeds.JsonLinesFeed",
        },
        "FEED_EXPORT_ENCODING": "utf-8",
    }

    async def start(self):
        yield Product.model_validate_json('''{json}''', strict=False)
"""


def test_feeds_of_a_crawl_append(tmp_path: Path) -> None:
    spider = tmp_path / "offline.py"
    spider.write_text(SPIDER.replace("{json}", PRODUCT.model_dump_json(exclude_unset=True)))
    scrapy = Scrapy(tmp_path, tmp_path / "output", {"SCRAPY_SETTINGS_MODULE": ""})
    for _ in range(2):
        crawl = scrapy.run("runspider", spider.name, "--nolog", "-o", "a.csv", "-o", "a.jsonl")
        assert (crawl.exit_code, crawl.log) == (0, "")
    (row,) = csv_rows(PRODUCT)
    table = (tmp_path / "a.csv").read_bytes()
    assert table.count(b"\xef\xbb\xbf") == table.count(b"product_id,") == 1
    assert list(csv.DictReader(io.StringIO(table.decode("utf-8-sig"), newline=""))) == [row, row]
    assert (tmp_path / "a.jsonl").read_text() == json_lines(PRODUCT) * 2


def test_the_image_of_a_row_of_a_search_is_in_the_feed() -> None:
    fields = {"product_id": 7, "name": "杯", "images": ["https://cbu01.alicdn.com/1.jpg"]}
    row = check(ParsedProduct(fields, None, "api", datetime.now(UTC), complete=False))
    assert csv_rows(row)[0]["images"] == "https://cbu01.alicdn.com/1.jpg"
