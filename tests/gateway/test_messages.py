"""Messages are read whatever they hold, and callbacks are known by their signature."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
import random
from typing import Any

import pytest

from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.gateway.calls import ApiCall, ServiceCall
from ali1688_spider.gateway.catalogue import choose_apis
from ali1688_spider.gateway.messages import (
    CONFIRM_API,
    FOLLOW_API,
    LIST_API,
    QUERY_API,
    TOPICS,
    PlatformMessage,
    confirmation,
    following,
    listing,
    read_callback,
    read_message,
    read_page,
    undelivered,
)
from ali1688_spider.gateway.protocols import is_from_platform, sign_callback

VIEW = "PRODUCT_RELATION_VIEW_PRODUCT_"
SENT = {"memberId": "xuxan", "msgSendTime": "2018-05-30 20:27:48"}
SAMPLES: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    **{
        f"{VIEW}{part}": (
            {"productIds": "44179498967,44179498968", "status": f"RELATION_VIEW_{part}", **SENT},
            (44179498967, 44179498968),
        )
        for part in ("EXPIRE", "NEW_OR_MODIFY", "DELETE", "REPOST", "AUDIT")
    },
    f"{VIEW}CHANGE": (
        {"productIds": "897022666243,897022666242", "action": "sku_modify", **SENT},
        (897022666243, 897022666242),
    ),
    "PRODUCT_PRODUCT_INVENTORY_CHANGE": (
        {
            "OfferInventoryChangeList": [
                {"offerId": 42872301173, "offerOnSale": 7, "skuId": 1, "quantity": -2},
                {"offerId": 42872301173, "offerOnSale": 7, "skuId": 2, "quantity": -1},
                {"offerId": "1234567890", "offerOnSale": 9, "bizTime": "1564984329147"},
            ]
        },
        (42872301173, 1234567890),
    ),
    "FENXIAO_PRICE_CHANGE": ({"productId": "738629661216", **SENT}, (738629661216,)),
    "PRODUCT_PFT_OFFER_PRICE_MODIFY": (
        {
            "offerId": 679304426617,
            "minPrice": 2100,
            "activeTime": 1662426000000,
            "skuUpdateInfos": {"skuId": 4851072600824, "historyRetailPrice": 1550},
        },
        (679304426617,),
    ),
    "PRODUCT_PFT_OFFER_QUIT": ({"offerId": 662112483578, "type": "single"}, (662112483578,)),
    "CROSSBOARD_XYT_PLATFORM_OFFER_CHANGE": (
        {"productIds": "30798998397239", "status": "add"},
        (30798998397239,),
    ),
}
"""Of each topic the data as on its page, and the products that they name."""


def message(topic: str, data: Any, **fields: Any) -> dict[str, Any]:
    return {
        "msgId": 68891027,
        "type": topic,
        "userInfo": "memberId",
        "data": data,
        "gmtBorn": 1399452484000,
        **fields,
    }


def test_every_topic_has_a_sample() -> None:
    assert set(SAMPLES) == TOPICS


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("topic", sorted(SAMPLES))
def test_every_topic_is_read(topic: str, *, as_text: bool) -> None:
    data, ids = SAMPLES[topic]
    read = read_message(message(topic, json.dumps(data) if as_text else data))
    assert read == PlatformMessage("68891027", topic, ids, is_known=True)


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("1,2", (1, 2)),
        (" 1， 2；2,", (1, 2)),
        ([1, "2", "3,4"], (1, 2, 3, 4)),
        (5, (5,)),
    ],
)
def test_ids_come_in_several_forms(value: Any, ids: tuple[int, ...]) -> None:
    read = read_message(message(f"{VIEW}CHANGE", {"productIds": value}))
    assert (read.product_ids, read.problem) == (ids, "")


@pytest.mark.parametrize(
    ("data", "ids", "problem"),
    [
        (None, (), "data is no object"),
        ("{", (), "data is no JSON"),
        ("[" * 100_000, (), "data is no JSON"),
        ([], (), "data is no object"),
        ({}, (), "data names no product"),
        ({"productIds": ""}, (), "data names no product"),
        ({"productIds": "x"}, (), "data names no product"),
        ({"productIds": "0"}, (), "data names no product"),
        ({"productIds": True}, (), "data names no product"),
        ({"productIds": 1.5}, (), "data names no product"),
        ({"productIds": "1,x,2"}, (1, 2), "data has an id that is no number"),
        ({"productIds": [1, 2**63]}, (1,), "data has an id that is no number"),
    ],
)
def test_data_that_cannot_be_read_are_a_problem(
    data: Any, ids: tuple[int, ...], problem: str
) -> None:
    read = read_message(message(f"{VIEW}EXPIRE", data))
    assert (read.is_known, read.product_ids, read.problem) == (True, ids, problem)


def test_other_topics_are_left_alone() -> None:
    read = read_message(message("ORDER_BUYER\nVIEW" + "x" * 500, {"orderId": 1}))
    assert not read.is_known
    assert (read.product_ids, read.problem) == ((), "")
    assert read.topic.startswith("ORDER_BUYER?VIEWxxx")
    assert len(read.topic) == 100


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no JSON object"),
        ([], "no JSON object"),
        ({}, "no msgId"),
        ({"msgId": "x", "type": "A"}, "no msgId"),
        ({"msgId": 2**63, "type": "A"}, "no msgId"),
        ({"msgId": 1}, "no type"),
        ({"msgId": 1, "type": 5}, "no type"),
    ],
)
def test_what_is_no_message(value: Any, reason: str) -> None:
    with pytest.raises(MalformedMessageError, match=reason):
        read_message(value)


@pytest.mark.parametrize("form", [{}, {"message": ""}, {"message": "{"}, {"message": "[]"}])
def test_a_callback_without_a_message(form: dict[str, str]) -> None:
    with pytest.raises(MalformedMessageError):
        read_callback(form)


def test_a_message_s_id_is_a_number_or_its_text() -> None:
    for given in (7, "7", " 007 "):
        assert read_message({"msgId": given, "type": "A"}).message_id == "7"


def mutated(value: Any, chance: random.Random) -> Any:
    """Return a copy in which something is another value, missing, nested or cut."""
    changed = copy.deepcopy(value)
    spot, keys = changed, list(changed)
    while True:
        key = chance.choice(keys)
        inner = spot[key]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.3:
            break
        spot = inner
        keys = list(range(len(spot))) if isinstance(spot, list) else list(spot)
    odd = [None, True, -1, 2**70, 1.5, "", "x", "\ud800", "١", "1" * 5000, [], {}, [[1]], {"a": 1}]
    kind = chance.randrange(4)
    if kind == 0:
        del spot[key]
    elif kind == 1:
        spot[key] = {"inner": inner}
    elif kind == 2 and isinstance(inner, str):
        spot[key] = inner[: chance.randrange(len(inner) + 1)] + chance.choice(["", ",", "\0", "名"])
    else:
        spot[key] = chance.choice(odd)
    return changed


def test_ten_thousand_mutated_messages_are_read_or_refused() -> None:
    chance = random.Random(16_888)
    known = [message(topic, data) for topic, (data, _) in sorted(SAMPLES.items())]
    known += [message(each["type"], json.dumps(each["data"])) for each in known]
    outcomes = {"read": 0, "problem": 0, "other": 0, "refused": 0}
    for number in range(10_000):
        value = known[number % len(known)]
        for _ in range(1 + number % 3):
            value = mutated(value, chance) if value else value
        text = json.dumps(value)
        if number % 10 == 0:
            text = text[: chance.randrange(len(text))]
        try:
            read = read_callback({"message": text})
        except MalformedMessageError:
            outcomes["refused"] += 1
            continue
        assert read.message_id.isdecimal()
        assert all(0 < each < 2**63 for each in read.product_ids)
        assert bool(read.product_ids) or bool(read.problem) or not read.is_known
        outcome = "other" if not read.is_known else "problem" if read.problem else "read"
        outcomes[outcome] += 1
    assert all(count > 300 for count in outcomes.values()), outcomes


FORMS = [
    {"message": '{"msgId":1}'},
    {"message": '{"data":"杯子 & %"}', "a": "", "ab": "1", "a1": "b"},
]


@pytest.mark.parametrize("form", FORMS)
def test_the_signature_of_a_callback(form: dict[str, str]) -> None:
    # Computed by another way: the pairs sorted by their bytes, the HMAC by its definition.
    pairs = b"".join(sorted(f"{name}{value}".encode() for name, value in form.items()))
    key = b"test123".ljust(64, b"\0")
    inner = hashlib.sha1(bytes(byte ^ 0x36 for byte in key) + pairs).digest()
    expected = hashlib.sha1(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()
    assert sign_callback(form, "test123") == expected.upper()
    for signature in (expected, expected.upper()):
        assert is_from_platform({**form, "_aop_signature": signature}, "test123")
        assert not is_from_platform({**form, "_aop_signature": signature}, "test124")
        assert not is_from_platform({**form, "b": "1", "_aop_signature": signature}, "test123")


def test_a_known_signature() -> None:
    signature = "5A9F3B34E9A2A2E0DDA3E5E8E7B2D6F0C3B7A1D9"
    text = "message{}"
    right = hmac.new(b"test123", text.encode(), "sha1").hexdigest()
    assert is_from_platform({"message": "{}", "_aop_signature": right}, "test123")
    for wrong in (signature, right[:-1], right + "0", "", "名", "\ud800"):
        assert not is_from_platform({"message": "{}", "_aop_signature": wrong}, "test123")
    assert not is_from_platform({"message": "{}"}, "test123")


def test_the_calls_around_messages() -> None:
    apis = choose_apis("param2")
    for call, api, params in [
        (undelivered(), QUERY_API, {"page": 1, "pageSize": 200}),
        (confirmation(["5", "6"]), CONFIRM_API, {"msgIdList": "[5,6]"}),
        (listing([1, 2]), LIST_API, {"productIdList": "[1, 2]"}),
        (following([1]), FOLLOW_API, {"productId": 1}),
    ]:
        assert (apis.name(call), apis.parameters(call)) == (api, params)
        assert call.product_ids == ()


def test_no_queue_takes_them() -> None:
    call = undelivered()
    assert isinstance(call, ServiceCall)
    with pytest.raises(MalformedMessageError, match="no call that this project makes"):
        ApiCall.decode(call.encode())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"pushMessagePage": {"datas": [{"a": 1}], "totalCount": 7}}, ([{"a": 1}], 7)),
        ({"pushMessagePage": {"datas": [1, 2], "totalCount": "x"}}, ([1, 2], 2)),
        ({"pushMessagePage": {"datas": None, "totalCount": "3"}}, ([], 3)),
        ({"pushMessagePage": []}, ([], 0)),
        ({}, ([], 0)),
    ],
)
def test_a_page_of_messages(data: Any, expected: tuple[list[Any], int]) -> None:
    assert read_page(data) == expected
