from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.entries import QueueEntry
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


def test_messages_that_are_too_long_are_not_handed_over(
    queue: LeaseQueue, client: redis.Redis
) -> None:
    client.lpush(queue.keys.start, *[b"%d" % number + b"x" * 600_000 for number in range(5)], "7")

    batch = take(queue)
    assert [len(message.message) for message in batch.malformed] == [4096, 4096]
    assert [message.message[:2] for message in batch.malformed] == [b"0x", b"1x"]
    expected = "longer than 4096 bytes: it has 600,001, the first are kept"
    assert {message.reason for message in batch.malformed} == {expected}
    assert queue.counts().messages == 6

    queue.intake.settle(batch)
    queue.intake.settle(take(queue))
    batch = take(queue)
    assert (ids(batch), len(batch.malformed)) == ([7], 1)


def test_calls_are_queued_before_the_malformed_messages_are_recorded(
    make_queue: MakeQueue, queue: LeaseQueue, client: redis.Redis
) -> None:
    client.lpush(queue.keys.start, "1", "nonsense", "2", "more")

    added, rest = queue.intake.queue_calls(take(queue))
    assert added == 2
    assert leased_ids(queue) == [1, 2]
    assert queue.counts().messages == 2
    client.delete(queue.keys.reader)
    assert take(make_queue()) == rest
    assert [message.message for message in rest.malformed] == [b"nonsense", b"more"]
    assert queue.intake.settle(rest) == 0
    assert queue.counts().messages == 0


def test_a_call_that_the_spider_does_not_make_is_malformed(
    make_queue: MakeQueue, client: redis.Redis
) -> None:
    queue = make_queue(operations={"product"})
    search = ApiCall.search(keyword="x", page=1, page_size=20)
    client.lpush(queue.keys.start, search.encode(), "7")

    batch = take(queue)
    assert ids(batch) == [7]
    (malformed,) = batch.malformed
    expected = "a search call, of which this spider makes none: it makes product calls"
    assert (malformed.message, malformed.reason) == (search.encode().encode(), expected)

    queue.push([QueueEntry(search)])
    (refused,) = queue.lease(9).refused
    assert (refused.call, refused.reason) == (None, expected)


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
