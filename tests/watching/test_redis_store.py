from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import redis

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.lease import Lease, QueueEntry
from ali1688_spider.scheduling.queue import LeaseQueue, QueueName
from ali1688_spider.watching.product import WatchedProduct
from ali1688_spider.watching.redis_store import RedisWatchStore
from ali1688_spider.watching.totals import Totals
from tests.watching.stores import (
    AGAIN,
    FETCHED,
    TEXT,
    TEXT_AGAIN,
    assert_sums,
    first_fetch,
    second_fetch,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=[False, True])
def client(redis_url: str, request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A client that decodes answers, or does not: users may set either."""
    with redis.Redis.from_url(redis_url, decode_responses=request.param) as client:
        yield client


@pytest.fixture
def store(client: redis.Redis) -> RedisWatchStore:
    return RedisWatchStore(client)


@pytest.fixture
def queue(client: redis.Redis) -> LeaseQueue:
    return LeaseQueue(client, QueueName("watch"), QUEUE_KEY, lease_seconds=60)


def entry(product_id: int, delay: float = 0) -> QueueEntry:
    return QueueEntry(ApiCall.product(product_id), 0, delay)


def leased(queue: LeaseQueue, most: int = 9) -> dict[int, Lease]:
    return {int(lease.message): lease for lease in queue.lease(most).leases}


def repeated(lease: Lease, delay: float) -> Lease:
    lease.ack()
    lease.repeat(delay)
    return lease


def test_the_first_fetch_adds(store: RedisWatchStore, queue: LeaseQueue) -> None:
    queue.push([entry(1), entry(2)])
    assert store.load([1, 2]) == ["", ""]
    store.save([first_fetch(1), first_fetch(2)])
    assert store.load([1, 2]) == [TEXT, TEXT]
    assert_sums(store.totals(), Totals.of([FETCHED, FETCHED]))
    store.save([second_fetch(1)])
    assert store.load([1]) == [TEXT_AGAIN]
    assert_sums(store.totals(), Totals.of([FETCHED, AGAIN]))
    assert store.sample(9) in ([FETCHED, AGAIN], [AGAIN, FETCHED])


def test_of_two_workers_one_counts(
    store: RedisWatchStore, client: redis.Redis, queue: LeaseQueue
) -> None:
    queue.push([entry(1)])
    store.save([first_fetch(1)])
    for worker in (store, RedisWatchStore(client)):
        worker.save([second_fetch(1)])
    store.save([first_fetch(1)])
    assert store.load([1]) == [TEXT_AGAIN]
    assert_sums(store.totals(), Totals.of([AGAIN]))


def test_an_empty_store(store: RedisWatchStore) -> None:
    assert_sums(store.totals(), Totals(0))
    assert store.sample(5) == []
    store.save([])
    assert store.remove([]) == 0


def test_entries_that_cannot_be_read_are_begun_anew(
    store: RedisWatchStore, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    client.hset("{watch:start_urls}:watched", "1", "nonsense")
    assert store.sample(1) == [WatchedProduct()]
    assert "What is kept of a watched product is begun anew" in caplog.text
    assert store.remove([1]) == 1


def test_products_leave_hashes_and_queue_wherever_they_are(
    store: RedisWatchStore, queue: LeaseQueue, client: redis.Redis
) -> None:
    queue.push([entry(1), entry(4)])
    calls = leased(queue)
    queue.push([entry(2, delay=60), entry(3), entry(5, delay=60), entry(6)])
    store.save([first_fetch(number) for number in (1, 2, 3)])

    assert store.remove([1, 2, 3, 5, 7]) == 4

    assert_sums(store.totals(), Totals(0))
    counts = queue.counts()
    assert (counts.ready, counts.delayed, counts.leased) == (1, 0, 1)
    # The worker that made the call meanwhile changes nothing any more.
    store.save([second_fetch(1)])
    stale = queue.settle([repeated(calls[1], 60), repeated(calls[4], 60)])
    assert [int(lease.message) for lease in stale] == [1]
    assert store.load([1]) == [""]
    for name in ("scores", "leases", "attempts"):
        kept: Any = client.hkeys(f"{{watch:start_urls}}:{name}")
        assert {int(each) for each in kept} <= {4, 6}
    assert set(leased(queue)) == {6}


def test_a_product_that_is_unwatched_during_its_first_fetch_is_not_saved(
    store: RedisWatchStore, queue: LeaseQueue
) -> None:
    queue.push([entry(1), entry(2)])
    calls = leased(queue)
    assert store.remove([1]) == 1
    store.save([first_fetch(1), first_fetch(2)])
    queue.settle([repeated(calls[1], 0), repeated(calls[2], 0)])
    assert store.load([1, 2]) == ["", TEXT]
    assert_sums(store.totals(), Totals.of([FETCHED]))
    assert set(leased(queue)) == {2}

    store.save([second_fetch(2)])
    assert store.remove([2]) == 1
    store.save([second_fetch(2)])
    assert store.load([2]) == [""]
    assert_sums(store.totals(), Totals(0))


@pytest.mark.parametrize("text", [b"nonsense", b"\xff\xfe[", b"inf", b"nan", b"", b"1e999"])
def test_sums_and_entries_of_a_wrong_form_count_as_absent(
    store: RedisWatchStore, queue: LeaseQueue, client: redis.Redis, text: bytes
) -> None:
    queue.push([entry(1), entry(2), entry(3)])
    store.save([first_fetch(3)])
    client.hset("{watch:start_urls}:watch_sums", "rates", text)  # type: ignore[arg-type]
    client.hset("{watch:start_urls}:watched", "1", text)  # type: ignore[arg-type]
    assert store.totals().sums["rates"] == 0.0

    old = store.load([1])[0]
    store.save([replace(first_fetch(1), old=old), first_fetch(2)])

    assert store.load([1, 2, 3]) == [TEXT, TEXT, TEXT]
    assert store.totals().sums["scheduled"] == 3.0
    client.hset("{watch:start_urls}:watched", "1", text)  # type: ignore[arg-type]
    assert store.remove([1, 2, 3]) == 3


@pytest.mark.parametrize("key", ["watched", "watch_sums", "delayed", "leases"])
def test_a_key_of_another_type_is_set_aside(
    store: RedisWatchStore, queue: LeaseQueue, client: redis.Redis, key: str
) -> None:
    queue.push([entry(1)])
    client.set(f"{{watch:start_urls}}:{key}", "x")
    store.save([first_fetch(1)])
    store.resume(60)
    assert store.load([1]) == [TEXT]
    assert len(list(client.scan_iter(f"*{key}:broken:*"))) == 1


def test_no_product_is_due_later_than_the_longest_interval(
    store: RedisWatchStore, queue: LeaseQueue
) -> None:
    queue.push([entry(number, delay=100_000 + number) for number in range(1, 2501)])
    queue.push([entry(9999, delay=50)])
    store.resume(3600)
    counts = queue.counts()
    assert counts.delayed == 2501
    assert counts.next_due is not None
    assert counts.next_due <= 50
    store.remove([9999])
    next_due = queue.counts().next_due
    assert next_due is not None
    assert 3000 < next_due <= 3600
