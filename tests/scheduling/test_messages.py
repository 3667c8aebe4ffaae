from __future__ import annotations

import pickle

import pytest

from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.entries import QueueEntry
from ali1688_spider.scheduling.messages import read_message

PRODUCT = ApiCall.product(610000000001)


@pytest.mark.parametrize(
    ("message", "priority"),
    [
        (b"610000000001", 0),
        (b" 610000000001\r\n", 0),
        (b"https://detail.1688.com/offer/610000000001.html?spm=a2615.x", 0),
        (b"https://m.1688.com/page?offerId=610000000001", 0),
        (b'{"product_id": 610000000001}', 0),
        (b'{"product_id": "610000000001"}', 0),
        (b'\n{"product_id": 610000000001, "priority": 10}', 10),
        (b'{"product_id": 610000000001, "priority": -3}', -3),
        (b'{"api":"product","params":{"product_id":610000000001}}', 0),
    ],
)
def test_every_form_asks_for_the_product(message: bytes, priority: int) -> None:
    assert read_message(message) == QueueEntry(PRODUCT, priority)


def test_a_call_asks_for_itself() -> None:
    call = ApiCall.search(keyword="雨伞", page=2, page_size=20)

    assert read_message(call.encode().encode()) == QueueEntry(call)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "neither a product id nor"),
        (b"-5", "neither a product id nor"),
        (b"1e5", "neither a product id nor"),
        (b"0", "out of range"),
        (b"9223372036854775808", "out of range"),
        (b"https://example.com/offer/1.html", "neither a product id nor"),
        (b"http://proxy.example:8080/?url=https://detail.1688.com/offer/1.html", "neither"),
        (pickle.dumps({"url": "https://detail.1688.com/offer/1.html"}), "not text in UTF-8"),
        (b"[610000000001]", "neither a product id nor"),
        (b'"610000000001"', "neither a product id nor"),
        (b"null", "neither a product id nor"),
        (b"{", "not JSON"),
        (b'{"a":' * 800, "not JSON"),
        (b"{}", "neither a number nor an object of 'api' and 'params'"),
        (b'{"url":"https://detail.1688.com/offer/1.html","meta":{"proxy":"http://x"}}', "neither"),
        (b'{"product_id": 1, "callback": "parse"}', "beside product_id and priority it has callb"),
        (b'{"product_id": true}', "the product_id is not a whole number"),
        (b'{"product_id": 1.5}', "the product_id is not a whole number"),
        (b'{"product_id": null}', "the product_id is not a whole number"),
        (b'{"product_id": 0}', "out of range"),
        (b'{"product_id": 1, "priority": "high"}', "the priority is not a whole number"),
        (b'{"product_id": 1, "priority": true}', "the priority is not a whole number"),
        (
            b'{"api":"search","params":{"keyword":"\\ud800","page":1,"page_size":20}}',
            "not Unicode text",
        ),
        (b'{"api":"refund","params":{}}', "no call that this project makes"),
        (b"1" * 4097, "longer than 4096 bytes"),
    ],
)
def test_anything_else_is_malformed(message: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessageError, match=reason):
        read_message(message)
