from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.caller import FIRST, PRODUCT, TIME

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.sandbox.caller import Caller

FAMILIES = pytest.mark.parametrize("family", ["router", "top", "param2"])
PATH = f"products/{FIRST}"


async def test_the_status_counts_what_came(gateway: Caller) -> None:
    empty = await gateway.status()
    assert empty == {
        "calls": 0,
        "answered": 0,
        "by_api": {},
        "by_product": {},
        "errors": {},
        "faults": {},
        "refused_signatures": 0,
        "refused_rate": 0,
        "token_refreshes": 0,
        "max_calls_per_second": 0,
        "first_call_at": None,
        "last_call_at": None,
        "connections": 1,
        "used_today": 0,
        "step": 0,
        "messages": {},
        "undelivered": 0,
    }
    before = time.time()
    await gateway.product("router")
    await gateway.product("top")
    await gateway.product("param2", 2)
    await gateway.product("param2", 5000)
    await gateway.param2(TIME)
    await gateway.router("alibaba.product.get", sign="x")
    await gateway.router("alibaba.product.get", sign=None)
    report = await gateway.status()
    assert before <= report.pop("first_call_at") <= report.pop("last_call_at") <= time.time()
    assert 1 <= report.pop("max_calls_per_second") <= 7
    assert report == {
        "calls": 7,
        "answered": 4,
        "by_api": {"alibaba.product.get": 4, PRODUCT: 2, TIME: 1},
        "by_product": {str(FIRST): 2, str(FIRST + 1): 1, str(FIRST + 4999): 1},
        "errors": {"not-found": 1, "invalid-signature": 1, "missing-signature": 1},
        "faults": {},
        "refused_signatures": 2,
        "refused_rate": 0,
        "token_refreshes": 0,
        "connections": 1,
        "used_today": 4,
        "step": 0,
        "messages": {},
        "undelivered": 0,
    }
    without = await gateway.send("GET", "/_sandbox/status?products=0")
    assert "by_product" not in without.json


async def test_a_reset_counts_anew(gateway: Caller) -> None:
    await gateway.product("router")
    await gateway.control(PATH, {"stock": 5})
    assert await gateway.control("reset") == {}
    report = await gateway.status()
    assert (report["calls"], report["by_product"], report["first_call_at"]) == (0, {}, None)
    assert (await gateway.control(PATH, method="GET"))["stock"] == 5


async def test_a_call_that_came_before_a_reset_is_not_counted_after_it(gateway: Caller) -> None:
    await gateway.control("faults", {"product_id": FIRST, "faults": ["slow:0.3"]})
    call = asyncio.create_task(gateway.product("router"))
    while (await gateway.status())["calls"] == 0:
        pass
    await gateway.control("reset")
    await call
    report = await gateway.status()
    assert (report["calls"], report["answered"], report["errors"]) == (0, 0, {})


async def test_a_reset_of_everything(start: Callable[..., Awaitable[Caller]]) -> None:
    gateway = await start(daily_quota=100, access_token="token", latency=1.0)
    usual = await gateway.control(PATH, method="GET")
    settings = await gateway.control("settings", method="GET")
    changes = {"daily_quota": 1, "deny": [PRODUCT], "access_token": "x", "latency": 0}
    await gateway.control("settings", changes)
    await gateway.control(PATH, {"removed": True})
    await gateway.control("faults", {"product_id": FIRST, "faults": ["500"]})
    await gateway.control("faults", {"faults": "html"})
    await gateway.control("reset", {"everything": True})
    assert await gateway.control(PATH, method="GET") == usual
    assert await gateway.control("settings", method="GET") == settings
    call = {"productID": str(FIRST), "webSite": "1688", "access_token": "token"}
    assert "productInfo" in (await gateway.param2(PRODUCT, **call)).json


@FAMILIES
async def test_a_product_can_be_set(gateway: Caller, family: str) -> None:
    before = await gateway.product(family, 4)
    path = f"products/{FIRST + 3}"
    told = await gateway.control(
        path, {"price": "12.34", "stock": 7, "name": "新名", "status": "deleted"}
    )
    assert (told["price"], told["stock"], told["name"]) == ("12.34", 7, "新名")
    assert told["status"] == "deleted"
    after = (await gateway.product(family, 4)).body.decode()
    assert "12.34" in after
    assert "新名" in after
    restored = await gateway.control(path, method="DELETE")
    assert restored["name"] != "新名"
    assert (await gateway.product(family, 4)).body == before.body


async def test_a_price_moves_all_prices_of_the_product(gateway: Caller) -> None:
    told = await gateway.control("products/610000000003", {"price": 10})
    assert (told["price"], told["price_max"]) == ("10", "13.20")
    assert [sku["price"] for sku in told["skus"]] == ["10", "10.50", "11.00", "11.50", "12.00"]
    assert told["skus"][0]["tiers"] == [
        {"min_quantity": 1, "price": "11.00"},
        {"min_quantity": 10, "price": "10"},
    ]


