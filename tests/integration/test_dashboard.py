"""The dashboard of a running cluster, as a person at a browser and as a program see it."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from tests.harness import ROOT, Cluster, eventually, products
from tests.ports import free_port

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from pymongo.database import Database

    from tests.browser import Tab
    from tests.harness import Process

NewTab = Callable[[], "AbstractAsyncContextManager[Tab]"]

TOKEN = "of-the-dashboard-1688"
HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)> \u202e杯子'
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = ("serious", "critical")


@pytest.fixture
def cluster(tmp_path: Path, mongo_uri: str, mongo_database: str) -> Iterator[Cluster]:
    settings = {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    with Cluster(tmp_path, settings) as cluster:
        yield cluster


@pytest.fixture
def database(mongo_uri: str, mongo_database: str) -> Iterator[Database[dict[str, Any]]]:
    with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
        yield client[mongo_database]


def start_dashboard(cluster: Cluster, *arguments: str, **settings: str) -> tuple[Process, str]:
    """Return the dashboard, and the address that it prints."""
    port = str(free_port())
    process = cluster.run("dashboard", "--port", port, *arguments, **settings)
    eventually(lambda: "Dashboard: " in process.stdout or not process.is_running)
    assert process.is_running, process.log
    return process, process.stdout.split("Dashboard: ")[1].strip()


def fetch(address: str, **headers: str) -> tuple[int, str]:
    """Return the status and the body of a response."""
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def number(label: str) -> str:
    """Return a script whose value is the number under a label of the first row."""
    return (
        "[...document.querySelectorAll('#numbers div')]"
        f".find(div => div.querySelector('dt').innerText === {label!r})"
        ".querySelector('dd').innerText"
    )


async def test_a_person_watches_and_retries_by_keyboard(
    cluster: Cluster, database: Database[dict[str, Any]], new_tab: NewTab
) -> None:
    ids = products(40)
    lost = ids[7]
    cluster.gateway.fail(product_id=lost, faults=["isv"])
    worker = cluster.start(ALI1688_MAX_ATTEMPTS="1")
    _, address = start_dashboard(cluster)
    async with new_tab() as tab:
        await tab.open(address)
        assert "token" not in await tab.evaluate("location.href")
        assert await tab.until(number("waiting")) == "0"

        # Numbers move without a reload.
        await tab.evaluate("window.isTheSamePage = true")
        cluster.produce(ids)
        await tab.until(f"{number('failed in the last hour')} === '1'")
        await tab.until("document.querySelectorAll('#workers tbody tr').length >= 1")
        assert str(worker.pid) in await tab.evaluate("document.querySelector('#workers').innerText")
        problems = await tab.evaluate("document.querySelector('#problems').innerText")
        assert "1 calls were given up in the last hour" in problems

        # Retried by keyboard: Tab reaches the button, Enter presses it.
        focused = "document.activeElement.dataset.retry || ''"
        for _ in range(60):
            await tab.press("Tab")
            if await tab.evaluate(focused):
                break
        assert await tab.evaluate(focused)
        await tab.press("Enter")
        await tab.until("document.querySelector('#said').innerText === '1 call is queued again'")
        await tab.until("!document.querySelector('[data-retry]')")
        await tab.until("document.querySelector('#problems').innerText === 'All is well.'")
        eventually(lambda: database["products"].find_one({"_id": lost}) is not None)
        assert await tab.evaluate("window.isTheSamePage")
        assert tab.complaints == []


async def open_on_a_dark_phone(tab: Tab, address: str) -> None:
    """Open the page as a reader of Chinese does at night."""
    await tab.open("about:blank", language="zh-CN")
    screen = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    await tab.call("Emulation.setDeviceMetricsOverride", **screen)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    await tab.call("Emulation.setEmulatedMedia", features=dark)
    await tab.call("Page.navigate", url=address)


async def test_the_page_in_chinese_in_the_dark_on_a_phone(
    cluster: Cluster, database: Database[dict[str, Any]], new_tab: NewTab
) -> None:
    database["products"].insert_one({"_id": 1, "name": HOSTILE})
    change = {"product_id": 1, "sku_id": None, "field": "name", "old": "x", "new": HOSTILE}
    changes = [{**change, "at": datetime.now(UTC)} for _ in range(12)]
    database["product_changes"].insert_many(changes)
    _, address = start_dashboard(cluster)
    async with new_tab() as tab:
        await open_on_a_dark_phone(tab, address)
        await tab.until("document.querySelector('h1')?.innerText === '总览'")
        await tab.until("document.querySelector('#problems').innerText === '一切正常。'")
        assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await tab.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        # What is sent later is in the same language.
        cluster.produce(products(3))
        await tab.until(f"{number('等待中')} === '3'")
        # Names are texts.
        name = "document.querySelector('#changes tbody a').textContent"
        assert await tab.evaluate(name) == HOSTILE
        assert await tab.evaluate("document.querySelectorAll('#changes img').length") == 0
        assert tab.complaints == []


@pytest.mark.skipif(
    not AXE.exists(), reason="axe-core is not installed: npm install --no-save axe-core"
)
@pytest.mark.parametrize("look", ["light", "dark"])
async def test_axe_finds_no_serious_fault(cluster: Cluster, new_tab: NewTab, look: str) -> None:
    give_up_one(cluster)
    cluster.start()
    _, address = start_dashboard(cluster, ALI1688_DASHBOARD_TOKEN=TOKEN)
    async with new_tab() as tab:
        await (tab.open(address) if look == "light" else open_on_a_dark_phone(tab, address))
        await tab.until("document.querySelectorAll('#workers tbody tr').length > 3")
        await tab.until("!!document.querySelector('[data-retry]')")
        await tab.evaluate(AXE.read_text() + "; 0")
        assert await serious_faults(tab) == []
        await tab.evaluate("document.querySelector('[data-retry]').focus()")
        await tab.press("Enter")
        await tab.until("document.querySelector('#token').open")
        assert await serious_faults(tab) == []


async def serious_faults(tab: Tab) -> list[tuple[str, str]]:
    """Return the rules that axe finds broken, each with an element."""
    found = await tab.evaluate("axe.run(document).then(found => found.violations)")
    return [
        (each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in SERIOUS
    ]


def give_up_one(cluster: Cluster) -> int:
    """Have a call given up; return its product."""
    lost = products(1)[0]
    cluster.gateway.fail(product_id=lost, faults=["isv"])
    cluster.produce([lost])
    cluster.start("idle=1", ALI1688_MAX_ATTEMPTS="1").wait()
    assert cluster.done
    return lost


async def test_redis_goes_and_comes_back_under_an_open_page(
    cluster: Cluster, new_tab: NewTab
) -> None:
    cluster.produce(products(5))
    _, address = start_dashboard(cluster)
    problems = "document.querySelector('#problems').innerText"
    async with new_tab() as tab:
        await tab.open(address)
        await tab.until(f"{number('waiting')} === '5'")
        cluster.kill_redis()
        await tab.until(f"{problems}.includes('Redis is away')")
        assert await tab.evaluate(number("waiting")) == "–"
        cluster.restart_redis()
        await tab.until(f"!{problems}.includes('Redis is away')")
        await tab.until(f"/^\\d+$/.test({number('waiting')})")
        assert tab.complaints == []


async def test_a_dashboard_that_ends_is_announced_and_found_again(
    cluster: Cluster, new_tab: NewTab
) -> None:
    process, address = start_dashboard(cluster)
    port = address.split(":")[2].split("/")[0]
    warning = "document.querySelector('#connection')"
    async with new_tab() as tab:
        await tab.open(address)
        await tab.until(f"{warning}.hidden")
        assert process.stop() == 0
        await tab.until(f"!{warning}.hidden")
        assert "is lost; trying again" in await tab.evaluate(f"{warning}.innerText")
        again = cluster.run("dashboard", "--port", port)
        await tab.until(f"{warning}.hidden", seconds=60)
        assert again.is_running


async def test_an_action_asks_for_the_token(cluster: Cluster, new_tab: NewTab) -> None:
    give_up_one(cluster)
    _, address = start_dashboard(cluster, ALI1688_DASHBOARD_TOKEN=TOKEN)
    assert "token" not in address
    async with new_tab() as tab:
        await tab.open(address)
        await tab.until("!!document.querySelector('[data-retry]')")
        await tab.evaluate("document.querySelector('[data-retry]').focus()")
        for token, is_right in (("wrong", False), (TOKEN, True)):
            if token == "wrong":
                await tab.press("Enter")
            await tab.until("document.querySelector('#token').open")
            await tab.write(token)
            await tab.press("Enter")
            if not is_right:
                await tab.until("document.querySelector('#token [type=password]').value === ''")
        await tab.until("document.querySelector('#said').innerText === '1 call is queued again'")
        assert cluster.counts.ready == 1
        refused = [each for each in tab.complaints if "401" in json.dumps(each)]
        assert tab.complaints == refused


def test_what_programs_read(cluster: Cluster) -> None:
    cluster.produce(products(30))
    worker = cluster.start()
    _, address = start_dashboard(cluster)
    address = address.partition("#")[0].rstrip("/")
    eventually(lambda: cluster.done)
    worker.stop()
    calls = cluster.gateway.calls
    eventually(lambda: f'ali1688_calls_total{{spider="product"}} {calls}.0' in metrics(address))
    state = json.loads(fetch(f"{address}/api/state")[1])
    assert state["totals"]["product"]["ali1688/items/stored"] == 30
    assert state["problems"] == []
    assert fetch(f"{address}/healthz") == (200, "ok\n")
    with events(address) as stream:
        kinds = dict(stream(2))
    assert kinds["state"]["queues"].keys() == {"product", "search", "watch"}
    assert kinds["changes"] == []


def metrics(address: str) -> str:
    return fetch(f"{address}/metrics")[1]


@contextmanager
def events(address: str) -> Iterator[Callable[[int], list[tuple[str, Any]]]]:
    """Listen to the events for programs."""
    with urllib.request.urlopen(f"{address}/api/events", timeout=30) as response:
        assert response.headers["Content-Type"] == "text/event-stream"

        def take(count: int) -> list[tuple[str, Any]]:
            taken, name = [], ""
            while len(taken) < count:
                line = response.readline().decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    taken.append((name, json.loads(line.removeprefix("data: "))))
            return taken

        yield take


def test_a_worker_that_is_killed_leaves_the_page_and_its_counts_stay(cluster: Cluster) -> None:
    cluster.produce(products(50))
    worker = cluster.start()
    _, address = start_dashboard(cluster)
    address = address.partition("#")[0]

    def state() -> Any:
        return json.loads(fetch(f"{address}api/state")[1])

    counted = eventually(lambda: state()["totals"].get("product", {}).get("ali1688/calls") == 50)
    assert counted
    assert [each["line"]["pid"] for each in state()["workers"]] == [worker.pid]
    worker.kill()
    eventually(lambda: state()["workers"] == [])
    assert state()["totals"]["product"]["ali1688/calls"] == 50 == cluster.gateway.calls


def test_elsewhere_the_token_is_asked_for(cluster: Cluster) -> None:
    refused = cluster.run("dashboard", "--host", "0.0.0.0").finish()
    assert refused.exit_code == 1
    assert "set ALI1688_DASHBOARD_TOKEN to a long random text" in refused.log
    process, address = start_dashboard(cluster, "--host", "0.0.0.0", ALI1688_DASHBOARD_TOKEN=TOKEN)
    address = re.sub("0.0.0.0", "127.0.0.1", address)
    for path in ("", "metrics", "api/state", "api/events", "assets/base.js", "products", "changes"):
        assert fetch(f"{address}{path}")[0] == 401
    assert fetch(f"{address}healthz")[0] == 200
    assert fetch(address, Authorization=f"Bearer {TOKEN}")[0] == 200
    assert fetch(address, Authorization=f"Bearer {TOKEN}", Host="evil.example")[0] == 403
    assert process.stop() == 0
    assert TOKEN not in process.stdout + process.log


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host", "no.such.host.invalid"], "ALI1688_DASHBOARD_TOKEN"),
        (["--port", "70000"], "--port is 70000: say one from 0 to 65535"),
        (["--port", "1"], None),
        (["extra"], "'extra' is not understood"),
    ],
)
def test_mistakes_are_one_sentence(
    cluster: Cluster, arguments: list[str], sentence: str | None
) -> None:
    if sentence is None:  # a port that is taken
        _, address = start_dashboard(cluster)
        port = address.split(":")[2].split("/")[0]
        arguments, sentence = ["--port", port], "cannot be listened on"
    command = cluster.run("dashboard", *arguments).finish()
    assert command.exit_code == 1
    assert command.log.startswith("Error: ")
    assert sentence in command.log
    assert "Traceback" not in command.log


def test_without_any_server_it_says_what_there_is(cluster: Cluster) -> None:
    _, address = start_dashboard(cluster, REDIS_URL="", MONGO_URI="")
    status, page = fetch(address.partition("#")[0])
    assert status == 200
    assert "All is well." in page
    assert "Without MONGO_URI no changes are kept." in page
