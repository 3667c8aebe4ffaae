"""The report as one HTML page that needs nothing else, and can load nothing else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from ali1688_spider.reporting.crawl_section import crawls
from ali1688_spider.reporting.markup import document, element
from ali1688_spider.reporting.sections import curves, days, moves
from ali1688_spider.reporting.summary import summary
from ali1688_spider.reporting.wording import minute

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from ali1688_spider.reporting.figures import Report

NOTES = (
    "Times are UTC. Prices are CNY: a product's price is its lowest unit price, and a price change "
    "is the difference between the beginning and the end of the time shown. Private prices are "
    "left out."
)


def page(report: Report) -> str:
    """Return the page of a report, a text in HTML.

    Its policy allows the page's own style and script, by their hash, and nothing from anywhere.
    """
    style, script = _resource("page.css"), _resource("page.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    title = f"Prices and stock, {report.period.start:%Y-%m-%d} to {report.period.end:%Y-%m-%d}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        element("style", style),
    )
    body = element("body", summary(report), _main(report), _footer(report))
    body.append(element("script", script))
    return document(element("html", head, body, lang="en"))


def _main(report: Report) -> Element:
    return element("main", days(report), moves(report), curves(report), crawls(report))


def _footer(report: Report) -> Element:
    written = f" Written {minute(report.period.end)}."
    return element("footer", element("p", NOTES + written))


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
