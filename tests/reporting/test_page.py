"""The page of a report on 10,000 products and 100,000 changes."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pytest
from bson import Decimal128

from ali1688_spider.reporting.change_summary import count_changes, product_curves
from ali1688_spider.reporting.figures import Period, Report
from ali1688_spider.reporting.formatting import price_sentences
from ali1688_spider.reporting.page import page, templates
from ali1688_spider.reporting.reading import crawl_figures, product_figures

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
QUOTA = 100_000
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"'"


def make_report(market: Any) -> Report:
    """Return the report of a market, read from no database."""
    period = Period.last_days(7, market.now)
    changes = sorted(map(plain, market.changes), key=itemgetter("at"))
    products = product_figures(market.products, period)
    figures = count_changes(changes, products, period)
    steps = defaultdict(list)
    for change in changes:
        steps[change["product_id"]].append(change)
    shown = {product["_id"]: plain(product) for product in market.products}
    return Report(
        period=period,
        products=products,
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
    parsed = Page(html)
    linked = {
        (tag, name, value)
        for tag, attributes in parsed.tags
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "action", "data", "style"} or name.startswith("on")
    }
    assert linked == {("link", "href", "data:,")}
    assert "//" not in re.sub(r"(?m)^\s*// .*$", "", html.replace(HOSTILE, ""))
    assert "url(" not in html
    assert "@import" not in html


def test_policy_allows_the_own_style_and_script_only(html: str) -> None:
    check_policy(html)


def test_another_page_extends_the_frame() -> None:
    other = """{% extends "base.html" %}
    {% block title %}Live{% endblock %}
    {% block style %}{{ super() }} h1 { color: red }{% endblock %}
    {% block content %}<p>{{ text }}</p>{% endblock %}"""
    html = templates.from_string(other).render(text=HOSTILE)
    check_policy(html)
    assert "h1 { color: red }</style>" in html
    assert "<p>&lt;/script&gt;" in html


def check_policy(html: str) -> None:
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
        "img-src data:; base-uri 'none'; form-action 'none'"
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
    assert page(hostile, QUOTA).count("&lt;/script&gt;&lt;script&gt;alert(1)") == 9


def test_summary_says_what_happened(report: Report) -> None:
    drop, total = report.changes.drops[0], report.changes.total
    sentences = price_sentences(report)
    assert sentences[0] == (
        f"Of 10,000 products {total['cheaper']:,} became cheaper and {total['dearer']:,} dearer."
    )
    assert sentences[1].startswith(
        f"The biggest drop: {HOSTILE} ({drop.product_id}), from ¥{drop.old:,.2f}"
    )
    assert sentences[2].startswith("The biggest rise: ")
    assert sentences[3] == (
        f"{total['sold out']:,} sold out and {total['back in stock']:,} came back in stock."
    )


def test_summary_of_nothing() -> None:
    class Empty:
        products: tuple[Any, ...] = ()
        changes: tuple[Any, ...] = ()
        crawls: tuple[Any, ...] = ()

    market: Any = Empty()
    market.now = Period.last_days(1, NOON).end
    assert price_sentences(make_report(market)) == [
        "No product is stored yet; scrapy crawl product collects some."
    ]
    assert "No crawl ended in this time." in page(make_report(market), QUOTA)


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
        assert await tab.evaluate("document.querySelector('.lead').textContent") == " ".join(
            price_sentences(report)
        )
        numbers = await tab.evaluate(
            "[...document.querySelectorAll('.numbers div')].map(div => div.innerText.split('\\n'))"
        )
        assert ["10,000", "products stored"] in [sorted(pair) for pair in numbers]
        await check_tables(tab, report)
        await check_charts(tab, report)
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
    await tab.evaluate("document.querySelector('.filter input').focus()")
    await tab.call("Input.insertText", text="ALERT(1)")
    assert await column(1) == [HOSTILE]
    assert await tab.evaluate("document.querySelector('output').textContent") == "1 of 100"


async def check_charts(tab: Any, report: Report) -> None:
    labels = await tab.evaluate(
        "[...document.querySelectorAll('svg')].map(svg => svg.getAttribute('aria-label'))"
    )
    assert len(labels) == 3 + 2 * len(report.curves) == 19
    assert labels[1].startswith("Products whose stock changed. 16 Nov: ")
    assert labels[3].startswith("Price now ¥")
    heights = await tab.evaluate(
        "[...document.querySelectorAll('svg path')].map(path => path.getBBox().height)"
    )
    assert len(heights) == 16
    assert max(heights) > 50
