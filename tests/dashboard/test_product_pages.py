"""The pages of products, as a browser gets them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from ali1688_spider.dashboard.access import HEADERS
from tests.dashboard.shop import (
    BOTTLE,
    DRESS,
    HOSTILE,
    LONGEST,
    PRIVATE,
    TRICK,
    product,
    shop,
)

if TYPE_CHECKING:
    from ali1688_spider.storage.database import Database
    from tests.dashboard.conftest import Pages

PAGES = (f"/products/{each}?days=90" for each in (BOTTLE, DRESS, TRICK, LONGEST, PRIVATE))
ADDRESSES = ("/products", "/products?q=", "/changes?hours=168", *PAGES)
VOID = {"meta", "link", "input", "img", "br", "rect", "line", "path"}


class Parsed(HTMLParser):
    """A page's elements and texts; every element has its end."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.elements if each == tag]


async def get(pages: Pages, address: str, status: int = 200) -> tuple[str, Parsed]:
    """Return a page as it came, and parsed."""
    response = await pages.get(address)
    html = await response.text()
    assert response.status == status, html
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert {name: response.headers[name] for name in HEADERS} == HEADERS
    return html, Parsed(html)


@pytest.fixture
async def filled(database: Database) -> None:
    products, changes = shop()
    await database["products"].insert_many(products)
    await database["product_changes"].insert_many(changes)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("address", ADDRESSES)
async def test_nothing_that_is_stored_becomes_markup(pages: Pages, address: str) -> None:
    html, page = await get(pages, address)
    assert page.of("script") == [{"src": f"/assets/{name}.js"} for name in ("base", "dashboard")]
    assert page.of("style") == page.of("img") == []
    for tag, attributes in page.elements:
        assert not {name for name in attributes if name.startswith("on")}, tag
        assert "style" not in attributes
    assert HOSTILE not in html
    links = {each["href"] or "" for each in page.of("a")}
    allowed = r"/|/products|/changes|/products/\d+|/products\?q=\S+|\?(days|hours)=\d+"
    assert [link for link in links if not re.fullmatch(allowed, link)] == [
        each for each in links if re.fullmatch(r"https://detail\.1688\.com/offer/\d+\.html", each)
    ]


@pytest.mark.usefixtures("filled")
async def test_hostile_names_are_texts(pages: Pages) -> None:
    for address in ("/products", f"/products/{TRICK}", "/changes"):
        _, page = await get(pages, address)
        assert HOSTILE in page.texts
    _, page = await get(pages, f"/products/{TRICK}")
    assert page.texts.count(HOSTILE) >= 3
    _, page = await get(pages, f"/products?q={quote(HOSTILE)}")
    assert [each["value"] for each in page.of("input") if each.get("name") == "q"] == [HOSTILE]
    assert HOSTILE in page.texts


async def test_pictures_come_from_the_platform_only(pages: Pages, database: Database) -> None:
    trusted = "https://cbu01.alicdn.com/img/ibank/1.jpg"
    pictures = {1: trusted, 2: "https://evil.example/1.jpg", 3: "javascript:alert(1)"}
    await database["products"].insert_many(
        [product(n, f"杯 {n}", images=[each]) for n, each in pictures.items()]
    )
    for address, count in (("/products", 1), ("/products/1", 1), ("/products/2", 0)):
        _, page = await get(pages, address)
        assert [each["src"] for each in page.of("img")] == [trusted] * count
        assert all(each["referrerpolicy"] == "no-referrer" for each in page.of("img"))


@pytest.mark.usefixtures("filled")
async def test_search(pages: Pages) -> None:
    html, page = await get(pages, f"/products?q={quote('(新款) c++')}")
    assert f'<a href="/products/{BOTTLE}">304不锈钢保温杯 500ml (新款) C++</a>' in html
    assert f"/products/{DRESS}" not in html
    for text in ("¥12.50", "¥9.90", "300", "published", "义乌市好运日用品厂"):
        assert text in page.texts
    form = page.of("form")
    assert form == [{"class": "search", "method": "get", "action": "/products", "role": "search"}]
    _, page = await get(pages, "/products?q=nothing")
    assert page.of("table") == []
    assert any("No product that is stored has these words" in text for text in page.texts)
    _, page = await get(pages, "/products?q=610000000099")
    assert "Not stored: 610000000099." in page.texts


async def test_an_empty_shop(pages: Pages) -> None:
    _, page = await get(pages, "/products")
    assert "No product is stored yet; scrapy crawl product collects some." in page.texts
    _, page = await get(pages, "/changes")
    assert "No change was observed in this time." in page.texts


