"""The page of a report on 10,000 products and 100,000 changes."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from bson import Decimal128

from ali1688_spider.gateway.fields import UNLIMITED
from ali1688_spider.reporting.change_summary import ProductCounter, count_changes, product_curves
from ali1688_spider.reporting.figures import HOUR, Curve, Event, Period, ProductFigures, Report
from ali1688_spider.reporting.formatting import freshness_sentences, price_sentences
from ali1688_spider.reporting.page import link, page, picture, readings, templates
from ali1688_spider.reporting.reading import crawl_figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
QUOTA = 100_000
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"'"


def make_report(market: Any, period: Period | None = None) -> Report:
    """Return the report of a market, read from no database; by default of seven days."""
    period = period or Period.last_days(7, market.now)
    changes = sorted(map(plain, market.changes), key=itemgetter("at"))
    counter = ProductCounter(market.products, period)
    by_product = sorted(changes, key=lambda each: (each["product_id"], NOON - each["at"]))
    figures = count_changes(by_product, counter, period)
    steps = defaultdict(list)
    for change in changes:
        steps[change["product_id"]].append(change)
    shown = {product["_id"]: plain(product) for product in market.products}
    return Report(
        period=period,
        products=counter.count_all(),
        changes=figures,
        shown=shown,
        curves={n: product_curves(shown[n], steps[n], period) for n in figures.most_changed},
        missing=[],
        crawls=crawl_figures(market.crawls),
    )


def plain(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document as the report's database reads it."""
    return {
        name: value.to_decimal() if isinstance(value, Decimal128) else value
        for name, value in document.items()
    }


@pytest.fixture(scope="module")
def report(big_market: Any) -> Report:
    report = make_report(big_market)
    first = report.changes.drops[0].product_id
    report.shown[first] |= {"name": HOSTILE, "supplier": HOSTILE}
    return report


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return page(report, QUOTA, images=False)


@pytest.fixture(scope="module")
def html_with_pictures(report: Report) -> str:
    return page(report, QUOTA)


