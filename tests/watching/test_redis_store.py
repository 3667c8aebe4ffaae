from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import redis

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.lease import Lease, QueueEntry
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.spiders.watch import open_redis_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ali1688_spider.watching.redis_store import RedisWatchStore

WATCHED = "{watch:start_urls}:watched"
FIRST, SECOND = "0123456789ab[1,0,0,0]", "0123456789ab[2,0,0,1]"


@pytest.fixture(params=[False, True])
def client(redis_url: str, request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A client that decodes answers, or does not: users may set either."""
    with redis.Redis.from_url(redis_url, decode_responses=request.param) as client:
        yield client


@pytest.fixture
def store(client: redis.Redis) -> RedisWatchStore:
    return open_redis_store(client)


@pytest.fixture
def queue(client: redis.Redis) -> LeaseQueue:
    return LeaseQueue(client, SimpleNamespace(name="watch"), QUEUE_KEY, lease_seconds=60)


def entry(product_id: int, delay: float = 0) -> QueueEntry:
    return QueueEntry(ApiCall.product(product_id), 0, delay)


def leased(queue: LeaseQueue, most: int = 9) -> dict[int, Lease]:
    return {int(lease.message): lease for lease in queue.lease(most).leases}


def repeated(lease: Lease, delay: float) -> Lease:
    lease.ack()
    lease.repeat(delay)
    return lease


def states(text: str, *product_ids: int) -> list[tuple[int, str, float]]:
    return [(product_id, text, 0.0) for product_id in product_ids]


def test_the_first_fetch_adds(store: RedisWatchStore, queue: LeaseQueue) -> None:
    queue.push([entry(1), entry(2)])
    assert store.load([1, 2]) == ["", ""]
    store.save(states(FIRST, 1, 2))
    assert store.load([1, 2]) == [FIRST, FIRST]
    store.save(states(SECOND, 1))
    assert store.load([1]) == [SECOND]
    watched, texts = store.sample(9)
    assert (watched, sorted(texts)) == (2, [FIRST, SECOND])
    assert store.sample(1) in ((2, [FIRST]), (2, [SECOND]))


def test_an_empty_store(store: RedisWatchStore) -> None:
    assert store.sample(5) == (0, [])
    assert store.load([]) == []
    store.save([])
    assert store.remove([]) == 0


def test_products_leave_hashes_and_queue_wherever_they_are(
    store: RedisWatchStore, queue: LeaseQueue, client: redis.Redis
) -> None:
    queue.push([entry(1), entry(4)])
    calls = leased(queue)
    queue.push([entry(2, delay=60), entry(3), entry(5, delay=60), entry(6)])
    store.save(states(FIRST, 1, 2, 3))

    assert store.remove([1, 2, 3, 5, 7]) == 4

    assert store.sample(9) == (0, [])
    counts = queue.counts()
    assert (counts.ready, counts.delayed, counts.leased) == (1, 0, 1)
    # The worker that made the call meanwhile changes nothing any more.
    store.save(states(SECOND, 1))
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
    store.save(states(FIRST, 1, 2))
    queue.settle([repeated(calls[1], 0), repeated(calls[2], 0)])
    assert store.load([1, 2]) == ["", FIRST]
    assert set(leased(queue)) == {2}

    store.save(states(SECOND, 2))
    assert store.remove([2]) == 1
    store.save(states(SECOND, 2))
    assert store.load([2]) == [""]


@pytest.mark.parametrize("text", [b"nonsense", b"\xff\xfe[", b""])
def test_states_of_a_wrong_form_take_no_other_along(
    store: RedisWatchStore, queue: LeaseQueue, client: redis.Redis, text: bytes
) -> None:
    queue.push([entry(1), entry(2)])
    client.hset(WATCHED, "1", text)  # type: ignore[arg-type]
    store.save(states(FIRST, 2))

    watched, texts = store.sample(9)
    assert (watched, len(texts)) == (2, 2)
    assert store.load([1, 2])[1] == FIRST
    store.save(states(SECOND, 1))
    assert store.load([1, 2]) == [SECOND, FIRST]
    client.hset(WATCHED, "1", text)  # type: ignore[arg-type]
    assert store.remove([1, 2]) == 2


@pytest.mark.parametrize("key", ["watched", "delayed", "leases"])
def test_a_key_of_another_type_is_set_aside(
    store: RedisWatchStore, queue: LeaseQueue, client: redis.Redis, key: str
) -> None:
    queue.push([entry(1)])
    client.set(f"{{watch:start_urls}}:{key}", "x")
    store.save(states(FIRST, 1))
    store.resume(60)
    assert store.load([1]) == [FIRST]
    assert len(list(client.scan_iter(f"*{key}:broken:*"))) == 1


def test_thousands_are_removed_in_portions(
    store: RedisWatchStore, queue: LeaseQueue, client: redis.Redis
) -> None:
    queue.push(entry(number) for number in range(1, 2502))
    store.save(states(FIRST, *range(1, 101)))
    assert store.remove(range(1, 3001)) == 2501
    assert not client.exists(WATCHED)


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


def test_the_next_products_come_first(
    store: RedisWatchStore, queue: LeaseQueue, client: redis.Redis
) -> None:
    assert store.upcoming(5) == (0, [])
    queue.push([entry(1), entry(2)])
    leased(queue, 1)
    queue.push(entry(number, delay=100 * number) for number in range(3, 2503))
    store.save(states(FIRST, 1, 3))
    page = ApiCall.search(keyword="x", page=1, page_size=20)
    queue.push([QueueEntry(page, priority=9)])
    client.zadd("{watch:start_urls}:delayed", {"4": "inf"})

    watched, upcoming = store.upcoming(4)
    assert watched == 2503
    assert [each.product_id for each in upcoming] == [1, 2, 3, 5]
    assert [each.due is None for each in upcoming] == [True, True, False, False]
    assert [each.product.fetched_at for each in upcoming] == [1.0, None, 1.0, None]
    assert [each.interval is None for each in upcoming] == [True, True, False, True]
    _, upcoming = store.upcoming(9999)
    assert sorted(each.product_id for each in upcoming) == list(range(1, 2503))
    assert upcoming[-1].product_id == 4
