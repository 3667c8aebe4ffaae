"""What an operator sees of a queue and does to it, as its workers notice it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.redis_server import MOST_SHOWN
from ali1688_spider.scheduling.source import CrawlProgress
from ali1688_spider.scheduling.steering import Pause
from tests.scheduling.conftest import reasons, until
from tests.scheduling.leases import again, done, products, release, retry

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from ali1688_spider.scheduling.queue import LeaseQueue
    from tests.scheduling.conftest import Clock, Open

    MakeQueue = Callable[..., LeaseQueue]


def numbers(queue: LeaseQueue) -> list[int]:
    return [int(call.message) for call in queue.steering.peek(100)]


def test_a_pause_holds_all_leases_and_nothing_else(make_queue: MakeQueue) -> None:
    queue, other = make_queue(), make_queue()
    queue.push(products(1, 2))
    (first,) = queue.lease(1).leases
    pause = queue.steering.pause("me@here", "stocktaking", 60)
    batch = other.lease(5)
    assert (batch.leases, batch.pause) == ((), pause)
    assert str(pause) == f"paused by me@here until {pause.until}: stocktaking"
    assert queue.settle([done(first, products(3))]) == []
    assert numbers(queue) == [2, 3]
    assert queue.steering.resume() is True
    assert [int(lease.message) for lease in other.lease(5).leases] == [2, 3]
    assert queue.steering.resume() is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff\xfe", "paused by somebody"),
        (b"[1]", "paused by somebody"),
        (b'{"by": null, "reason": "a\\nb\\u001b[2J"}', "paused by somebody: a b[2J"),
        (b'{"by": 7, "until": "noon", "more": 1}', "paused by 7 until noon"),
    ],
)
def test_whoever_wrote_the_pause(
    text: bytes, said: str, queue: LeaseQueue, client: redis.Redis
) -> None:
    client.set(queue.keys.pause, text)
    assert str(queue.lease(1).pause) == said
    assert str(queue.steering.status().pause) == said


def test_a_long_reason_is_cut() -> None:
    pause = Pause.of(b'{"by": "me", "reason": "' + b"x" * 9999 + b'"}')
    assert pause is not None
    assert len(pause.reason) == MOST_SHOWN
    assert Pause.of(b"") is None


async def test_a_paused_worker_gives_back_what_it_has_not_begun(
    open_scheduler: Open, queue: LeaseQueue, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    queue.push(products(*range(1, 7)))
    scheduler = await open_scheduler(idle="0")
    await until(lambda: scheduler.worker.buffered == 6)
    (lease,) = scheduler.worker.next_leases()
    queue.steering.pause("me@here")
    await until(lambda: queue.counts().leased == 1)
    assert (numbers(queue), scheduler.worker.next_leases()) == ([2, 3, 4, 5, 6], [])
    queue.steering.remove([call.message for call in queue.steering.peek(9)])
    lease.ack()
    await until(lambda: queue.counts().calls == 0)
    assert reasons(scheduler) == []
    queue.steering.resume()
    await until(lambda: reasons(scheduler))
    assert reasons(scheduler) == ["finished"]
    said = [message for message in caplog.messages if "pause" in message or "resume" in message]
    way_out = "`scrapy queue resume --spider product` ends it"
    assert said == [
        f"No new calls are made, the queue is paused by me@here; {way_out}",
        "The queue is resumed; new calls are made again",
    ]


@pytest.mark.parametrize("end", [done, release, retry, again])
def test_what_is_cleared_is_not_queued_again(
    end: Any, queue: LeaseQueue, client: redis.Redis
) -> None:
    queue.crawls.begin("a", 1.0)
    queue.crawls.enqueue("a", 0, products(1, 2, 3))
    queue.crawls.end_source("a", 3)
    first, second = queue.lease(2).leases
    assert sorted(queue.steering.end_leases()) == [b"1", b"2"]
    assert queue.steering.remove([b"3", b"1", b"4"]) == 1
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=2)
    # One is wanted by somebody else since.
    queue.push(products(2))
    ended = end(first, 0.0) if end in (retry, again) else end(first)
    ended.children = products(5)
    assert queue.settle([ended, release(second)]) == []
    assert numbers(queue) == [2]
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=1)
    (second,) = queue.lease(2).leases
    queue.settle([done(second)])
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=0)
    assert not client.exists(queue.keys.leases, queue.keys.attempts, queue.keys.losses)


@pytest.mark.parametrize("is_killed", [True, False])
def test_a_worker_that_ends_or_dies_brings_nothing_back(
    *, is_killed: bool, make_queue: MakeQueue, clock: Clock, client: redis.Redis
) -> None:
    queue, other = make_queue(), make_queue()
    queue.crawls.begin("a", 1.0)
    queue.crawls.enqueue("a", 0, products(1))
    queue.crawls.end_source("a", 1)
    queue.lease(1)
    queue.steering.end_leases()
    if is_killed:
        clock.leases_run_out()
        assert other.lease(1).reclaimed == 1
    else:
        assert queue.give_back(leaving=True) == 1
    assert queue.counts().calls == 0
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=0)
    assert not client.exists(queue.keys.leases, queue.keys.losses, queue.keys.worker_info)


def test_delayed_calls_are_seen_and_removed_with_all_that_is_known_of_them(
    queue: LeaseQueue, client: redis.Redis
) -> None:
    queue.push(products(1, priority=3))
    (lease,) = queue.lease(1).leases
    queue.settle([retry(lease, 60.0)])
    queue.push(products(2, priority=-4))
    later, sooner = reversed(queue.steering.peek(9))
    assert (later.message, later.priority, later.attempts) == (b"1", 3, 1)
    assert 59 < later.due_in <= 60
    assert (sooner.message, sooner.priority, sooner.attempts, sooner.due_in) == (b"2", -4, 0, 0)
    assert [call.message for call in queue.steering.peek(1)] == [b"2"]
    assert queue.steering.remove([b"1", b"2", b"2"]) == 2
    left = {key if isinstance(key, str) else key.decode() for key in client.keys("*")}
    assert left == {queue.keys.sequence, queue.keys.times, queue.keys.workers}


def test_how_long_the_oldest_call_has_waited(queue: LeaseQueue, client: redis.Redis) -> None:
    assert queue.steering.status().oldest_waiting is None

    def minutes_pass(minutes: int) -> None:
        times: Any = client.zrange(queue.keys.times, 0, -1, withscores=True)
        client.delete(queue.keys.times)
        for time, sequence in times:
            client.zadd(queue.keys.times, {int(time) - minutes * 60_000: sequence})

    def waited() -> int | None:
        seconds = queue.steering.status().oldest_waiting
        return None if seconds is None else round(seconds / 60)

    queue.push(products(1, priority=-2))
    minutes_pass(10)
    queue.push(products(2, 3))
    minutes_pass(5)
    queue.push(products(4, priority=9))
    assert waited() == 15
    queue.steering.remove([b"1"])
    assert waited() == 5
    queue.steering.remove([b"2", b"3"])
    assert waited() == 0
    client.delete(queue.keys.times)
    assert waited() is None
    client.delete(queue.keys.sequence)
    queue.push(products(5))
    assert waited() == 0


def test_delayed_calls_wait_once_they_are_due(queue: LeaseQueue, client: redis.Redis) -> None:
    queue.push(products(1, 2, delay=60.0))
    status = queue.steering.status()
    assert (status.waiting, status.overdue, status.oldest_waiting) == (0, 0, None)
    client.zincrby(queue.keys.delayed, -100_000, "1")
    client.zincrby(queue.keys.delayed, -70_000, "2")
    status = queue.steering.status()
    assert (status.waiting, status.overdue, status.counts.delayed) == (2, 2, 2)
    assert status.oldest_waiting is not None
    assert status.oldest_waiting >= 40
    queue.lease(1)  # makes them ready
    status = queue.steering.status()
    assert (status.waiting, status.overdue, status.counts.ready) == (1, 0, 1)
    client.zadd(queue.keys.delayed, {"3": "-inf"})
    assert queue.steering.status().overdue == 1


def test_workers_are_named(make_queue: MakeQueue, clock: Clock, client: redis.Redis) -> None:
    queue, other = make_queue(lease_seconds=60), make_queue(lease_seconds=60)
    queue.push(products(1))
    queue.heartbeat()
    queue.lease(1)
    (worker,) = queue.steering.status().workers
    assert worker.name == f"{worker.host}:{worker.pid}"
    assert (worker.leased, worker.is_alive) == (1, True)
    assert worker.last_heard is not None
    assert worker.last_heard < 30

    clock.leases_run_out()
    (worker,) = queue.steering.status().workers
    assert not worker.is_alive
    other.lease(0)
    client.hset(queue.keys.worker_info, str(other.worker), b'{"host": 1}')  # type: ignore[arg-type]
    (unknown,) = queue.steering.status().workers
    assert (unknown.name, unknown.host, unknown.last_heard) == (str(other.worker), "", None)
    assert unknown.is_alive