class Page(HTMLParser):
    """What a page's elements are and have."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_page_is_small(html: str) -> None:
    assert len(html.encode()) < 5_000_000


def test_page_needs_nothing_else(html: str) -> None:
    assert loaded(html) == {("link", "href", "data:,")}
    assert "//" not in re.sub(r"(?m)^\s*// .*$|<a href=\"[^\"]*\"", "", html.replace(HOSTILE, ""))
    assert "url(" not in html
    assert "@import" not in html


def test_page_loads_small_pictures_of_the_platform(html_with_pictures: str) -> None:
    pictures = loaded(html_with_pictures) - {("link", "href", "data:,")}
    assert {(tag, name) for tag, name, _ in pictures} == {("img", "src")}
    assert all(value.startswith("https://cbu01.alicdn.com/img/") for _, _, value in pictures)
    for image in (attributes for tag, attributes in Page(html_with_pictures).tags if tag == "img"):
        assert image["alt"]
        assert {name: image[name] for name in ("width", "height", "loading", "referrerpolicy")} == {
            "width": "40",
            "height": "40",
            "loading": "lazy",
            "referrerpolicy": "no-referrer",
        }


def loaded(html: str) -> set[tuple[str, str, Any]]:
    """Return each attribute by which the page could load or run something."""
    names = {"src", "href", "srcset", "action", "data", "style"}
    return {
        (tag, name, value)
        for tag, attributes in Page(html).tags
        for name, value in attributes.items()
        if (name in names and tag != "a") or name.startswith("on")
    }


def test_products_link_to_their_pages(html: str) -> None:
    links = [attributes for tag, attributes in Page(html).tags if tag == "a"]
    assert len(links) > 200
    for each in links:
        assert re.fullmatch(r"https://detail\.1688\.com/offer/\d+\.html", each["href"] or "")
        assert (each["target"], each["rel"]) == ("_blank", "noopener noreferrer")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://detail.1688.com/offer/7.html?a=1", "https://detail.1688.com/offer/7.html?a=1"),
        (None, "https://detail.1688.com/offer/7.html"),
        ("javascript:alert(1)", "https://detail.1688.com/offer/7.html"),
        ("https://x\njavascript:alert(1)", "https://detail.1688.com/offer/7.html"),
    ],
)
def test_link(url: str | None, address: str) -> None:
    assert link(7, {"url": url}) == address


def test_link_of_a_product_that_is_not_stored() -> None:
    assert link(7, None) == "https://detail.1688.com/offer/7.html"


@pytest.mark.parametrize(
    ("images", "address"),
    [
        (["https://cbu01.alicdn.com/a.jpg", "https://cbu01.alicdn.com/b.jpg"], "a.jpg"),
        (["http://cbu01.alicdn.com/a.jpg"], "a.jpg"),
        (["https://cbu01.alicdn.com.example.com/a.jpg"], None),
        (["https://alicdn.com@example.com/a.jpg"], None),
        (["https://example.com/alicdn.com/a.jpg"], None),
        (["//cbu01.alicdn.com/a.jpg"], None),
        ([], None),
        (None, None),
    ],
)
def test_picture(images: list[str] | None, address: str | None) -> None:
    whole = address and f"https://cbu01.alicdn.com/{address}"
    assert picture({"images": images}) == whole


def test_picture_of_a_product_that_is_not_stored() -> None:
    assert picture(None) is None


def test_policy_allows_the_own_style_and_script_only(html: str) -> None:
    check_policy(html)


def test_policy_allows_pictures_of_the_platform(html_with_pictures: str) -> None:
    check_policy(html_with_pictures, pictures=" https://*.alicdn.com")


def test_unlimited_stock_is_no_number(report: Report) -> None:
    first = next(iter(report.curves))
    stocks = [(report.period.start, 5), (NOON, UNLIMITED), (NOON + HOUR, 7)]
    curves = {**report.curves[first], "stock": Curve(stocks, 3)}
    moved = report.changes.drops[0].product_id
    shown = {**report.shown, moved: {**report.shown[moved], "stock": UNLIMITED}}
    html = page(replace(report, curves={first: curves}, shown=shown), QUOTA)
    assert str(UNLIMITED) not in html
    assert f"{UNLIMITED:,}" not in html
    unlimited = '<span data-zh="不限">unlimited</span>'
    assert html.count(f'<td class="number" data-sort="Infinity">{unlimited}</td>') >= 2
    assert "Stock now 7, lowest 5, highest unlimited" in html
    assert re.search(r"From 2026-11-23 12:00 \(UTC\): price ¥[\d.,]+, stock unlimited<", html)


def test_lists_of_what_went_off_sale_and_of_promotions(report: Report) -> None:
    gone = 10**9  # not stored
    events = {
        "off sale": [Event(1, NOON)],
        "promotion began": [Event(2, NOON, Decimal("3.20")), Event(gone, NOON, Decimal("1.10"))],
        "promotion ended": [],
    }
    total = Counter({"off sale": 1, "promotion began": 5})
    changes = replace(report.changes, events=events, total=total)
    shown = {**report.shown, 1: {**report.shown[1], "status": "expired"}}
    html = page(replace(report, changes=changes, shown=shown), QUOTA)
    off_sale, began = table(html, "off-sale"), table(html, "promotions-began")
    assert "<td>2026-11-23 12:00</td>" in off_sale
    assert "<td>expired</td>" in off_sale
    assert ">¥3.20</td>" in began
    assert "Promotions that began: 2 of 5" in began
    assert f'href="https://detail.1688.com/offer/{gone}.html"' in began
    assert "Promotions that ended: none." in html
    assert "5 products began a promotion and 0 ended one." in html
    assert "结束的促销：无。" in html


def table(html: str, name: str) -> str:
    match = re.search(rf'(?s)<table id="{name}">.*?</table>', html)
    assert match is not None
    return match[0]


def test_page_of_hours(small_market: Any) -> None:
    period = Period.last_hours(5, small_market.now)
    hours = replace(
        small_market,
        changes=[each for each in small_market.changes if each["at"] >= period.start],
    )
    html = page(make_report(hours, period), QUOTA)
    assert "<title data-zh=" in html
    for english, chinese in (
        (
            "Prices and stock since 23 Nov 2026 13:00 (UTC)",
            "2026年11月23日 13:00 (UTC) 以来的价格与库存",
        ),
        ("Hour by hour", "逐时变化"),
        ("Hour (UTC)", "时段 (UTC)"),
        ("Products by hour", "每小时商品数"),
        ("23 Nov 13:00", "11月23日 13:00"),
        ("23 Nov 18:30", "11月23日 18:30"),
        (
            "Prices and stock, 2026-11-23 13:00 to 2026-11-23 18:30",
            "价格与库存，2026-11-23 13:00 至 2026-11-23 18:30",
        ),
    ):
        assert f'data-zh="{chinese}">{english}</' in html
    assert "Day" not in html
    assert " a day" not in html.replace("the quota allows 100,000 a day", "")
    begins = re.findall("<td>(.*)</td>", table(html, "days"))
    assert begins == [f"2026-11-23 {hour}:00" for hour in range(13, 19)]


@pytest.fixture
def local_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the zone of this machine's clock."""

    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "made"),
    [
        ("UTC", "2026-11-23 12:00 (UTC), 2026-11-23 20:00 China time"),
        ("Europe/Berlin", "2026-11-23 13:00 (UTC+01:00), 2026-11-23 20:00 China time"),
        ("America/St_Johns", "2026-11-23 08:30 (UTC-03:30), 2026-11-23 20:00 China time"),
        ("Asia/Shanghai", "2026-11-23 20:00 China time"),
    ],
)
def test_freshness(report: Report, local_zone: Callable[[str], None], zone: str, made: str) -> None:
    local_zone(zone)
    shown = {n: {"fetched_at": at} for n, at in enumerate((NOON - HOUR, None, NOON - 50 * HOUR))}
    products = ProductFigures(total=10, collected=Counter({NOON: 7}))
    period = replace(report.period, end=NOON)
    seen = replace(report, shown=shown, products=products, period=period)
    sentences = [each.en for each in freshness_sentences(seen)]
    assert sentences[0] == f"Report made: {made}."
    assert sentences[1].startswith("Newest observation shown: 2026-11-23 ")
    assert sentences[2].startswith("Oldest observation shown: 2026-11-21 ")
    assert sentences[3] == "3 products were not seen in this time."
    assert freshness_sentences(seen)[0].zh.startswith("报告生成：")


