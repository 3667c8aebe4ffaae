"""The platform's messages: what makes which, how they are asked for, and how they are posted."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from ali1688_spider.sandbox.shapes import platform_text
from tests.sandbox.caller import CROSS_BORDER, FIRST, SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.sandbox.caller import Caller

QUERY = "cn.alibaba.open:push.query.messageList-1"
CURSOR = "cn.alibaba.open:push.cursor.messageList-1"
CONFIRM = "cn.alibaba.open:push.message.confirm-1"
LISTING = "com.alibaba.product.push:alibaba.cross.syncProductListPushed-1"
FOLLOW = "com.alibaba.product:alibaba.product.follow.crossborder-1"
UNFOLLOW = "com.alibaba.product:alibaba.product.unfollow.crossborder-1"
ADD = f"{CROSS_BORDER}:product.kjdistribute.addRelation-1"
VIEW = "PRODUCT_RELATION_VIEW_PRODUCT_"
INVENTORY = "PRODUCT_PRODUCT_INVENTORY_CHANGE"


async def asked(gateway: Caller, **params: Any) -> list[dict[str, Any]]:
    """Return the first page of messages, ``data`` as objects."""
    answer = await gateway.param2(QUERY, pageSize="200", **params)
    rows: list[dict[str, Any]] = answer.json["pushMessagePage"]["datas"]
    for row in rows:
        if isinstance(row["data"], str):
            row["data"] = json.loads(row["data"])
    return rows


async def topics_of(gateway: Caller, change: dict[str, Any], number: int = 1) -> list[str]:
    """Change a product; return the topics of the messages that this makes."""
    waiting = await asked(gateway)
    if waiting:
        await gateway.param2(CONFIRM, msgIdList=[row["msgId"] for row in waiting])
    await gateway.control(f"products/{FIRST - 1 + number}", change)
    return [row["type"] for row in await asked(gateway)]


async def follow(gateway: Caller, number: int = 1) -> None:
    await gateway.param2(FOLLOW, productId=str(FIRST - 1 + number))


@pytest.mark.parametrize(
    ("api", "params", "topics"),
    [
        (None, {}, []),
        (LISTING, {"productIdList": [FIRST]}, [f"{VIEW}NEW_OR_MODIFY", f"{VIEW}CHANGE"]),
        (
            FOLLOW,
            {"productId": str(FIRST)},
            [f"{VIEW}NEW_OR_MODIFY", f"{VIEW}CHANGE", INVENTORY, "FENXIAO_PRICE_CHANGE"],
        ),
        (
            ADD,
            {"offerId": str(FIRST)},
            [f"{VIEW}NEW_OR_MODIFY", f"{VIEW}CHANGE", INVENTORY, "FENXIAO_PRICE_CHANGE"],
        ),
    ],
)
async def test_the_relation_decides_which_topics_tell_of_a_product(
    gateway: Caller, api: str | None, params: dict[str, Any], topics: list[str]
) -> None:
    await gateway.control(f"products/{FIRST}", {"curated": False})
    if api:
        await gateway.param2(api, **params)
    assert await topics_of(gateway, {"price": "9.90", "stock": 3}) == topics
    await gateway.param2(UNFOLLOW, productId=str(FIRST))
    assert await topics_of(gateway, {"price": "8.80", "stock": 4}) == []


async def test_all_products_may_be_told_of(start: Callable[..., Awaitable[Caller]]) -> None:
    gateway = await start(products=1000, messages="all")
    assert INVENTORY in await topics_of(gateway, {"stock": 3}, number=7)


@pytest.mark.parametrize(
    ("change", "part", "action"),
    [
        ({"name": "新名"}, "NEW_OR_MODIFY", "modify"),
        ({"promotion_price": "1.10"}, "NEW_OR_MODIFY", "modify"),
        ({"status": "member expired"}, "EXPIRE", "member_expired"),
        ({"status": "auditing"}, "AUDIT", "audit"),
        ({"status": "member deleted"}, "DELETE", "member_delete"),
        ({"removed": True}, "DELETE", "member_delete"),
    ],
)
async def test_what_happens_has_a_topic_of_its_own(
    gateway: Caller, change: dict[str, Any], part: str, action: str
) -> None:
    await follow(gateway)
    topics = await topics_of(gateway, change)
    assert topics[:2] == [f"{VIEW}{part}", f"{VIEW}CHANGE"]
    first, second = (await asked(gateway))[:2]
    ids = {"productIds": str(FIRST), "memberId": "b2b-1623492085"}
    sent = first["data"].pop("msgSendTime")
    assert len(sent) == len("2018-05-30 20:27:48")
    assert first["data"] == {**ids, "status": f"RELATION_VIEW_PRODUCT_{part}"}
    assert second["data"] == {**ids, "action": action, "msgSendTime": sent}


async def test_a_product_is_put_on_sale_again(gateway: Caller) -> None:
    await follow(gateway)
    await gateway.control(f"products/{FIRST}", {"status": "expired"})
    topics = await topics_of(gateway, {"status": "published"})
    assert topics[0] == f"{VIEW}REPOST"


async def test_stock_is_told_for_each_sku_and_prices_in_fen(gateway: Caller) -> None:
    number = 3  # with SKUs
    await follow(gateway, number)
    before = await gateway.control(f"products/{FIRST + 2}", {"curated": True})
    await topics_of(gateway, {"stock": before["stock"] + 50, "price": "12.34"}, number)
    told = {row["type"]: row for row in await asked(gateway)}
    after = await gateway.control(f"products/{FIRST + 2}", method="GET")
    rows = told[INVENTORY]["data"]["OfferInventoryChangeList"]
    assert {row["offerId"] for row in rows} == {FIRST + 2}
    assert {row["offerOnSale"] for row in rows} == {after["stock"]}
    levels = {sku["sku_id"]: sku["stock"] for sku in after["skus"]}
    assert {row["skuId"]: row["skuOnSale"] for row in rows} == levels
    assert sum(row["quantity"] for row in rows) == 50
    assert all(row["bizTime"].isdecimal() for row in rows)
    price = told["PRODUCT_PFT_OFFER_PRICE_MODIFY"]["data"]
    assert (price["offerId"], price["minPrice"]) == (FIRST + 2, 1234)
    old = Decimal(before["skus"][0]["price"]) * 100
    assert price["skuUpdateInfos"] == {
        "skuId": before["skus"][0]["sku_id"],
        "historyRetailPrice": int(old),
    }
    assert told["FENXIAO_PRICE_CHANGE"]["data"]["productId"] == str(FIRST + 2)


@pytest.mark.parametrize("change", [{"price": "abc"}, {"stock": None}, {"stock": "many"}])
async def test_impossible_values_make_no_impossible_messages(
    gateway: Caller, change: dict[str, Any]
) -> None:
    await follow(gateway, 3)
    topics = await topics_of(gateway, change, 3)
    assert INVENTORY not in topics
    assert "PRODUCT_PFT_OFFER_PRICE_MODIFY" not in topics


async def test_the_sandbox_s_own_movement_is_told(gateway: Caller) -> None:
    for number in range(1, 31):
        await follow(gateway, number)
    paths = [f"products/{FIRST - 1 + number}" for number in range(1, 31)]
    before = [await gateway.control(path, method="GET") for path in paths]
    await gateway.control("settings", {"step": 1})
    after = [await gateway.control(path, method="GET") for path in paths]
    moved = {
        str(new["product_id"])
        for old, new in zip(before, after, strict=True)
        if old["price"] != new["price"]
    }
    rows = await asked(gateway, type="FENXIAO_PRICE_CHANGE")
    assert len(moved) >= 3
    assert {row["data"]["productId"] for row in rows} == moved
    assert len(rows) == len(moved)


async def test_a_message_has_the_platform_s_fields(gateway: Caller) -> None:
    await follow(gateway)
    await topics_of(gateway, {"name": "a"})
    await gateway.control(f"products/{FIRST}", {"name": "b"})
    answer = await gateway.param2(QUERY)
    page = answer.json["pushMessagePage"]
    assert page["totalCount"] == 4
    row = page["datas"][0]
    assert row["type"] == f"{row['topicGroup']}_{row['topicName']}"
    assert row["appKey"] == "1000000"
    assert len(str(row["gmtBorn"])) == 13
    shapes = Counter(type(each["data"]) for each in page["datas"])
    assert set(shapes) == {dict, str}  # as an object and as JSON text


async def test_the_query_confirms_nothing_and_the_confirmation_moves_the_pages(
    gateway: Caller,
) -> None:
    made = [(await gateway.control("messages", {"type": f"T_{i}"}))["msgId"] for i in range(45)]

    async def page(number: int) -> list[int]:
        answer = await gateway.param2(QUERY, page=str(number), pageSize="20")
        assert answer.json["pushMessagePage"]["totalCount"] == len(made)
        return [row["msgId"] for row in answer.json["pushMessagePage"]["datas"]]

    assert await page(1) == await page(1) == made[:20]
    assert await page(3) == made[40:]
    assert await page(4) == []
    answer = await gateway.param2(CONFIRM, msgIdList=[*made[:20], 5])
    assert answer.json == {"isSuccess": True}
    made = made[20:]
    assert await page(1) == made[:20]
    assert (await gateway.status())["messages"] == {"made": 45, "confirmed": 20}
    assert (await gateway.status())["undelivered"] == 25


async def test_no_number_of_a_message_comes_twice(gateway: Caller) -> None:
    first = await gateway.control("messages", {"type": "T_A"})
    await gateway.control("reset", {"everything": True})  # as if it was started again
    second = await gateway.control("messages", {"type": "T_A"})
    assert second["msgId"] > first["msgId"]


async def test_the_cursor_confirms_by_itself(gateway: Caller) -> None:
    made = [(await gateway.control("messages", {"type": "T_A"}))["msgId"] for _ in range(25)]
    for expected in (made[:20], made[20:], []):
        answer = await gateway.param2(CURSOR, quantity="20")
        assert [row["msgId"] for row in answer.json["pushMessageList"]] == expected


async def test_messages_by_type_user_and_time(gateway: Caller) -> None:
    made = await gateway.control("messages", {"type": "T_A", "userInfo": "one"})
    await gateway.control("messages", {"type": "T_B", "userInfo": "two", "data": {}})
    born = made["gmtBorn"] / 1000
    for filters, count in [
        ({"type": "T_A"}, 1),
        ({"type": "T_C"}, 0),
        ({"userInfo": "two"}, 1),
        ({"createStartTime": platform_text(born - 5)}, 2),
        ({"createStartTime": platform_text(born + 60)}, 0),
        ({"createEndTime": platform_text(born - 5)}, 0),
    ]:
        answer = await gateway.param2(QUERY, **filters)
        assert answer.json["pushMessagePage"]["totalCount"] == count, filters


@pytest.mark.parametrize(
    ("api", "params", "code"),
    [
        (QUERY, {"pageSize": "201"}, None),
        (QUERY, {"pageSize": "19"}, None),
        (QUERY, {"page": "0"}, "gw.ParamMissing"),
        (QUERY, {"createStartTime": "2026-01-01"}, "gw.ParamMissing"),
        (QUERY, {"quantity": "20"}, "gw.ParamMissing"),
        (CURSOR, {"quantity": "10"}, None),
        (CURSOR, {"page": "1"}, "gw.ParamMissing"),
        (CONFIRM, {}, "gw.ParamMissing"),
        (CONFIRM, {"msgIdList": "1,2"}, "gw.ParamMissing"),
        (CONFIRM, {"msgIdList": "[1]", "ids": "2"}, "gw.ParamMissing"),
    ],
)
async def test_wrong_parameters_are_refused(
    gateway: Caller, api: str, params: dict[str, str], code: str | None
) -> None:
    answer = await gateway.param2(api, **params)
    assert answer.code == code
    if code is None:
        assert answer.json["result"]["success"] is False


async def test_wrong_messages_are_refused(gateway: Caller) -> None:
    for body in ({}, {"type": 5}, {"type": "A", "msgId": "x"}):
        answer = await gateway.send("POST", "/_sandbox/messages", json=body)
        assert answer.status == 400


class Receiver:
    """Takes callbacks; ``statuses`` are its answers, then 204."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self._came = asyncio.Condition()
        self.statuses: list[int] = []
        self.url = ""

    @property
    def ids(self) -> list[int]:
        return [json.loads(form["message"])["msgId"] for form in self.forms]

    async def take(self, request: web.BaseRequest) -> web.Response:
        form = dict(parse_qsl(await request.text()))
        async with self._came:
            self.forms.append(form)
            self._came.notify_all()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)

    async def got(self, count: int) -> None:
        async with self._came:
            await self._came.wait_for(lambda: len(self.forms) >= count)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.take))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    receiver.url = f"http://{host}:{port}/here"
    yield receiver
    await runner.cleanup()


