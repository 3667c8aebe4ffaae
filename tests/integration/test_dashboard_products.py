"""The dashboard's pages of products, at a browser without a mouse."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from tests.dashboard.shop import BOTTLE, LONGEST, TRICK, shop
from tests.harness import ROOT, Scrapy, eventually
from tests.ports import free_port

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.browser import Tab

NewTab = Callable[[], "AbstractAsyncContextManager[Tab]"]

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
ADDRESSES = (
    *("/", "/products", "/products?q=nothing", "/changes?hours=168", "/products/5", "/products/x"),
    *(f"/products/{each}" for each in (BOTTLE, TRICK, LONGEST)),
)
SAME = (
    *("UTC", "SKU", "ALI1688_DASHBOARD_TOKEN", "REDIS_URL", "MONGO_URI", "scrapy failed retry"),
    *("scrapy dashboard", "Stainless vacuum bottle"),
)
"""What is the same in Chinese, or is not the dashboard's own."""
LETTERS = re.compile("[A-Za-z]{3,}")


@pytest.fixture
def address(tmp_path: Path, mongo_uri: str, mongo_database: str) -> Iterator[str]:
    """A dashboard over a shop, without Redis."""
    products, changes = shop()
    with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
        client[mongo_database]["products"].insert_many(products)
        client[mongo_database]["product_changes"].insert_many(changes)
    keys = {"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "test123"}
    settings = {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database, **keys}
    scrapy = Scrapy(tmp_path, tmp_path / "output", settings)
    process = scrapy.start("dashboard", "--port", str(free_port()))
    try:
        eventually(lambda: "Dashboard: " in process.stdout or not process.is_running)
        assert process.is_running, process.log
        yield process.stdout.split("Dashboard: ")[1].partition("/#")[0]
        assert process.stop() == 0
        process.logged_no_error()
    finally:
        scrapy.kill()


async def tab_to(tab: Tab, script: str) -> None:
    """Press Tab until an expression about the element with the focus, ``it``, is true."""
    for _ in range(80):
        await tab.press("Tab")
        if await tab.evaluate(f"(it => !!({script}))(document.activeElement)"):
            return
    pytest.fail(f"Tab does not reach it: {script}")


async def go(tab: Tab, address: str) -> None:
    """Load a page in the tab that is open."""
    await tab.evaluate("window.isTheOldPage = true")
    await tab.call("Page.navigate", url=address)
    await tab.until("!window.isTheOldPage && document.readyState === 'complete'")


async def test_a_product_is_found_by_keyboard(address: str, new_tab: NewTab) -> None:
    async with new_tab() as tab:
        await tab.open(f"{address}/products")
        await tab_to(tab, "it.name === 'q'")
        await tab.write("(新款) c++")
        await tab.press("Enter")
        await tab.until("location.search.includes('q=') && document.readyState === 'complete'")
        assert await tab.evaluate("document.querySelectorAll('#products tbody tr').length") == 1
        assert await tab.evaluate("document.querySelector('[name=q]').value") == "(新款) c++"

        await tab_to(tab, f"it.pathname === '/products/{BOTTLE}'")
        await tab.press("Enter")
        await tab.until("!!document.querySelector('.plot')?.getAttribute('aria-valuetext')")
        assert await tab.evaluate("document.title") == "304不锈钢保温杯 500ml (新款) C++"

        # Its curves are read by the arrow keys, its tables sorted by their titles.
        tip = "document.querySelector('.tip').textContent"
        await tab_to(tab, "it.matches('.plot')")
        await tab.press("Home")
        assert (await tab.evaluate(tip)).endswith(": price ¥14.00, stock 500")
        await tab.press("ArrowRight")
        assert (await tab.evaluate(tip)).endswith(": price ¥13.00, stock 500")
        await tab_to(tab, "it.closest('#skus th:nth-child(4)')")
        await tab.press("Enter")
        await tab.press("Enter")
        first = "document.querySelector('#skus tbody td:nth-child(4)').textContent"
        assert await tab.evaluate(first) == "150"

        # Another time of the curves.
        await tab.evaluate("document.body.focus(), document.activeElement.blur()")
        await tab_to(tab, "it.search === '?days=90'")
        await tab.press("Enter")
        await tab.until("location.search === '?days=90' && !!document.querySelector('.tip')")
        ranges = "document.querySelector('.curve').textContent"
        assert await tab.evaluate(ranges) == "Price now ¥12.50, lowest ¥12.50, highest ¥15.00"
        assert tab.complaints == []


async def test_the_language_stays_on_the_next_page(address: str, new_tab: NewTab) -> None:
    async with new_tab() as tab:
        await tab.open(f"{address}/products")
        assert await tab.evaluate("document.querySelector('h1').textContent") == "Products"
        await tab_to(tab, "it.lang === 'zh-Hans'")
        await tab.press("Enter")
        assert await tab.evaluate("document.querySelector('h1').textContent") == "商品"
        for page in ("/changes?hours=168", f"/products/{BOTTLE}", "/products?q=nothing", "/"):
            await go(tab, address + page)
            assert await tab.evaluate("document.documentElement.lang") == "zh-Hans"
            selectors = "h2, th, dt, caption, summary, figcaption, label, .axis, main p, .choice a"
            script = f"[...document.querySelectorAll('{selectors}')].map(each => each.textContent)"
            texts = [re.sub("|".join(SAME), "", each) for each in await tab.evaluate(script)]
            assert [each for each in texts if LETTERS.search(each)] == []
        await tab_to(tab, "it.lang === 'en'")
        await tab.press("Enter")
        await go(tab, f"{address}/changes")
        title = "document.querySelector('h1').textContent"
        assert await tab.evaluate(title) == "Changes of the last 24 hours"
        assert tab.complaints == []


async def test_times_are_also_those_of_the_reader(address: str, new_tab: NewTab) -> None:
    async with new_tab() as tab:
        await tab.open("about:blank")
        await tab.call("Emulation.setTimezoneOverride", timezoneId="Asia/Kathmandu")
        await go(tab, f"{address}/changes")
        time = "document.querySelector('time')"
        assert not await tab.evaluate(f"{time}.parentElement.hidden")
        assert ":45:00" in await tab.evaluate(f"{time}.textContent")


@pytest.mark.parametrize("look", ["light", "dark"])
async def test_pages_fit_a_phone(address: str, new_tab: NewTab, look: str) -> None:
    async with new_tab() as tab:
        await tab.open("about:blank", language="zh-CN" if look == "dark" else "en-US")
        screen = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
        await tab.call("Emulation.setDeviceMetricsOverride", **screen)
        scheme = [{"name": "prefers-color-scheme", "value": look}]
        await tab.call("Emulation.setEmulatedMedia", features=scheme)
        for page in ADDRESSES:
            await go(tab, address + page)
            widths = "[document.documentElement.scrollWidth, innerWidth]"
            assert await tab.evaluate(widths) == [360, 360], page
            overlaps = """(() => {
                const [a, b] = [".languages", ".top nav a"].map(
                    each => document.querySelector(each).getBoundingClientRect());
                return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
            })()"""
            assert not await tab.evaluate(overlaps), page
            if AXE.exists():
                await tab.evaluate(AXE.read_text() + "; 0")
                faults = "axe.run(document).then(found => found.violations.map(each => each.id))"
                assert await tab.evaluate(faults) == [], page
        refused = [each for each in tab.complaints if "status of 40" in str(each)]
        assert tab.complaints == refused
        assert len(refused) == 2