def test_colours_have_contrast(html: str) -> None:
    """Texts have 4.5:1 and curves 3:1 at least (WCAG 2.2, 1.4.3 and 1.4.11), in both schemes."""
    schemes = re.findall(r":root \{[^}]*\}", html)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): #(\w{6});", scheme))
        for ground in ("ground", "paper"):
            for text in ("ink", "faint", "up", "down", "price", "stock"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_another_page_extends_the_frame() -> None:
    other = """{% extends "base.html" %}
    {% block title %}Live{% endblock %}
    {% block style %}{{ super() }} h1 { color: red }{% endblock %}
    {% block content %}<p>{{ text }}</p>{% endblock %}"""
    html = templates.from_string(other).render(text=HOSTILE)
    check_policy(html)
    assert "h1 { color: red }</style>" in html
    assert "<p>&lt;/script&gt;" in html


def check_policy(html: str, pictures: str = "") -> None:
    """The policy allows the style and the script of the page by their hashes, and no other."""
    policy = next(
        attributes["content"]
        for tag, attributes in Page(html).tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    style, script = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", html, re.DOTALL)
    )
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        f"img-src data:{pictures}; base-uri 'none'; form-action 'none'"
    )


def test_texts_never_become_markup(report: Report) -> None:
    crawl = {"spider": HOSTILE, "reason": HOSTILE, "started_at": NOON, "finished_at": NOON}
    crawls = crawl_figures([{**crawl, "stats": {f"ali1688/errors/{HOSTILE}": 1}}])
    first = next(iter(report.curves))
    shown = {**report.shown, first: {**report.shown[first], "name": HOSTILE}}
    hostile = replace(report, crawls=crawls, shown=shown)
    harmless, parsed = Page(page(report, QUOTA)), Page(page(hostile, QUOTA))
    assert {tag for tag, _ in parsed.tags} == {tag for tag, _ in harmless.tags}
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert HOSTILE not in page(hostile, QUOTA)
    assert page(hostile, QUOTA).count("&lt;/script&gt;&lt;script&gt;alert(1)") > 9


def test_summary_says_what_happened(report: Report) -> None:
    drop, total = report.changes.drops[0], report.changes.total
    rise = report.changes.rises[0]
    summary = price_sentences(report)
    english = [
        f"Of 10,000 products {total['cheaper']:,} became cheaper and {total['dearer']:,} dearer. ",
        f"The biggest drop: {HOSTILE} ({drop.product_id}), from ¥{drop.old:,.2f} to ",
        f" The biggest rise: {report.shown[rise.product_id]['name']} ({rise.product_id}), from ¥",
        f" {total['sold out']:,} sold out, {total['back in stock']:,} came back in stock, ",
        f"{total['off sale']:,} went off sale and {total['back on sale']:,} came back on sale. ",
        f"{total['promotion began']:,} products began a promotion and ",
        f" {total['promotion ended']:,} ended one.",
    ]
    chinese = [
        f"10,000 个商品中，{total['cheaper']:,} 个降价，{total['dearer']:,} 个涨价。跌幅最大：",
        f"{total['sold out']:,} 个售罄，{total['back in stock']:,} 个恢复有货，",
    ]
    for written, parts in ((summary.en, english), (summary.zh, chinese)):
        places = [written.find(part) for part in parts]
        assert -1 not in places
        assert places == sorted(places)


