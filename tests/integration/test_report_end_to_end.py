"""The report shows what crawls have found."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway.fields import UNLIMITED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.harness import Gateway, Scrapy

    Ids = Callable[[int], Sequence[int]]


class Page(HTMLParser):
    """The tables by their ids, as rows of texts, and the numbers at the top by their labels.

    As a browser shows them without its script: in English.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.links: list[str | None] = []
        self.pictures: list[str | None] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.numbers: dict[str, str] = {}
        self._rows: list[list[str]] = []
        self._place = ""
        self._label = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._place = tag if tag in {"td", "th", "dt", "dd"} else self._place
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attrs).get("id") or "", [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in {"td", "th"}:
            self._rows[-1].append("")
        elif tag == "a":
            self.links.append(dict(attrs)["href"])
        elif tag == "img":
            self.pictures.append(dict(attrs)["src"])

    def handle_endtag(self, tag: str) -> None:
        if tag == self._place:
            self._place = ""

    def handle_data(self, data: str) -> None:
        if self._place in {"td", "th"}:
            self._rows[-1][-1] += data
        elif self._place == "dt":
            self._label = data
        elif self._place == "dd":
            self.numbers[self._label] = data


def test_after_some_crawls(
    scrapy: Scrapy, gateway: Gateway, ids: Ids, mongo_uri: str, mongo_database: str
) -> None:
    scrapy.settings |= {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    public = [each for each in ids(30) if not gateway.product(each)["traits"]["private"]][:20]
    for product_id in public:
        gateway.product(product_id, price="80.00", stock=50)
    everything = f"ids={','.join(map(str, public))}"
    scrapy.crawl("product", "-a", everything)
    gateway.product(public[3], price="59.99")
    gateway.product(public[5], price="79.20")
    gateway.product(public[7], price="100.04")
    gateway.product(public[9], stock=0)
    gateway.fail(product_id=public[11], faults=["500"])
    scrapy.crawl("product", "-a", everything)

    command = scrapy.run("report", "week.html")
    assert command.exit_code == 0, command.log
    page = Page((scrapy.folder / "week.html").read_text(encoding="utf-8"))

    assert page.numbers == {
        "products stored": "20",
        "collected": "20",
        "new": "20",
        "changed": "4",
        "cheaper": "2",
        "dearer": "1",
        "sold out": "1",
        "out of stock": "1",
        "not for sale": "0",
    }
    names = {product_id: gateway.product(product_id)["name"] for product_id in public}
    assert moves(page.tables["drops"]) == [
        (names[public[3]], "−25.0 %", Decimal("80.00"), Decimal("59.99")),
        (names[public[5]], "−1.0 %", Decimal("80.00"), Decimal("79.20")),
    ]
    assert moves(page.tables["rises"]) == [
        (names[public[7]], "+25.1 %", Decimal("80.00"), Decimal("100.04"))
    ]
    header, *crawls = page.tables["crawls"]
    ended = [dict(zip(header, row, strict=True)) for row in crawls]
    shown = ("Spider", "Reason", "Calls", "Stored", "Changed", "Unchanged", "Errors", "Retries")
    assert [tuple(crawl[name] for name in shown) for crawl in ended] == [
        ("product", "finished", "21", "20", "4", "16", "1", "1"),
        ("product", "finished", "20", "20", "0", "0", "0", "0"),
    ]


def test_last_hours(
    scrapy: Scrapy, gateway: Gateway, ids: Ids, mongo_uri: str, mongo_database: str
) -> None:
    scrapy.settings |= {
        "ALI1688_PROTOCOL": "param2",
        "ALI1688_GATEWAY": f"{gateway.url}/openapi",
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": mongo_database,
    }
    public = [each for each in ids(30) if not gateway.product(each)["traits"]["private"]][:8]
    began, ended, expired, unlimited, limited, gone, *_ = public
    for product_id in public:
        gateway.product(product_id, price="80.00", stock=50, promotion_price=None)
    gateway.product(ended, promotion_price="70.00")
    gateway.product(limited, stock=UNLIMITED)
    everything = f"ids={','.join(map(str, public))}"
    scrapy.crawl("product", "-a", everything)
    gateway.product(began, promotion_price="60.00")
    gateway.product(ended, promotion_price=None)
    gateway.product(expired, status="expired")
    gateway.product(unlimited, stock=UNLIMITED)
    gateway.product(limited, stock=7)
    scrapy.crawl("product", "-a", everything.replace(f",{gone}", ""))

    command = scrapy.run("report", "hours.html", "--hours", "3", TZ="Asia/Tokyo")
    assert command.exit_code == 0, command.log
    assert command.stdout == "Report of 3 hours written to hours.html\n"
    page = Page((scrapy.folder / "hours.html").read_text(encoding="utf-8"))

    names = {product_id: gateway.product(product_id)["name"] for product_id in public}
    columns = {
        "promotions-began": ("Name", "Promotion price", "List price now", "Product"),
        "promotions-ended": ("Name", "Promotion price", "List price now", "Product"),
        "off-sale": ("Name", "Status", "Stock", "Product"),
    }
    assert {name: shown(page.tables[name], titles) for name, titles in columns.items()} == {
        "promotions-began": [(names[began], "¥60.00", "¥80.00", str(began))],
        "promotions-ended": [(names[ended], "¥70.00", "¥80.00", str(ended))],
        "off-sale": [(names[expired], "expired", "50", str(expired))],
    }
    assert [row[1] for row in page.tables[f"stock-{unlimited}"]] == ["Stock", "50", "unlimited"]
    assert [row[1] for row in page.tables[f"stock-{limited}"]] == ["Stock", "unlimited", "7"]
    assert str(UNLIMITED) not in page.text.replace(",", "")
    assert "Stock now 7, lowest 7, highest unlimited" in page.text
    assert {f"https://detail.1688.com/offer/{each}.html" for each in (began, ended)} < {*page.links}
    assert page.pictures
    header, *hours = page.tables["days"]
    assert header[0] == "Hour (UTC)"
    assert len(hours) in {4, 5}  # the report may have been made in the next hour
    assert '<li><span data-zh="所有商品在此期间均已采集。">All products were seen in ' in page.text
    made = re.search(r"Report made: (.*) \(UTC\+09:00\), (.*) China time\.", page.text)
    assert made is not None
    tokyo, china = map(datetime.fromisoformat, made.groups())
    assert tokyo - china == timedelta(hours=1)

    scrapy.run("report", "quiet.html", "--days", "1", "--no-images")
    quiet = Page((scrapy.folder / "quiet.html").read_text(encoding="utf-8"))
    assert quiet.pictures == []
    assert "alicdn" not in quiet.text


def shown(rows: list[list[str]], titles: Sequence[str]) -> list[tuple[str, ...]]:
    """Return some columns of a table."""
    header, *rest = rows
    return [tuple(row[header.index(title)] for title in titles) for row in rest]


def moves(rows: list[list[str]]) -> list[tuple[Any, ...]]:
    header, *moves = rows
    named = (dict(zip(header, row, strict=True)) for row in moves)
    return [
        (move["Name"], move["Percent"], amount(move["Before"]), amount(move["Now"]))
        for move in named
    ]


def amount(text: str) -> Decimal:
    return Decimal(text.replace("¥", "").replace(",", "").strip())
