"""Other ways to find products than by keyword: a picture, a shop, a product, a ranking, a pool."""

from __future__ import annotations

import io
import random
import urllib.request
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.harness import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness import Gateway, Scrapy

    Settings = Callable[[str], dict[str, str]]

FIRST = 610_000_000_001
POOL = 174_316_138
CUPS = 1_031_910


@pytest.fixture
def search(scrapy: Scrapy, settings_for: Settings) -> Callable[..., dict[int, dict[str, object]]]:
    """Return the products that a search collects, by their ids."""

    def run(*arguments: str) -> dict[int, dict[str, object]]:
        options = [part for each in arguments for part in ("-a", each)]
        crawl = scrapy.crawl("search", *options, "-O", "out.jsonl", **settings_for("param2"))
        return crawl.read("out.jsonl")

    return run


def picture_of(gateway: Gateway, product_id: int) -> bytes:
    address = f"{gateway.url}/_sandbox/images/{product_id}.png"
    with urllib.request.urlopen(address) as response:
        content: bytes = response.read()
        return content


def test_a_picture_in_a_file_finds_its_product_first(
    search: Callable[..., dict[int, dict[str, object]]], gateway: Gateway, scrapy: Scrapy
) -> None:
    (scrapy.folder / "cup.png").write_bytes(picture_of(gateway, FIRST + 7))
    assert next(iter(search("image=cup.png", "max_pages=1"))) == FIRST + 7


def test_a_worker_finds_by_a_picture_too(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"ALI1688_PROTOCOL": "param2"}) as cluster:
        picture = tmp_path / "cup.png"
        picture.write_bytes(picture_of(cluster.gateway, FIRST + 7))
        arguments = ("-a", f"image={picture}", "-a", "max_pages=1", "-O", "out.jsonl")
        address = f"{cluster.gateway.url}/openapi"
        search = cluster.run("crawl", "search", *arguments, ALI1688_GATEWAY=address)
        assert search.finish().ended_well().read("out.jsonl").keys() >= {FIRST + 7}


def test_a_picture_at_an_address_finds_its_product_first(
    search: Callable[..., dict[int, dict[str, object]]], gateway: Gateway
) -> None:
    address = f"{gateway.url}/_sandbox/images/{FIRST + 7}.png"
    assert next(iter(search(f"image={address}", "max_pages=1"))) == FIRST + 7


def test_a_large_picture_is_made_smaller(
    search: Callable[..., dict[int, dict[str, object]]], scrapy: Scrapy
) -> None:
    noise = Image.frombytes("RGB", (1500, 1200), random.Random(1).randbytes(1500 * 1200 * 3))
    noise.save(scrapy.folder / "large.png")
    assert (scrapy.folder / "large.png").stat().st_size > 5_000_000
    assert search("image=large.png", "max_pages=1")


def test_what_is_no_picture_is_refused_before_the_crawl(
    scrapy: Scrapy, settings_for: Settings
) -> None:
    (scrapy.folder / "cup.png").write_text("not a picture")
    crawl = scrapy.run("crawl", "search", "-a", "image=cup.png", **settings_for("param2"))
    assert crawl.exit_code == 1
    assert "image 'cup.png' cannot be read: it is no picture that can be read" in crawl.log
    assert "Traceback" not in crawl.log


def test_a_picture_that_the_platform_refuses_ends_the_crawl(
    scrapy: Scrapy, gateway: Gateway, settings_for: Settings
) -> None:
    small = io.BytesIO()
    Image.new("RGB", (8, 8)).save(small, "PNG")
    (scrapy.folder / "cup.png").write_bytes(small.getvalue())
    upload = "com.alibaba.fenxiao.crossborder:product.image.upload-1"
    gateway.fail(api=upload, faults=["not-own-order"])
    crawl = scrapy.run("crawl", "search", "-a", "image=cup.png", **settings_for("param2"))
    assert crawl.exit_code == 1
    assert "image 'cup.png' cannot be searched by" in crawl.log
    assert "Traceback" not in crawl.log


