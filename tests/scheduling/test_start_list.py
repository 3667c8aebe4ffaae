from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling import start_list as module
from ali1688_spider.scheduling.lease import QueueEntry
from ali1688_spider.scheduling.start_list import read_message

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from ali1688_spider.redis_server import Argument
    from ali1688_spider.scheduling.queue import LeaseQueue
    from ali1688_spider.scheduling.start_list import MessageBatch

    MakeQueue = Callable[..., LeaseQueue]


def read(queue: LeaseQueue, count: int = 1000) -> MessageBatch:
    batch = queue.start_list.read(count)
    assert batch is not None
    return batch


def run_take(queue: LeaseQueue) -> None:
    """Read as a reader does that dies at once."""
    queue._scripts.run("take_messages", queue.worker, 1000, 10_000, 1_000_000, 4096)


def leased_ids(queue: LeaseQueue) -> list[int]:
    return [int(lease.message) for lease in queue.lease(100).leases]


def test_messages_are_taken_oldest_first(queue: LeaseQueue, client: redis.Redis) -> None:
    client.lpush(queue.keys.start, "1", "2", '{"product_id": 3, "priority": 10}')

    batch = read(queue, 2)
    assert (batch.count, batch.added, batch.malformed) == (2, 2, ())
    assert queue.counts().messages == 1
    assert read(queue).added == 1
    assert queue.start_list.read() is None
    assert leased_ids(queue) == [3, 1, 2]


def test_a_set_may_hold_the_messages(queue: LeaseQueue, client: redis.Redis) -> None:
    client.sadd(queue.keys.start, "1", "2", "3")
    assert queue.counts().messages == 3

    assert read(queue).added == 3
    assert sorted(leased_ids(queue)) == [1, 2, 3]


def test_a_sorted_set_gives_the_highest_score_first(queue: LeaseQueue, client: redis.Redis) -> None:
    client.zadd(queue.keys.start, {"1": 1, "2": 9, "3": 5})

    read(queue, 2)
    assert leased_ids(queue) == [2, 3]
    assert queue.counts().messages == 1


def test_messages_that_are_too_long_are_not_handed_over(
    queue: LeaseQueue, client: redis.Redis
) -> None:
    client.lpush(queue.keys.start, *[b"%d" % number + b"x" * 600_000 for number in range(5)], "7")

    batch = read(queue)
    assert [len(message) for message, _ in batch.malformed] == [4096, 4096]
    assert [message[:2] for message, _ in batch.malformed] == [b"0x", b"1x"]
    expected = "longer than 4096 bytes: it has 600,001, the first are kept"
    assert {reason for _, reason in batch.malformed} == {expected}
    assert queue.counts().messages == 6

    queue.start_list.remove(batch)
    queue.start_list.remove(read(queue))
    batch = read(queue)
    assert (batch.added, len(batch.malformed)) == (1, 1)


def test_malformed_messages_wait_until_they_are_recorded(
    make_queue: MakeQueue, queue: LeaseQueue, client: redis.Redis
) -> None:
    client.lpush(queue.keys.start, "1", b"\x80\x04\x95", "2", "http://proxy:1/")

    batch = read(queue)
    assert (batch.count, batch.added) == (4, 2)
    assert [message for message, _ in batch.malformed] == [b"\x80\x04\x95", b"http://proxy:1/"]
    assert batch.malformed[0][1] == "not text in UTF-8"
    assert leased_ids(queue) == [1, 2]
    assert queue.counts().messages == 2
    client.delete(queue.keys.reader)
    next_reader = make_queue()
    again = read(next_reader)
    assert (again.number, again.added, again.malformed) == (batch.number, 0, batch.malformed)
    next_reader.start_list.remove(again)
    assert queue.counts().messages == 0
    queue.start_list.remove(batch)
    assert queue.counts().messages == 0


def test_a_batch_whose_answer_was_lost_is_read_again_and_loses_no_message(
    queue: LeaseQueue, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of a batch may be less than the whole: long messages come a few at once."""
    monkeypatch.setattr(module, "MOST_BYTES_AT_ONCE", 10)
    client.lpush(queue.keys.start, "nonsense", "1111", "2222", "3333", "4444")
    run = queue._scripts.run

    def lose_the_answer(name: str, *arguments: Argument) -> Any:
        answer = run(name, *arguments)
        if name == "settle_messages":
            raise RedisConnectionError("lost")
        return answer

    monkeypatch.setattr(queue._scripts, "run", lose_the_answer)
    with pytest.raises(RedisConnectionError):
        queue.start_list.read()
    monkeypatch.setattr(queue._scripts, "run", run)
    while queue.counts().messages:
        queue.start_list.remove(read(queue))
    assert leased_ids(queue) == [1111, 2222, 3333, 4444]


def test_a_call_that_the_spider_does_not_make_is_malformed(
    make_queue: MakeQueue, client: redis.Redis
) -> None:
    queue = make_queue(operations={"product"})
    search = ApiCall.search(keyword="x", page=1, page_size=20)
    client.lpush(queue.keys.start, search.encode(), "7")

    batch = read(queue)
    expected = "a search call, of which this spider makes none: it makes product calls"
    assert batch.malformed == ((search.encode().encode(), expected),)
    assert leased_ids(queue) == [7]

    queue.push([QueueEntry(search)])
    (refused,) = queue.lease(9).leases
    assert (refused.call, refused.refusal) == (None, expected)


def test_one_worker_reads_at_a_time(
    make_queue: MakeQueue, queue: LeaseQueue, client: redis.Redis
) -> None:
    client.lpush(queue.keys.start, "nonsense", "2")
    other = make_queue()

    batch = read(queue, 1)
    assert other.start_list.read() is None
    queue.start_list.remove(batch)
    assert read(other).added == 1


def test_a_dead_readers_batch_is_read_by_the_next(
    make_queue: MakeQueue, queue: LeaseQueue, client: redis.Redis
) -> None:
    client.lpush(queue.keys.start, "1", "1", "2")
    run_take(queue)
    assert make_queue().start_list.read() is None
    client.delete(queue.keys.reader)

    batch = read(make_queue(), 2)
    assert (batch.count, batch.added) == (2, 1)
    assert read(make_queue()).added == 1


def test_the_reader_is_taken_for_dead_after_a_while(queue: LeaseQueue, client: redis.Redis) -> None:
    client.lpush(queue.keys.start, "nonsense")
    read(queue)

    assert 0 < client.pttl(queue.keys.reader) <= 10_000


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