def test_summary_of_nothing() -> None:
    class Empty:
        products: tuple[Any, ...] = ()
        changes: tuple[Any, ...] = ()
        crawls: tuple[Any, ...] = ()

    market: Any = Empty()
    market.now = Period.last_days(1, NOON).end
    empty = make_report(market)
    assert price_sentences(empty).en == (
        "No product is stored yet; scrapy crawl product collects some."
    )
    assert len(freshness_sentences(empty)) == 1
    html = page(empty, QUOTA)
    for english, chinese in (
        ("No crawl ended in this time.", "此期间没有采集任务结束。"),
        ("No product to show.", "没有可显示的商品。"),
        ("Biggest drops: none.", "跌幅最大：无。"),
        ("Went off sale: none.", "已下架：无。"),
    ):
        assert f'<span data-zh="{chinese}">{english}</span>' in html


async def test_browser_shows_the_report(
    report: Report,
    html: str,
    tmp_path: Path,
    new_tab: Callable[[], AbstractAsyncContextManager[Any]],
) -> None:
    file = tmp_path / "report.html"
    file.write_text(html)
    async with new_tab() as tab:
        await tab.open(file.as_uri())
        lead = "document.querySelector('.lead').textContent"
        assert await tab.evaluate(lead) == price_sentences(report).en
        numbers = await tab.evaluate(
            "[...document.querySelectorAll('.numbers div')].map(div => div.innerText.split('\\n'))"
        )
        assert ["10,000", "products stored"] in [sorted(pair) for pair in numbers]
        await check_tables(tab, report)
        await check_charts(tab, report)
        await check_readings(tab, report)
        await check_languages(tab, report)
        assert tab.complaints == []
        assert set(tab.addresses) <= {file.as_uri(), "data:,"}


async def check_tables(tab: Any, report: Report) -> None:
    async def column(number: int) -> list[str]:
        cells = f"#drops tbody tr:not([hidden]) td:nth-child({number})"
        texts: list[str] = await tab.evaluate(
            f"[...document.querySelectorAll('{cells}')].map(cell => cell.textContent)"
        )
        return texts

    prices = [f"¥{move.new:,.2f}" for move in report.changes.drops]
    ascending = [f"¥{price:,.2f}" for price in sorted(move.new for move in report.changes.drops)]
    assert len(prices) == 100
    assert (await column(1))[0] == HOSTILE
    assert await column(4) == prices
    head = "document.querySelector('#drops th:nth-child(4)')"
    await tab.evaluate(f"{head}.querySelector('button').click()")
    assert await column(4) == ascending
    assert await tab.evaluate(f"{head}.getAttribute('aria-sort')") == "ascending"
    await tab.evaluate(f"{head}.querySelector('button').click()")
    assert await column(4) == ascending[::-1]
    await tab.evaluate("document.querySelector('.filter:not([hidden]) input').focus()")
    await tab.call("Input.insertText", text="ALERT(1)")
    assert await column(1) == [HOSTILE]
    output = "document.querySelector('.filter:not([hidden]) output').textContent"
    assert await tab.evaluate(output) == "1 / 100"


async def check_charts(tab: Any, report: Report) -> None:
    labels = await tab.evaluate(
        "[...document.querySelectorAll('svg')].map(svg => svg.getAttribute('aria-label'))"
    )
    assert len(labels) == 3 + 2 * len(report.curves) == 19
    assert labels[1] == "Products whose stock changed"
    assert labels[3].startswith("Price now ¥")
    heights = await tab.evaluate(
        "[...document.querySelectorAll('svg path')].map(path => path.getBBox().height)"
    )
    assert len(heights) == 16
    assert max(heights) > 50


