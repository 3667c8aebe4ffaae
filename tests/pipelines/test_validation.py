from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from scrapy.exceptions import DropItem
from scrapy.logformatter import LogFormatter
from scrapy.utils.test import get_crawler

from ali1688_spider.gateway.response import load_json
from ali1688_spider.items import REMOVED, ParsedProduct, Product
from ali1688_spider.pipelines.validation import ValidationPipeline, check
from tests.gateway.catalogued import ROUTER, read_product

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

API = "alibaba.product.get"
NOT_TOLD = (
    *("available", "retail_price", "dropship_price", "sales_total", "sales_30d"),
    *("repurchase_rate", "trade_score", "weight_g", "weight_source", "weight_suspect"),
    *("length_cm", "width_cm", "height_cm", "ship_from", "seller_id", "name_translated"),
    *("cargo_number", "batch_number", "listed_at", "modified_at"),
)
NOW = datetime(2026, 10, 10, 8, 45, 52, 223000, UTC)


class ListOfRejections:
    """A store in memory."""

    def __init__(self) -> None:
        self.kept: list[Rejection] = []

    async def keep(
        self, product_id: int | None, errors: list[str], payload: Any, at: datetime
    ) -> None:
        self.kept.append(Rejection(product_id, errors, payload, at))


class Rejection(NamedTuple):
    product_id: int | None
    errors: list[str]
    payload: Any
    at: datetime


@pytest.fixture
def crawler() -> Crawler:
    return get_crawler()


@pytest.fixture
def rejections() -> ListOfRejections:
    return ListOfRejections()


@pytest.fixture
def pipeline(crawler: Crawler, rejections: Any) -> ValidationPipeline:
    return ValidationPipeline(crawler.stats, rejections)


def answer_of(text: str, product_id: int, **values: Any) -> ParsedProduct:
    payload = load_json(text.encode())
    fields = {"product_id": product_id, **read_product(ROUTER, payload)}
    return ParsedProduct(fields, payload, API, NOW, **values)


def router_answer(product: str, product_id: int = 610000000001, **values: Any) -> ParsedProduct:
    return answer_of(f'{{"result":{{"product":{product}}}}}', product_id, **values)


GOOD = '{"productName":"杯","price":12.50,"quantity":3}'
IMPOSSIBLE = [
    (
        '{"productName":"a","price":1,"quantity":1180591620717411303424}',
        "stock: not below 9223372036854775808 (1180591620717411303424 came)",
    ),
    (
        '{"productName":"a\\ud800","price":1,"quantity":1}',
        r"name: holds half a surrogate pair, which no encoding can store ('a\ud800' came)",
    ),
    ('{"productName":"a","price":-1.5,"quantity":1}', "price: below 0 (-1.5 came)"),
    ('{"productName":"a","price":"NaN","quantity":1}', "price: not an amount ('NaN' came)"),
    ('{"productName":"a","price":NaN,"quantity":1}', "price: not a finite number (NaN came)"),
    ('{"productName":"","price":1,"quantity":1}', "name: empty ('' came)"),
    (
        '{"productName":{"zh":"a"},"price":1,"quantity":1}',
        "name: not text ({'zh': 'a'} came)",
    ),
    ('{"price":1,"quantity":1}', "name: missing"),
    ("null", "no product in the response"),
]