@pytest.mark.parametrize("price", ["NaN", "abc", -5, None, {"a": 1}, True, "1e40", ""])
async def test_an_impossible_price_is_passed_on(gateway: Caller, price: Any) -> None:
    for number in range(1, 5):
        path = f"products/{FIRST - 1 + number}"
        await gateway.control(path, {"price": price})
        for family in ("router", "top", "param2"):
            assert (await gateway.product(family, number)).status == 200
    answer = await gateway.product("router", 4)
    assert answer.json["result"]["product"]["price"] == price


@pytest.mark.parametrize("stock", [2**70, -1, "many", None, 1.5, [1], 0])
async def test_an_impossible_stock_is_passed_on(gateway: Caller, stock: Any) -> None:
    for number in range(1, 5):
        await gateway.control(f"products/{FIRST - 1 + number}", {"stock": stock})
        assert (await gateway.product("param2", number)).status == 200
    answer = await gateway.product("router", 4)
    assert answer.json["result"]["product"]["quantity"] == stock


@pytest.mark.parametrize("name", ["", None, {"zh": "杯"}, 5, "\ud800 lone", "a" * 100_000])
async def test_an_impossible_name_is_passed_on(gateway: Caller, name: Any) -> None:
    await gateway.control(PATH, {"name": name})
    answer = await gateway.product("router")
    assert answer.json["result"]["product"]["productName"] == name


@FAMILIES
@pytest.mark.parametrize(
    ("answer", "body"),
    [
        ('{"result": {}}', b'{"result": {}}'),
        ({"result": {"product": {"quantity": 2**70}}}, None),
        ('{"a": "\\ud800", "price": NaN}', b'{"a": "\\ud800", "price": NaN}'),
        ("", b""),
        ([], b"[]"),
        (False, b"false"),
    ],
)
async def test_a_whole_answer_can_be_set(
    gateway: Caller, family: str, answer: Any, body: bytes | None
) -> None:
    await gateway.control(PATH, {"answer": answer})
    expected = json.dumps(answer).encode() if body is None else body
    assert (await gateway.product(family)).body == expected
    await gateway.control(PATH, {"answer": None})
    assert (await gateway.product(family)).body != expected


async def test_a_product_can_go_and_come_back(gateway: Caller) -> None:
    told = await gateway.control(PATH, {"removed": True})
    assert told == {"product_id": FIRST, "exists": False}
    assert "errMsg" in (await gateway.product("param2")).json
    await gateway.control(PATH, {"removed": False})
    assert "productInfo" in (await gateway.product("param2")).json


async def test_a_product_outside_the_catalogue_can_be_made(gateway: Caller) -> None:
    await gateway.control(f"products/{FIRST + 5000}", {"name": "新"})
    assert "productInfo" in (await gateway.product("param2", 5001)).json
    await gateway.control("products/7", {"name": "新"})
    answer = await gateway.router("alibaba.product.get", product_id="7")
    assert answer.json["result"]["product"]["productName"] == "新"


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        (PATH, {"colour": "red"}, "colour cannot be set of a product"),
        (PATH, {"removed": "yes"}, "removed is true or false"),
        ("faults", {"faults": ["x"]}, "there is no fault 'x'"),
        ("faults", {"faults": 5}, "faults is a list of names"),
        ("faults", {"rate": 0.5}, "faults is a list of names"),
        ("faults", {"api": "x", "faults": []}, "there is no API x"),
        ("faults", {"api": ["x"], "faults": []}, "there is no API ['x']"),
        ("faults", {"product_id": "x", "faults": []}, "product_id is an integer"),
        ("faults", {"rates": 1}, "unknown: rates"),
        ("settings", {"speed": 1}, "speed is no setting that can be changed"),
        ("settings", {"port": 1}, "port is no setting that can be changed"),
        ("settings", {"qps": "1"}, "--qps is '1': it should be a valid integer"),
        ("settings", {"qps": True}, "--qps is True: it should be a valid integer"),
        ("settings", {"qps": -1}, "--qps is -1: it should be greater than or equal to 0"),
        ("settings", {"deny": "x"}, "--deny is 'x': it should be a valid list"),
        ("settings", {"deny": ["x"]}, "--deny x: there is no such API"),
        ("settings", {"faults": "x"}, "there is no fault 'x'"),
        ("settings", {"fault_rate": 2}, "--fault-rate is 2: it should be less than or equal to 1"),
        ("reset", {"all": True}, "unknown: all"),
        ("settings", [], "the body is no JSON object"),
    ],
)
async def test_wrong_bodies(gateway: Caller, path: str, body: Any, error: str) -> None:
    before = await gateway.control("settings", method="GET")
    answer = await gateway.send("POST", f"/_sandbox/{path}", json=body)
    assert answer.status == 400
    assert answer.json["error"].startswith(error)
    assert await gateway.control("settings", method="GET") == before


async def test_unknown_control_addresses(gateway: Caller) -> None:
    assert (await gateway.send("GET", "/_sandbox/nothing")).status == 404
    assert (await gateway.send("POST", "/_sandbox/products/x")).status == 404
    assert (await gateway.send("PUT", f"/_sandbox/{PATH}")).status == 405
    assert (await gateway.send("POST", "/_sandbox/settings", data=b"{")).status == 400
