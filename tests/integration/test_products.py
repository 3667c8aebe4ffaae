"""The main way: ids in, exact products out, by every protocol and API."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pymongo
import pytest

from tests.certificates import make_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.harness import Gateway, Process, Scrapy

    Settings = Callable[[str], dict[str, str]]
    Ids = Callable[[int], Sequence[int]]

GET = "com.alibaba.product:alibaba.product.get-1"
SIMPLE = "com.alibaba.product:alibaba.product.simple.get-1"
CROSS = "com.alibaba.product:alibaba.cross.productInfo-1"
DETAIL = "com.alibaba.fenxiao.crossborder:product.search.queryProductDetail-1"
FIRST_ID = 610_000_000_001
TLS_PROXY = Path(__file__).with_name("tls_proxy.py")
BY_QUANTITY, _, BY_QUANTITY_WITH_SKUS, BY_SKU_AND_QUANTITY = range(4)


def listed(ids: Sequence[int]) -> str:
    return ",".join(map(str, ids))


def exact(tiers: Any) -> list[tuple[int, Decimal]]:
    return [(tier["min_quantity"], Decimal(tier["price"])) for tier in tiers]


def amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def prices(truth: Any, api: str) -> tuple[Decimal | None, Decimal | None]:
    """Return the lowest and the highest price that an API tells of a product."""
    low = Decimal(truth["price"])
    if truth["traits"]["private"]:
        return None, None
    if api in {"alibaba.product.get", ""}:
        return low, low
    if api != DETAIL:
        return low, Decimal(truth["price_max"])
    of_skus = truth["traits"]["quote_type"] == BY_SKU_AND_QUANTITY
    highest = [sku["price"] for sku in truth["skus"]] if of_skus else [truth["price_max"]]
    highest += [each["retail_price"] for each in (truth, *truth["skus"]) if each["retail_price"]]
    return low, max(map(Decimal, highest))


def sku_prices(truth: Any, api: str) -> list[tuple[Decimal | None, list[tuple[int, Decimal]]]]:
    """Return the price and the tiers that an API tells of each SKU of a product."""
    quote_type, private = truth["traits"]["quote_type"], truth["traits"]["private"]
    if private or api == SIMPLE or quote_type == BY_QUANTITY_WITH_SKUS:
        return [(None, [])] * len(truth["skus"])
    if api == DETAIL:
        told = [(Decimal(sku["price"]), amount(sku["retail_price"])) for sku in truth["skus"]]
        return [(price, [(1, one), (2, price)] if one else []) for price, one in told]
    by_tier = quote_type == BY_SKU_AND_QUANTITY
    return [
        (Decimal(sku["price"]), exact(sku["tiers"]) if by_tier else []) for sku in truth["skus"]
    ]


@pytest.mark.parametrize(
    ("protocol", "api"),
    [
        ("router", ""),
        ("top", ""),
        ("param2", GET),
        ("param2", SIMPLE),
        ("param2", CROSS),
        ("param2", DETAIL),
    ],
)
def test_every_product_arrives_exactly(
    *, protocol: str, api: str, scrapy: Scrapy, gateway: Gateway, settings_for: Settings, ids: Ids
) -> None:
    wanted = ids(100)  # any hundred in a row have every shape
    gateway.set(related=1.0)
    crawl = scrapy.crawl(
        "product",
        *("-a", f"ids={listed(wanted)}", "-O", "products.jsonl"),
        **settings_for(protocol),
        ALI1688_PRODUCT_API=api,
        ALI1688_SIGN_METHOD="hmac-sha256",
    )
    products = crawl.read("products.jsonl")
    assert set(products) == set(wanted)
    for product_id, product in products.items():
        truth = gateway.product(product_id)
        assert product["name"] == truth["name"]
        has_stock = api != SIMPLE or truth["skus"]
        assert product["stock"] == (truth["stock"] if has_stock else None)
        assert (amount(product["price"]), amount(product["price_max"])) == prices(truth, api)
        assert product["price_private"] is (truth["traits"]["private"] and api in {GET, CROSS})
        if not api:
            continue
        by_quantity = truth["traits"]["quote_type"] in {BY_QUANTITY, BY_QUANTITY_WITH_SKUS}
        told = by_quantity and api != SIMPLE and not truth["traits"]["private"]
        of_one = [(1, Decimal(truth["retail_price"]))] if truth["traits"]["retail"] else []
        tiers = (of_one if api == DETAIL else []) + exact(truth["tiers"])
        assert exact(product["price_tiers"]) == (tiers if told else [])
        assert [(sku["sku_id"], sku["stock"]) for sku in product["skus"]] == [
            (sku["sku_id"], sku["stock"]) for sku in truth["skus"]
        ]
        assert [
            (amount(sku["price"]), exact(sku["price_tiers"])) for sku in product["skus"]
        ] == sku_prices(truth, api)
    status = gateway.status()
    assert (status["calls"], status["answered"], status["errors"]) == (100, 100, {})
    assert crawl.stats["ali1688/calls"] == 100


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"productName": "茶杯", "price": 2.5, "quantity": 2**70}, "stock: "),
    ({"productName": "茶\ud800杯", "price": 2.5, "quantity": 3}, "name: holds half a surrogate"),
    ({"productName": "茶杯", "price": -2.5, "quantity": 3}, "price: below 0"),
    ({"productName": "茶杯", "price": "NaN", "quantity": 3}, "price: not a"),
    ({"productName": "", "price": 2.5, "quantity": 3}, "name: "),
    ({"productName": {"zh": "茶杯"}, "price": 2.5, "quantity": 3}, "name: not text"),
    ({"productName": "茶杯", "price": 2.5, "quantity": -1}, "stock: below 0"),
    ({"productName": "茶杯", "price": 2.5, "quantity": 2.5}, "stock: not a whole number"),
    ({}, "no product in the response"),
]


def answer(protocol: str, product: dict[str, Any]) -> Any:
    if protocol == "router":
        return {"result": {"product": product}}
    if not product:
        return {"result": {"result": {}}}
    tiers = [{"startQuantity": 1, "price": product["price"]}]
    detail = {
        "subject": product["productName"],
        "productSaleInfo": {
            "quoteType": 0,
            "priceRangeList": tiers,
            "amountOnSale": product["quantity"],
        },
    }
    return {"result": {"result": detail}}


@pytest.mark.parametrize("protocol", ["router", "param2"])
def test_impossible_products_are_kept_apart_with_reasons(
    *,
    protocol: str,
    scrapy: Scrapy,
    gateway: Gateway,
    settings_for: Settings,
    ids: Ids,
    mongo_uri: str,
    mongo_database: str,
) -> None:
    wanted = ids(39)
    reasons = dict(zip(wanted[2::4], (reason for _, reason in IMPOSSIBLE), strict=False))
    for product_id, (product, _) in zip(reasons, IMPOSSIBLE, strict=True):
        gateway.product(product_id, answer=answer(protocol, product))
    crawl = scrapy.crawl(
        "product",
        *("-a", f"ids={listed(wanted)}", "-O", "products.csv"),
        **settings_for(protocol),
        MONGO_URI=mongo_uri,
        MONGO_DATABASE=mongo_database,
    )
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongo_uri)
    with client:
        stored = {each["_id"]: each for each in client[mongo_database]["products"].find()}
        rejected = list(client[mongo_database]["rejected_items"].find())
    assert set(stored) == set(wanted) - set(reasons)
    assert len(stored) == 30
    for product_id, document in stored.items():
        truth = gateway.product(product_id)
        low = None if truth["traits"]["private"] else Decimal(truth["price"])
        price = document["price"]
        assert (document["name"], document["stock"]) == (truth["name"], truth["stock"])
        assert (price if price is None else price.to_decimal()) == low
    assert len(rejected) == 9
    for document in rejected:
        reason = reasons[document["product_id"]]
        assert any(
            error.startswith((reason, f"price_tiers[0].{reason}")) for error in document["errors"]
        )
        assert document["payload"]
    assert crawl.stats["ali1688/items/stored"] == 30
    assert crawl.stats["ali1688/items/rejected"] == 9
    assert "ali1688/retries" not in crawl.stats
    assert gateway.status()["calls"] == 39
    with (crawl.folder / "products.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][:4] == ["product_id", "name", "price", "stock"]
    assert {int(row[0]) for row in rows[1:]} == set(stored)


def test_ids_in_every_form(scrapy: Scrapy, gateway: Gateway, ids: Ids) -> None:
    first, second, third, fourth, fifth = ids(5)
    lines = [
        "\ufeff# what we sell\r",
        f"{first}",
        "",
        f"https://detail.1688.com/offer/{second}.html?spm=a2.b3",
        "a teapot",
        f"  https://m.1688.com/offer/{first}.html  ",
        f"https://detail.1688.com/page?offerId={third}",
        "0",
        f"{fourth}",
    ]
    (scrapy.folder / "ids.txt").write_text("\n".join(lines))
    crawl = scrapy.crawl_incompletely(
        "product",
        *("-a", f"ids={fifth},https://m.1688.com/offer/{first}.html,nonsense"),
        *("-a", "ids_file=ids.txt"),
    )
    assert gateway.status()["by_product"] == dict.fromkeys(map(str, ids(5)), 1)
    assert crawl.stats["ali1688/ids/unreadable"] == 3
    assert crawl.log.count("WARNING: 3 entries have no product id:\n") == 1
    assert "\nLine 5: 'a teapot' is neither a product id nor a product's URL" in crawl.log
    assert "\nLine 8: '0' is out of range" in crawl.log


def count_accepted(running: Process, ids: Sequence[int]) -> int:
    """Write ids to a command, one a line, until it ends; return how many it took."""
    for accepted, product_id in enumerate(ids):
        try:
            running.write(f"{product_id}\n")
        except BrokenPipeError:
            return accepted
    return len(ids)


def test_a_million_lines_are_read_as_they_are_needed(scrapy: Scrapy, gateway: Gateway) -> None:
    running = scrapy.start("crawl", "product", "-a", "ids_file=-", "-s", "CLOSESPIDER_ITEMCOUNT=20")
    accepted = count_accepted(running, range(FIRST_ID, FIRST_ID + 1_000_000))
    crawl = running.finish()
    assert crawl.exit_code == 0
    assert crawl.stats["finish_reason"] == "closespider_itemcount"
    assert gateway.status()["calls"] < 200
    assert accepted < 10_000  # what a pipe holds


def test_a_pipe_that_stays_open_keeps_nothing_waiting(
    scrapy: Scrapy, gateway: Gateway, ids: Ids
) -> None:
    os.mkfifo(scrapy.folder / "ids")
    running = scrapy.start(
        "crawl", "product", "-a", "ids_file=ids", "-s", "CLOSESPIDER_ITEMCOUNT=3"
    )
    with (scrapy.folder / "ids").open("w") as pipe:
        pipe.write("".join(f"{product_id}\n" for product_id in ids(3)))
        pipe.flush()
        crawl = running.finish()
    assert crawl.stats["finish_reason"] == "closespider_itemcount"
    assert gateway.status()["by_product"] == dict.fromkeys(map(str, ids(3)), 1)


@pytest.mark.parametrize("chosen", ["", "asyncio.SelectorEventLoop"])
def test_the_event_loop_is_uvloop_where_it_is_installed(
    scrapy: Scrapy, ids: Ids, chosen: str
) -> None:
    arguments = ["-s", f"ASYNCIO_EVENT_LOOP={chosen}"] if chosen else []
    crawl = scrapy.crawl(
        "product",
        *("-a", f"ids={listed(ids(3))}", "-O", "products.jsonl", *arguments),
        LOG_LEVEL="DEBUG",
    )
    used = "uvloop.Loop" if find_spec("uvloop") and not chosen else "unix_events._Unix"
    assert re.search(rf"Using asyncio event loop: (asyncio\.)?{re.escape(used)}", crawl.log)
    assert set(crawl.read("products.jsonl")) == set(ids(3))


def test_a_gateway_that_speaks_tls(
    scrapy: Scrapy, gateway: Gateway, ids: Ids, tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path)
    port = str(urlsplit(gateway.url).port)
    command = [sys.executable, TLS_PROXY, port, certificate, key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        crawl = scrapy.crawl(
            "product",
            *("-a", f"ids={listed(ids(100))}", "-O", "products.jsonl"),
            ALI1688_GATEWAY=f"https://127.0.0.1:{proxy.stdout.readline().strip()}/router/json",
            SSL_CERT_FILE=str(certificate),
        )
        proxy.kill()
    assert set(crawl.read("products.jsonl")) == set(ids(100))