async def test_impossible_products_do_not_stop_their_neighbours(
    pipeline: ValidationPipeline,
    rejections: ListOfRejections,
    crawler: Crawler,
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = [router_answer(GOOD, number) for number in range(1, 31)]
    for place, (product, _) in enumerate(IMPOSSIBLE):
        answers.insert(place * 4, router_answer(product, 1000 + place))

    stored, dropped = [], 0
    for answer in answers:
        try:
            stored.append(await pipeline.process_item(answer))
        except DropItem:
            dropped += 1

    assert [product.product_id for product in stored] == list(range(1, 31))
    assert all(str(product.price) == "12.50" for product in stored)
    assert dropped == 9
    kept = [(rejection.product_id, rejection.errors[0]) for rejection in rejections.kept]
    assert kept == [(1000 + place, reason) for place, (_, reason) in enumerate(IMPOSSIBLE)]
    assert crawler.stats.get_value("ali1688/items/rejected") == 9
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 9
    assert not any(record.exc_info for record in caplog.records)
    assert all(record.getMessage().isprintable() for record in caplog.records)


async def test_what_a_rejection_holds(
    pipeline: ValidationPipeline, rejections: ListOfRejections, caplog: pytest.LogCaptureFixture
) -> None:
    answer = router_answer('{"productName":"","price":-1.50,"quantity":1}')
    with pytest.raises(DropItem):
        await pipeline.process_item(answer)
    payload = {"productName": "", "price": Decimal("-1.50"), "quantity": 1}
    errors = [
        "name: empty ('' came)",
        "price: below 0 (-1.50 came)",
        "price_max: below 0 (-1.50 came)",
    ]
    assert rejections.kept == [
        Rejection(610000000001, errors, {"result": {"product": payload}}, NOW)
    ]
    assert caplog.messages == [
        f"Rejected product 610000000001 by {API}: " + "; ".join(errors),
    ]


async def test_the_log_holds_neither_payload_nor_all_of_many_reasons(
    crawler: Crawler, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    images = json.dumps({"productName": "secret", "image": {"images": ["x:y"] * 9}})
    answer = router_answer(images)
    with pytest.raises(DropItem) as caught:
        await ValidationPipeline(crawler.stats, None).process_item(answer)
    assert caplog.messages[0].endswith("('x:y' came); 4 more")

    crawler.spider = crawler._create_spider()
    line = LogFormatter().dropped(answer, caught.value, None, crawler.spider)
    assert line["level"] == logging.DEBUG
    assert "secret" not in line["msg"] % line["args"]


async def test_other_items_pass_untouched(pipeline: ValidationPipeline) -> None:
    item = {"product_id": "not a product"}
    assert await pipeline.process_item(item) is item


@pytest.mark.parametrize("product_id", [0, -1, 2**63, "5", True, None, "\ud800"])
async def test_an_impossible_id_is_none_in_the_rejection(
    pipeline: ValidationPipeline, rejections: ListOfRejections, product_id: Any
) -> None:
    answer = router_answer(GOOD)
    answer.fields["product_id"] = product_id
    with pytest.raises(DropItem):
        await pipeline.process_item(answer)
    assert rejections.kept[0].product_id is None
    assert [reason.split(":")[0] for reason in rejections.kept[0].errors] == ["product_id"]


def test_a_response_without_id_says_so() -> None:
    answer = router_answer(GOOD)
    del answer.fields["product_id"]
    assert check(answer) == ["product_id: missing"]


def checked(answer: ParsedProduct) -> Product:
    product = check(answer)
    assert isinstance(product, Product)
    return product


def set_fields(product: Product) -> dict[str, Any]:
    return {name: getattr(product, name) for name in product.model_fields_set}


def test_a_complete_response_sets_every_field() -> None:
    assert set_fields(checked(router_answer(GOOD))) == {
        "product_id": 610000000001,
        "name": "杯",
        "price": Decimal("12.50"),
        "stock": 3,
        "price_max": Decimal("12.50"),
        "currency": "CNY",
        "price_tiers": [],
        "unit": None,
        "min_order_quantity": None,
        "skus": [],
        "attributes": {},
        "images": [],
        "category_id": None,
        "category_name": None,
        "supplier": None,
        "status": None,
        "url": "https://detail.1688.com/offer/610000000001.html",
        "source_api": API,
        "fetched_at": NOW,
        "price_private": False,
        **dict.fromkeys(NOT_TOLD),
        "seller_scores": {},
        "videos": [],
        "attributes_translated": {},
        "category_path": [],
    }


def test_the_row_of_a_search_sets_only_what_it_has() -> None:
    product = checked(router_answer('{"productName":"杯"}', complete=False))
    assert set_fields(product) == {
        "product_id": 610000000001,
        "name": "杯",
        "currency": "CNY",
        "url": "https://detail.1688.com/offer/610000000001.html",
        "source_api": API,
        "fetched_at": NOW,
    }
    assert checked(router_answer('{"quantity":1}', complete=False)).stock == 1
    assert check(router_answer("{}", complete=False)) == ["no product in the response"]


def test_a_removed_product_keeps_what_was_known() -> None:
    answer = ParsedProduct({"product_id": 610000000001, "status": REMOVED}, None, API, NOW)
    assert checked(answer).model_fields_set == {
        "product_id",
        "status",
        "available",
        "currency",
        "url",
        "source_api",
        "fetched_at",
    }


@pytest.mark.parametrize(
    ("status", "available"),
    [("published", True), ("member expired", False), ("auditing", False), (REMOVED, False)],
)
@pytest.mark.parametrize("complete", [True, False])
def test_only_a_published_product_is_available(
    status: str,
    available: bool,  # noqa: FBT001
    complete: bool,  # noqa: FBT001
) -> None:
    fields = {"product_id": 1, "name": "杯", "stock": 5, "status": status}
    assert checked(ParsedProduct(fields, None, API, NOW, complete)).available is available


def test_a_row_without_a_status_says_nothing_of_it() -> None:
    row = checked(ParsedProduct({"product_id": 1, "name": "杯"}, None, API, NOW, complete=False))
    assert not {"status", "available"} & row.model_fields_set


def test_a_promotion_is_none_only_where_the_response_says_so() -> None:
    fields = {"product_id": 1, "name": "杯"}
    silent = checked(ParsedProduct(fields, None, API, NOW))
    assert "promotion_price" not in silent.model_fields_set
    told = checked(ParsedProduct({**fields, "promotion_price": None}, None, API, NOW))
    assert "promotion_price" in told.model_fields_set


def test_the_image_of_a_row_is_none_that_the_response_sets() -> None:
    fields = {"product_id": 1, "name": "杯", "images": ["https://cbu01.alicdn.com/1.jpg"]}
    row = checked(ParsedProduct(fields, None, API, NOW, complete=False))
    assert row.images == ["https://cbu01.alicdn.com/1.jpg"]
    assert "images" not in row.model_fields_set
    assert "images" in checked(ParsedProduct(fields, None, API, NOW)).model_fields_set
