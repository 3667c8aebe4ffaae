from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ResponseError

from ali1688_spider.scheduling.intake import MalformedMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from ali1688_spider.scheduling.intake import MessageBatch
    from ali1688_spider.scheduling.queue import LeaseQueue

    MakeQueue = Callable[..., LeaseQueue]


def take(queue: LeaseQueue, count: int = 1000) -> MessageBatch:
    batch = queue.intake.take(count)
    assert batch is not None
    return batch


def ids(batch: MessageBatch) -> list[object]:
    return [entry.call.params["product_id"] for entry in batch.entries]


def leased_ids(queue: LeaseQueue) -> list[int]:
    return [int(call.message) for call in queue.lease(100).calls]


def test_messages_are_taken_oldest_first(queue: LeaseQueue, client: redis.Redis) -> None:
    client.lpush(queue.keys.start, "1", "2", '{"product_id": 3, "priority": 10}')

    batch = take(queue, 2)
    assert ids(batch) == [1, 2]
    assert queue.counts().messages == 3
    assert queue.intake.settle(batch) == 2
    assert queue.counts().messages == 1
    assert queue.intake.settle(take(queue)) == 1
    assert queue.intake.take() is None
    assert leased_ids(queue) == [3, 1, 2]


def test_a_set_may_hold_the_messages(queue: LeaseQueue, client: redis.Redis) -> None:
    client.sadd(queue.keys.start, "1", "2", "3")
    assert queue.counts().messages == 3

    assert queue.intake.settle(take(queue)) == 3
    assert sorted(leased_ids(queue)) == [1, 2, 3]


def test_a_sorted_set_gives_the_highest_score_first(queue: LeaseQueue, client: redis.Redis) -> None:
    client.zadd(queue.keys.start, {"1": 1, "2": 9, "3": 5})

    batch = take(queue, 2)
    assert ids(batch) == [2, 3]
    assert queue.counts().messages == 3


def test_another_kind_of_key_is_an_error(queue: LeaseQueue, client: redis.Redis) -> None:
    client.set(queue.keys.start, "1")

    with pytest.raises(ResponseError, match="product:start_urls is a string and has to be a list"):
        queue.intake.take()
    assert queue.counts().messages == 0


def test_malformed_messages_wait_until_they_are_recorded(
    queue: LeaseQueue, client: redis.Redis
) -> None:
    client.lpush(queue.keys.start, "1", b"\x80\x04\x95", "http://proxy:1/", "2")

    batch = take(queue)

    assert ids(batch) == [1, 2]
    assert [message.message for message in batch.malformed] == [b"\x80\x04\x95", b"http://proxy:1/"]
    assert batch.malformed[0] == MalformedMessage(b"\x80\x04\x95", "not text in UTF-8")
    assert queue.counts().messages == 4
    assert take(queue) == batch
    assert queue.intake.settle(batch) == 2
    assert queue.counts().messages == 0


def test_a_batch_of_malformed_messages_is_removed(queue: LeaseQueue, client: redis.Redis) -> None:
    client.lpush(queue.keys.start, "nonsense")

    assert queue.intake.settle(take(queue)) == 0
    assert queue.counts().messages == 0


def test_one_worker_reads_at_a_time(
    make_queue: MakeQueue, queue: LeaseQueue, client: redis.Redis
) -> None:
    client.lpush(queue.keys.start, "1", "2")
    other = make_queue()

    batch = take(queue, 1)
    assert other.intake.take() is None
    queue.intake.settle(batch)
    assert ids(take(other)) == [2]


def test_a_dead_readers_batch_is_read_by_the_next(
    make_queue: MakeQueue, queue: LeaseQueue, client: redis.Redis
) -> None:
    client.lpush(queue.keys.start, "1", "1", "2")
    other = make_queue()
    lost = take(queue, 2)
    client.delete(queue.keys.reader)

    batch = take(other, 2)
    assert batch == lost
    assert other.intake.settle(batch) == 1
    assert queue.intake.settle(lost) == 0
    assert ids(take(queue)) == [2]


def test_the_reader_is_taken_for_dead_after_a_while(queue: LeaseQueue, client: redis.Redis) -> None:
    client.lpush(queue.keys.start, "1")
    take(queue)

    assert 0 < client.pttl(queue.keys.reader) <= 10_000
