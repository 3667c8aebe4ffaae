from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import bson
import pytest
from bson import Decimal128

from ali1688_spider.storage.database import mongo_retry
from ali1688_spider.storage.rejections import RejectionStore, storable
from tests.storage.observations import NOON

if TYPE_CHECKING:
    from ali1688_spider.storage.database import Database


async def test_a_rejection_is_kept_once(database: Database) -> None:
    store = RejectionStore(database, mongo_retry())
    for product_id in (7, 7, None):
        payload = {"price": Decimal("-1.50")}
        await store.keep(product_id, ["price: below 0 (-1.50 came)"], payload, NOON)
    found = await database["rejected_items"].find({}, {"_id": 0}).to_list()
    document = {
        "errors": ["price: below 0 (-1.50 came)"],
        "payload": {"price": Decimal128("-1.50")},
        "at": NOON,
    }
    assert found == [{"product_id": 7, **document}, {"product_id": None, **document}]


async def test_a_payload_that_bson_cannot_hold_is_kept_as_text(database: Database) -> None:
    store = RejectionStore(database, mongo_retry())
    await store.keep(7, ["name: not text"], {"name": "half a pair: \ud800"}, NOON)
    [rejected] = await database["rejected_items"].find().to_list()
    assert rejected["payload"] == '{"name": "half a pair: \\ud800"}'


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        (None, None),
        ("text", "text"),
        ({"a": [1, Decimal("1.50"), None]}, {"a": [1, Decimal128("1.50"), None]}),
        ({"a": Decimal("NaN")}, {"a": Decimal128("NaN")}),
        ({"a": 2**70}, '{"a": 1180591620717411303424}'),
        ({"a": "杯\ud800"}, '{"a": "杯\\ud800"}'),
        ({"a\0": 1}, '{"a\\u0000": 1}'),
        ({"a": Decimal("1" * 40)}, '{"a": "%s"}' % ("1" * 40)),
        (deep(70), deep(70)),
        (deep(90), "[" * 90 + "1" + "]" * 90),
        (deep(100_000), "nested too deeply to be kept"),
    ],
)
def test_every_payload_can_be_stored(payload: Any, kept: Any) -> None:
    stored = storable(payload)
    assert stored == kept
    assert bson.decode(bson.encode({"payload": stored}))["payload"] == kept


def test_a_payload_kept_as_text_is_still_json() -> None:
    payload = {"name": 'a"\ud800\n', "stock": 2**70}
    assert json.loads(storable(payload)) == payload


def test_a_huge_payload_is_cut() -> None:
    assert storable({"a": "杯" * 2_000_000}) == '{"a": "' + "杯" * ((4 * 1024 * 1024 - 7) // 3)