async def check_readings(tab: Any, report: Report) -> None:
    """A chart says its values where the mouse is, and by the keyboard when it has the focus."""
    plot = "document.querySelector('.card .plot')"
    tip = f"{plot}.querySelector('.tip')"
    product_id = next(iter(report.curves))
    times = [f"{when:%Y-%m-%d %H:%M}" for when, _ in readings(report.curves[product_id])]

    async def press(key: str) -> str:
        await tab.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        text: str = await tab.evaluate(f"{tip}.textContent")
        assert text == await tab.evaluate(f"{plot}.getAttribute('aria-valuetext')")
        return text

    assert await tab.evaluate(f"{plot}.getAttribute('role')") == "slider"
    assert await tab.evaluate(f"{tip}.hidden")
    await tab.evaluate(f"{plot}.focus()")
    assert not await tab.evaluate(f"{tip}.hidden")
    first = report.curves[product_id]["price"].points[0][1]
    assert (await press("Home")).startswith(f"From {times[0]} (UTC): price ¥{first:,.2f}, stock ")
    assert (await press("ArrowLeft")).startswith(f"From {times[0]} ")
    assert (await press("ArrowRight")).startswith(f"From {times[1]} ")
    assert (await press("End")).startswith(f"From {times[-1]} ")
    assert (await press("ArrowLeft")).startswith(f"From {times[-2]} ")
    await press("Escape")
    assert await tab.evaluate(f"{tip}.hidden")
    await tab.evaluate(f"{plot}.scrollIntoView()")
    box = await tab.evaluate(f"{plot}.querySelectorAll('svg')[1].getBoundingClientRect().toJSON()")
    middle = box["y"] + box["height"] / 2
    await tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=box["x"] + 1, y=middle)
    assert (await tab.evaluate(f"{tip}.textContent")).startswith(f"From {times[0]} ")
    assert not await tab.evaluate(f"{tip}.hidden")
    await tab.evaluate(f"{plot}.blur()")
    await tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    assert await tab.evaluate(f"{tip}.hidden")


async def check_languages(tab: Any, report: Report) -> None:
    """The buttons switch all texts, and leave what the reader has sorted and filtered."""

    async def texts(selector: str, value: str = "textContent") -> list[str]:
        script = f"[...document.querySelectorAll('{selector}')].map(each => each.{value})"
        found: list[str] = await tab.evaluate(script)
        return found

    ascii_letters = re.compile("[A-Za-z]{3,}")
    await tab.evaluate("document.querySelector('.languages button[lang=zh-Hans]').click()")
    assert await tab.evaluate("document.documentElement.lang") == "zh-Hans"
    assert (await texts(".lead"))[0] == price_sentences(report).zh
    assert await tab.evaluate("document.title") == "价格与库存，2026-11-16 至 2026-11-23"
    for selector in ("h1", "h2", "th", "dt", "caption", "summary", "figcaption", "label", ".axis"):
        for each in await texts(selector):
            assert not ascii_letters.search(each.replace("UTC", "")), (selector, each)
    for each in await texts("[aria-label]", "getAttribute('aria-label')"):
        assert not ascii_letters.search(each), each
    reading = await texts(".plot", "getAttribute('aria-valuetext')")
    assert all(not ascii_letters.search(each.replace("UTC", "")) for each in reading)
    assert len(await texts("#drops tbody tr:not([hidden])")) == 1
    assert await texts(".languages button", "getAttribute('aria-pressed')") == ["false", "true"]
    await tab.evaluate("document.querySelector('.languages button[lang=en]').click()")
    assert (await texts(".lead"))[0] == price_sentences(report).en
    assert await tab.evaluate("document.title") == "Prices and stock, 2026-11-16 to 2026-11-23"


@pytest.mark.parametrize(
    ("language", "expected"), [("zh-CN", "zh-Hans"), ("zh-TW", "zh-Hans"), ("de-DE", "en")]
)
async def test_browser_begins_in_the_language_of_its_reader(
    html: str,
    tmp_path: Path,
    new_tab: Callable[[], AbstractAsyncContextManager[Any]],
    language: str,
    expected: str,
) -> None:
    file = tmp_path / "report.html"
    file.write_text(html)
    async with new_tab() as tab:
        await tab.open(file.as_uri(), language)
        assert await tab.evaluate("document.documentElement.lang") == expected


async def test_browser_does_not_miss_pictures(
    html_with_pictures: str,
    tmp_path: Path,
    new_tab: Callable[[], AbstractAsyncContextManager[Any]],
) -> None:
    """Pictures that cannot be loaded leave their place, and the page as it was."""
    file = tmp_path / "report.html"
    file.write_text(html_with_pictures)
    row = "document.querySelector('#drops tbody tr')"
    async with new_tab() as tab:
        await tab.open(file.as_uri())
        script = f"{row}.scrollIntoView(), {row}.getBoundingClientRect().height"
        height = await tab.evaluate(script)
        await tab.evaluate(
            "new Promise(done => { const image = document.querySelector('#drops img');"
            " if (image.complete) done(); else image.onerror = done; })"
        )
        size = await tab.evaluate(
            "(({width, height}) => [width, height])"
            "(document.querySelector('#drops img').getBoundingClientRect())"
        )
        assert size == [40, 40]
        assert await tab.evaluate(script) == height
        assert await tab.evaluate(f"{row}.querySelector('a').textContent") == HOSTILE
        hosts = {urlsplit(each).hostname for each in tab.addresses} - {None, ""}
        assert hosts == {"cbu01.alicdn.com"}