@pytest.mark.usefixtures("filled")
async def test_one_product(pages: Pages) -> None:
    html, page = await get(pages, f"/products/{BOTTLE}")
    for text in (
        "304不锈钢保温杯 500ml (新款) C++",
        "Stainless vacuum bottle",
        "Price now ¥12.50, lowest ¥12.50, highest ¥14.00",
        "Stock now 300, lowest 0, highest 500",
        "Price from 100 pieces on",
        "颜色: 红15; 容量: 500ml",
        "保温杯",
        "The page on 1688",
    ):
        assert text in page.texts, text
    assert "too many changes" not in html
    times = [each["href"] for each in page.of("a") if "aria-current" in each]
    assert times == ["/products", "?days=7"]
    # The product's, and of twelve SKUs, both a price and a stock.
    assert len(page.of("svg")) == 2 + 2 * 12
    html, _ = await get(pages, f"/products/{BOTTLE}?days=1")
    assert "Price now ¥12.50, lowest ¥12.50, highest ¥13.00" in html
    html, _ = await get(pages, f"/products/{BOTTLE}?days=90")
    assert "Price now ¥12.50, lowest ¥12.50, highest ¥15.00" in html


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("address", ["/changes", f"/products/{PRIVATE}"])
async def test_private_prices_are_not_shown(pages: Pages, address: str) -> None:
    html, page = await get(pages, address)
    assert "私密商品" in page.texts
    assert not re.search("77.70|66.60", html)


async def test_a_product_of_which_little_is_known(pages: Pages, database: Database) -> None:
    await database["products"].insert_one({"_id": 7, "skus": [{"sku_id": None}, {"price": None}]})
    html, page = await get(pages, "/products/7")
    assert page.of("h1") == [{}]
    assert "<h1>7</h1>" in html
    html, _ = await get(pages, "/products")
    assert '<a href="/products/7">7</a>' in html


@pytest.mark.parametrize(
    ("address", "status", "english", "chinese"),
    [
        ("/products/610000000099", 404, "No product with the id 610000000099 is stored.", "没有"),
        ("/products/x", 400, "That is no product id: an id has digits only", "这不是商品编号"),
        ("/products/0", 400, "That is no product id: an id has digits only", "这不是商品编号"),
        ("/products/9223372036854775808", 400, "That is no product id", "这不是商品编号"),
        (f"/products/{quote(HOSTILE, safe='')}", 400, "That is no product id", "这不是商品编号"),
        ("/products/1?days=2", 400, "The curves are of 1, 7, 30 or 90 days.", "走势可为"),
        ("/products/1?days=7.0", 400, "The curves are of 1, 7, 30 or 90 days.", "走势可为"),
        ("/changes?hours=0", 400, "The hours can be a whole number from 1 to 168.", "小时数须为"),
        ("/changes?hours=169", 400, "The hours can be a whole number from 1 to 168.", "小时数"),
        ("/changes?hours=", 400, "The hours can be a whole number from 1 to 168.", "小时数"),
        ("/changes?hours=１", 400, "The hours can be a whole number from 1 to 168.", "小时数"),
    ],
)
async def test_mistakes_are_one_sentence_in_the_frame(
    pages: Pages, address: str, status: int, english: str, chinese: str
) -> None:
    html, page = await get(pages, address, status)
    assert english in html
    assert f'data-zh="{chinese}' in html
    assert {"href": "/products", "aria-current": "page"} in page.of("a") or "/changes" in address
    assert len(page.of("form")) == 1


@pytest.mark.usefixtures("filled")
async def test_changes_say_which_time_they_are_of(pages: Pages) -> None:
    html, page = await get(pages, "/changes")
    assert "Changes of the last 24 hours" in page.texts
    time = page.of("time")[0]["datetime"]
    assert time is not None
    utc, china = re.findall(r"Since (\S+ \S+) \(UTC\), (\S+ \S+) in China, until now\.", html)[0]
    assert time == f"{utc.replace(' ', 'T')}:00+00:00"
    assert (int(china[11:13]) - int(utc[11:13])) % 24 == 8
    for title in ("Biggest drops", "Biggest rises", "Went off sale", "Promotions that began"):
        assert title in page.texts
    html, page = await get(pages, "/changes?hours=1")
    assert "Changes of the last 1 hour" in page.texts


async def test_changes_that_came_since(pages: Pages, database: Database) -> None:
    await get(pages, "/changes")
    products, changes = shop()
    await database["products"].insert_many(products)
    await database["product_changes"].insert_many(changes)
    html, _ = await get(pages, "/changes?hours=72")
    assert f'<a href="/products/{DRESS}">夏季连衣裙 Dress</a>' in html