async def until_taken(gateway: Caller, count: int) -> dict[str, int]:
    while True:
        counts: dict[str, int] = (await gateway.status())["messages"]
        if counts.get("taken") == count:
            return counts


async def test_a_message_is_posted_until_it_is_taken(gateway: Caller, receiver: Receiver) -> None:
    receiver.statuses = [500, 200, 401, 204]
    await gateway.control("settings", {"callback": receiver.url, "callback_retry": 0})
    made = [await gateway.control("messages", {"type": f"T_{i}"}) for i in range(2)]
    assert await until_taken(gateway, 2) == {"made": 2, "callbacks": 5, "taken": 2}
    assert sorted(set(receiver.ids)) == [each["msgId"] for each in made]
    cases = set()
    for form in receiver.forms:
        signature = form["_aop_signature"]
        text = f"message{form['message']}".encode()
        right = hmac.new(SECRET.encode(), text, hashlib.sha1).hexdigest()
        assert signature.lower() == right
        cases.add(signature == right)
    assert cases == {True, False}  # in either case
    assert (await gateway.status())["undelivered"] == 0


async def test_what_was_posted_in_vain_waits(gateway: Caller, receiver: Receiver) -> None:
    receiver.statuses = [500] * 1000
    await gateway.control("settings", {"callback": receiver.url, "callback_retry": 1000})
    made = await gateway.control("messages", {"type": "T_A"})
    await receiver.got(1)
    while not (waiting := await asked(gateway)):
        pass
    assert [row["msgId"] for row in waiting] == [made["msgId"]]


async def test_duplicates_and_disorder(gateway: Caller, receiver: Receiver) -> None:
    faults = {"callback_faults": ["duplicates", "disorder"], "callback_retry": 1000}
    made = [(await gateway.control("messages", {"type": "T"}))["msgId"] for _ in range(3)]
    await gateway.control("settings", {"callback": receiver.url, **faults})
    await receiver.got(6)
    assert receiver.ids == [each for each in made[::-1] for _ in range(2)]


async def test_an_address_without_anybody_loses_nothing(gateway: Caller) -> None:
    settings = {"callback": "http://127.0.0.1:9/", "callback_retry": 0}
    await gateway.control("settings", settings)
    await gateway.control("messages", {"type": "T_A"})
    while not await asked(gateway):
        pass