def test_an_upload_that_fails_for_a_while_is_tried_again(
    search: Callable[..., dict[int, dict[str, object]]], gateway: Gateway, scrapy: Scrapy
) -> None:
    (scrapy.folder / "cup.png").write_bytes(picture_of(gateway, FIRST + 7))
    upload = "com.alibaba.fenxiao.crossborder:product.image.upload-1"
    gateway.fail(api=upload, faults=["500"], times=2)
    assert FIRST + 7 in search("image=cup.png", "max_pages=1")


def test_without_calls_left_no_picture_is_uploaded(
    scrapy: Scrapy, gateway: Gateway, settings_for: Settings
) -> None:
    (scrapy.folder / "cup.png").write_bytes(picture_of(gateway, FIRST + 7))
    settings = settings_for("param2") | {"ALI1688_DAILY_QUOTA": "1"}
    crawl = scrapy.run("crawl", "search", "-a", "image=cup.png", **settings)
    assert crawl.exit_code == 1
    assert crawl.stats["finish_reason"] == "quota_exhausted"
    assert gateway.calls == 1
    assert "Traceback" not in crawl.log


def test_a_shop_shows_its_own_products(
    search: Callable[..., dict[int, dict[str, object]]], gateway: Gateway
) -> None:
    seller = gateway.product(FIRST)["seller_id"]
    found = search(f"shop={seller}")
    assert FIRST in found
    assert len(found) > 1
    assert all(gateway.product(product_id)["seller_id"] == seller for product_id in found)


def test_products_related_to_another(search: Callable[..., dict[int, dict[str, object]]]) -> None:
    found = search(f"related_to={FIRST}", "max_pages=2")
    assert found
    assert FIRST not in found


def test_a_ranking_of_a_category(search: Callable[..., dict[int, dict[str, object]]]) -> None:
    assert 0 < len(search(f"top={CUPS}", "rank=hot")) <= 20


def test_a_pool_is_walked(
    search: Callable[..., dict[int, dict[str, object]]], gateway: Gateway
) -> None:
    found = search(f"pool={POOL}", "max_pages=1", "details=1")
    assert found
    assert all(gateway.product(product_id)["curated"] for product_id in list(found)[:20])


def test_a_category_is_walked_without_a_keyword(
    search: Callable[..., dict[int, dict[str, object]]], gateway: Gateway
) -> None:
    found = search(f"category_id={CUPS}", "max_pages=1")
    assert {gateway.product(product_id)["category_id"] for product_id in found} == {CUPS}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["keyword=杯子", "sort=cheap"], "sort is 'cheap', which"),
        (["keyword=杯子", "filter=shipInToday,nice"], "filter is 'nice', which"),
        (["shop=BBBx", f"related_to={FIRST}"], "shop and related_to are two searches"),
        ([f"top={CUPS}", "price_start=3"], "cannot search by price_start"),
        (["image=no-such-file.png"], "image 'no-such-file.png' cannot be read"),
        (["keyword=杯子", "modified_since=yesterday"], "modified_since is 'yesterday'"),
    ],
)
def test_what_cannot_be_searched_by_is_said(
    scrapy: Scrapy, settings_for: Settings, arguments: list[str], sentence: str
) -> None:
    options = [part for each in arguments for part in ("-a", each)]
    crawl = scrapy.run("crawl", "search", *options, **settings_for("param2"))
    assert crawl.exit_code == 1
    assert sentence in crawl.log


def test_an_api_is_told_what_it_searches_by(scrapy: Scrapy, settings_for: Settings) -> None:
    shops = "com.alibaba.fenxiao.crossborder:product.search.querySellerOfferList-1"
    settings = settings_for("param2") | {"ALI1688_SEARCH_API": shops}
    crawl = scrapy.run("crawl", "search", "-a", "category_id=1031910", **settings)
    assert crawl.exit_code == 1
    assert "querySellerOfferList-1 searches by shop: say -a shop=…, or choose" in crawl.log


def test_a_keyword_with_7300_products_of_one_category_is_seen_whole(
    scrapy: Scrapy, gateway: Gateway, settings_for: Settings
) -> None:
    arguments = ("-a", "keyword=保温杯7300", "-a", f"category_id={CUPS}", "-O", "out.jsonl")
    crawl = scrapy.crawl("search", *arguments, **settings_for("param2"))
    assert len(crawl.read("out.jsonl")) == 7300
    assert gateway.calls <= 1.4 * 7300 / 50
