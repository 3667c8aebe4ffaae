from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling import source as module
from ali1688_spider.scheduling.source import Crawl, CrawlProgress, CrawlSource
from tests.scheduling.leases import again, done, products, release, retry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import redis

    from ali1688_spider.scheduling.queue import LeaseQueue

    MakeQueue = Callable[..., LeaseQueue]

A_SECOND = 1.0
JUST_STARTED = 0.0
DIGEST = "a"


def enqueue_all(queue: LeaseQueue, digest: str, *product_ids: int) -> None:
    assert queue.crawls.enqueue(digest, 0, products(*product_ids)) is not None
    assert queue.crawls.end_source(digest, len(product_ids)) == len(product_ids)


def do_all(queue: LeaseQueue) -> list[int]:
    calls = queue.lease(1000).leases
    queue.settle(done(call) for call in calls)
    return [int(call.message) for call in calls]


def pass_a_moment(client: redis.Redis) -> None:
    """Return when Redis's clock shows another millisecond."""
    start = client.time()
    while client.time()[1] // 1000 == start[1] // 1000:
        pass


def test_workers_that_start_together_share_one_crawl(
    make_queue: MakeQueue, queue: LeaseQueue
) -> None:
    other = make_queue()
    assert queue.crawls.begin("a", A_SECOND) == Crawl("new", 0)
    assert queue.crawls.enqueue("a", 0, products(1, 2)) == (2, 2)
    assert other.crawls.begin("a", A_SECOND) == Crawl("running", 2)
    assert do_all(queue) == [1, 2]

    assert other.crawls.enqueue("a", 0, products(1, 2, 3)) == (3, 1)
    assert queue.crawls.enqueue("a", 2, products(3)) == (3, 0)
    assert queue.crawls.end_source("a", 3) == 3
    assert other.crawls.end_source("a", 3) == 3

    assert do_all(queue) == [3]
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=0)


def test_a_worker_that_comes_when_all_is_done_has_nothing_to_do(queue: LeaseQueue) -> None:
    queue.crawls.begin("a", A_SECOND)
    enqueue_all(queue, "a", 1)
    assert do_all(queue) == [1]

    assert queue.crawls.begin("a", A_SECOND) == Crawl("finished", 1)


def test_a_later_crawl_makes_the_calls_again(queue: LeaseQueue, client: redis.Redis) -> None:
    queue.crawls.begin("a", A_SECOND)
    enqueue_all(queue, "a", 1)
    assert do_all(queue) == [1]
    pass_a_moment(client)

    assert queue.crawls.begin("a", JUST_STARTED) == Crawl("new", 0)
    enqueue_all(queue, "a", 1)
    assert do_all(queue) == [1]


def test_a_restarted_worker_goes_on(make_queue: MakeQueue, queue: LeaseQueue, clock: Any) -> None:
    queue.crawls.begin("a", A_SECOND)
    queue.crawls.enqueue("a", 0, products(1, 2, 3))
    queue.settle([done(queue.lease(2).leases[0])])
    clock.leases_run_out()

    restarted = make_queue()
    assert restarted.crawls.begin("a", JUST_STARTED) == Crawl("running", 3)
    assert restarted.crawls.enqueue("a", 3, products(4)) == (4, 1)
    assert restarted.crawls.end_source("a", 4) == 4
    assert restarted.crawls.progress("a") == CrawlProgress(complete=True, pending=3)
    assert do_all(restarted) == [2, 3, 4]
    assert restarted.crawls.progress("a") == CrawlProgress(complete=True, pending=0)


def test_different_crawls_are_counted_apart(queue: LeaseQueue) -> None:
    for digest, product_id in (("a", 1), ("b", 2)):
        queue.crawls.begin(digest, A_SECOND)
        enqueue_all(queue, digest, product_id)
    queue.push(products(3))

    queue.settle([done(queue.lease(1).leases[0])])

    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=0)
    assert queue.crawls.progress("b") == CrawlProgress(complete=True, pending=1)


def test_a_crawl_waits_for_children_and_retries(queue: LeaseQueue, clock: Any) -> None:
    queue.crawls.begin("a", A_SECOND)
    enqueue_all(queue, "a", 1, 2, 3)
    first, second, third = queue.lease(3).leases
    queue.settle([done(first, products(4, 5)), retry(second, 60), release(third)])
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=4)

    clock.delays_end()
    queue.settle([again(queue.lease(1).leases[0], 60)])
    assert do_all(queue) == [3, 4, 5]
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=1)
    clock.delays_end()
    assert do_all(queue) == [2]
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=0)


@pytest.mark.parametrize("state", ["ready", "delayed", "leased"])
def test_a_call_belongs_to_the_crawl_that_asked_last(queue: LeaseQueue, state: str) -> None:
    queue.push(products(1))
    for digest in ("a", "b"):
        queue.crawls.begin(digest, A_SECOND)
    (leased,) = queue.lease(1).leases
    queue.settle([retry(leased, 60) if state == "delayed" else release(leased)])
    if state == "leased":
        (leased,) = queue.lease(1).leases

    enqueue_all(queue, "a", 1)
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=1)
    enqueue_all(queue, "b", 1)
    queue.push(products(1))
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=0)
    assert queue.crawls.progress("b") == CrawlProgress(complete=True, pending=1)
    assert queue.counts().calls == 1
    if state == "leased":
        queue.settle([done(leased)])
        assert queue.crawls.progress("b") == CrawlProgress(complete=True, pending=0)


def test_calls_may_be_pushed_for_a_crawl(queue: LeaseQueue) -> None:
    queue.crawls.begin("a", A_SECOND)
    queue.push(products(1), crawl="a")
    queue.push(products(2), crawl="unknown")

    assert queue.crawls.end_source("a", 0) == 0
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=1)
    assert do_all(queue) == [1, 2]
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=0)


def test_a_long_source_is_queued_in_parts(queue: LeaseQueue) -> None:
    queue.crawls.begin("a", A_SECOND)
    queue.crawls.enqueue("a", 0, products(*range(1, 1501)))

    assert queue.crawls.enqueue("a", 0, products(*range(1, 2502))) == (2501, 1001)
    assert queue.counts().ready == 2501


def test_an_empty_source_is_queued(queue: LeaseQueue) -> None:
    queue.crawls.begin("a", A_SECOND)

    assert queue.crawls.enqueue("a", 0, []) == (0, 0)
    assert queue.crawls.end_source("a", 0) == 0
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=0)


def test_an_unfinished_source_is_not_ended(queue: LeaseQueue) -> None:
    queue.crawls.begin("a", A_SECOND)
    queue.crawls.enqueue("a", 0, products(1))

    assert queue.crawls.enqueue("a", 5, products(6)) == (1, 0)
    assert queue.crawls.end_source("a", 6) == 1
    assert do_all(queue) == [1]
    assert queue.crawls.progress("a") == CrawlProgress(complete=False, pending=0)


def test_an_unknown_crawl_is_said_to_be_unknown(queue: LeaseQueue) -> None:
    assert queue.crawls.enqueue("a", 0, products(1)) is None
    assert queue.crawls.end_source("a", 0) is None
    assert queue.crawls.progress("a") is None
    assert queue.counts().calls == 0


def test_crawls_that_nobody_touches_are_forgotten(
    queue: LeaseQueue, clock: Any, client: redis.Redis
) -> None:
    for digest in ("finished", "abandoned", "queued"):
        queue.crawls.begin(digest, A_SECOND)
    queue.crawls.end_source("finished", 0)
    queue.crawls.enqueue("queued", 0, products(1))
    clock.crawls_grow_old()

    assert queue.crawls.begin("new", A_SECOND) == Crawl("new", 0)

    assert queue.crawls.progress("finished") is None
    assert queue.crawls.progress("abandoned") is None
    assert queue.crawls.progress("queued") == CrawlProgress(complete=False, pending=1)
    assert client.hlen(queue.keys.slots) == 2


def test_a_crawl_is_remembered_for_a_week(queue: LeaseQueue, client: redis.Redis) -> None:
    queue.crawls.begin("a", A_SECOND)

    expiry = client.zscore(queue.keys.crawl_expiry, "a")
    assert isinstance(expiry, float)
    assert expiry / 1000 - client.time()[0] == pytest.approx(7 * 86400, abs=5)


def test_a_finished_crawl_frees_its_slot(queue: LeaseQueue, client: redis.Redis) -> None:
    for number in range(300):
        queue.crawls.begin(f"crawl {number}", A_SECOND)
        queue.crawls.end_source(f"crawl {number}", 0)

    assert client.hlen(queue.keys.slots) == 0


def test_a_crawl_beyond_the_slots_waits_for_the_whole_queue(
    queue: LeaseQueue, client: redis.Redis
) -> None:
    for number in range(255):
        queue.crawls.begin(f"crawl {number}", A_SECOND)
    assert queue.crawls.begin("one more", A_SECOND) == Crawl("new", 0)
    queue.push(products(1))
    enqueue_all(queue, "one more", 2)

    assert queue.crawls.progress("one more") == CrawlProgress(complete=True, pending=2)
    assert do_all(queue) == [1, 2]
    assert queue.crawls.progress("one more") == CrawlProgress(complete=True, pending=0)
    assert queue.crawls.begin("one more", A_SECOND) == Crawl("finished", 1)
    pass_a_moment(client)
    assert queue.crawls.begin("one more", JUST_STARTED) == Crawl("new", 0)


def test_a_crawl_whose_calls_were_deleted_has_to_be_begun_again(
    queue: LeaseQueue, client: redis.Redis
) -> None:
    queue.crawls.begin("a", A_SECOND)
    enqueue_all(queue, "a", 1, 2)
    client.delete(queue.keys.ready)

    assert queue.crawls.progress("a") is None
    assert queue.crawls.begin("a", A_SECOND) == Crawl("new", 0)
    enqueue_all(queue, "a", 1, 2)
    assert do_all(queue) == [1, 2]
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=0)


def test_an_earlier_crawl_of_the_same_source_is_another(
    queue: LeaseQueue, client: redis.Redis
) -> None:
    """Redis may come back with what it held before the present crawl began."""
    queue.crawls.begin("a", A_SECOND)
    enqueue_all(queue, "a", 1)
    assert do_all(queue) == [1]
    pass_a_moment(client)

    assert queue.crawls.progress("a", A_SECOND) == CrawlProgress(complete=True, pending=0)
    assert queue.crawls.progress("a", JUST_STARTED) is None


def test_a_crawl_whose_slot_was_deleted_is_still_counted(
    queue: LeaseQueue, client: redis.Redis
) -> None:
    queue.crawls.begin("a", A_SECOND)
    enqueue_all(queue, "a", 1, 2)
    client.delete(queue.keys.slots)
    queue.settle([done(queue.lease(1).leases[0])])

    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=1)
    assert client.hlen(queue.keys.slots) == 1


def test_slots_that_name_no_crawl_are_free_once_nothing_is_queued(
    queue: LeaseQueue, client: redis.Redis
) -> None:
    client.hset(queue.keys.slots, mapping={str(slot): "nobody" for slot in range(1, 256)})
    queue.push(products(1))
    assert queue.crawls.begin("a", A_SECOND) == Crawl("new", 0)
    assert client.hlen(queue.keys.slots) == 255
    assert do_all(queue) == [1]
    assert queue.crawls.begin("b", A_SECOND) == Crawl("new", 0)
    assert client.hvals(queue.keys.slots) in (["b"], [b"b"])


def test_the_record_of_a_crawl_is_small(queue: LeaseQueue, client: redis.Redis) -> None:
    queue.crawls.begin("a", A_SECOND)
    queue.crawls.enqueue("a", 0, products(*range(1, 1001)))

    record = client.hget(queue.keys.crawls, "a")
    assert isinstance(record, bytes | str)
    assert json.loads(record) == {
        "slot": 1,
        "cursor": 1000,
        "complete": False,
        "pending": 1000,
        "remember": 7 * 86400 * 1000,
    }


@pytest.fixture
def source(queue: LeaseQueue) -> CrawlSource:
    return CrawlSource(queue, DIGEST)


def add(source: CrawlSource, first: int, last: int) -> None:
    for entry in products(*range(first, last + 1)):
        source.add(entry)


def queued(queue: LeaseQueue) -> list[int]:
    members = queue.server.zrange(queue.keys.ready, 0, -1)
    return [int(member) for member in members]


def test_the_source_is_queued_in_order_and_ends(source: CrawlSource, queue: LeaseQueue) -> None:
    assert source.begin() == Crawl("new", 0)
    assert not source.has_work
    add(source, 1, 3)
    assert source.has_work
    source.flush()
    assert queued(queue) == [1, 2, 3]
    assert not source.has_work
    assert not source.check_finished()
    add(source, 4, 4)
    source.end()
    assert source.has_work
    source.flush()
    assert queued(queue) == [1, 2, 3, 4]
    assert not source.has_work
    assert not source.check_finished()
    queue.settle(map(done, queue.lease(9).leases))
    assert source.check_finished()


def test_a_source_without_entries_is_done(source: CrawlSource) -> None:
    source.begin()
    source.end()
    source.flush()
    assert source.check_finished()


async def test_reading_pauses_while_many_entries_wait(
    source: CrawlSource, queue: LeaseQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def all_calls() -> AsyncGenerator[tuple[ApiCall, int]]:
        for number in range(1, 8):
            yield ApiCall.product(number), 0

    spider: Any = SimpleNamespace(all_calls=all_calls)
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    source.begin()
    flush_soon = asyncio.Event()
    source.start_reading(spider, flush_soon)
    for expected in ([1, 2, 3], [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7]):
        await flush_soon.wait()
        flush_soon.clear()
        source.flush()
        assert queued(queue) == expected
        source.flushed.set()
    await source.stop_reading()


def test_workers_with_the_same_source_share_it(source: CrawlSource, queue: LeaseQueue) -> None:
    other = CrawlSource(queue, DIGEST)
    source.begin()
    other.begin()
    add(source, 1, 4)
    add(other, 1, 2)
    source.flush()
    other.flush()
    assert queued(queue) == [1, 2, 3, 4]
    add(other, 3, 6)
    other.end()
    other.flush()
    add(source, 5, 6)
    source.end()
    source.flush()
    assert queued(queue) == [1, 2, 3, 4, 5, 6]
    queue.settle(map(done, queue.lease(9).leases))
    assert source.check_finished()
    assert other.check_finished()


def test_a_worker_that_comes_later_reads_over_what_is_queued(
    source: CrawlSource, queue: LeaseQueue
) -> None:
    source.begin()
    add(source, 1, 3)
    source.flush()
    queue.settle(map(done, queue.lease(9).leases))

    resumed = CrawlSource(queue, DIGEST)
    assert resumed.begin() == Crawl("running", 3)
    add(resumed, 1, 4)
    resumed.flush()
    assert queued(queue) == [4]


def test_a_crawl_that_others_finished_meanwhile_is_finished(
    source: CrawlSource, queue: LeaseQueue
) -> None:
    source.begin()
    source.end()
    source.flush()
    late = CrawlSource(queue, DIGEST, process_age=3600.0)
    assert late.begin() == Crawl("finished", 0)
    assert late.check_finished()


def test_what_redis_lost_is_queued_again(
    source: CrawlSource, queue: LeaseQueue, caplog: pytest.LogCaptureFixture
) -> None:
    source.begin()
    add(source, 1, 2)
    source.flush()
    before = {key: queue.server.dump(key) for key in queue.keys if queue.server.exists(key)}
    add(source, 3, 5)
    source.flush()
    queue.server.flushall()
    for key, value in before.items():
        queue.server.restore(key, 0, value)
    assert queued(queue) == [1, 2]

    add(source, 6, 6)
    source.end()
    source.flush()

    assert queued(queue) == [1, 2, 3, 4, 5, 6]
    assert "Redis lost the last 3 entries of the crawl" in caplog.text


@pytest.mark.parametrize("ended", [False, True])
def test_a_crawl_that_redis_forgot_is_begun_again(
    source: CrawlSource, queue: LeaseQueue, *, ended: bool
) -> None:
    source.begin()
    add(source, 1, 2)
    source.flush()
    queue.server.flushall()
    if not ended:
        add(source, 3, 3)
    source.end()
    source.flush()
    source.flush()
    assert queued(queue) == ([1, 2] if ended else [1, 2, 3])


def test_a_crawl_that_redis_forgot_before_anything_was_queued_is_begun_again(
    source: CrawlSource, queue: LeaseQueue
) -> None:
    source.begin()
    queue.server.flushall()
    add(source, 1, 2)
    source.end()
    source.flush()
    source.flush()
    assert queued(queue) == [1, 2]
    assert not source.check_finished()


def finish(source: CrawlSource, queue: LeaseQueue) -> list[int]:
    """Do what is queued until the crawl is finished; return the calls that were made."""
    made: list[int] = []
    for _ in range(10):
        source.flush()
        calls = queue.lease(100).leases
        queue.settle(map(done, calls))
        made += [int(call.message) for call in calls]
        if source.check_finished():
            return made
    raise AssertionError("it does not finish")


@pytest.mark.parametrize("ended", [False, True])
def test_more_than_is_remembered_has_to_be_read_again(
    queue: LeaseQueue, monkeypatch: pytest.MonkeyPatch, *, ended: bool
) -> None:
    monkeypatch.setattr(module, "REMEMBERED_ENTRIES", 2)
    source = CrawlSource(queue, DIGEST)
    source.begin()
    add(source, 1, 3)
    source.flush()
    queue.server.flushall()
    add(source, 4, 4)
    if ended:
        source.end()
    source.flush()
    assert source.forgotten_from == 0
    assert not source.check_finished()

    source.rewind()
    assert source.forgotten_from is None
    add(source, 1, 4)
    source.end()
    assert finish(source, queue) == [1, 2, 3, 4]


@pytest.mark.parametrize("keys", ["all", "crawls", "ready"])
def test_what_redis_forgets_after_the_source_was_complete_is_queued_again(
    source: CrawlSource, queue: LeaseQueue, keys: str
) -> None:
    source.begin()
    add(source, 1, 4)
    source.end()
    source.flush()
    queue.settle([done(queue.lease(1).leases[0])])
    if keys == "all":
        queue.server.flushall()
    else:
        queue.server.delete(getattr(queue.keys, keys))

    queue.settle(map(done, queue.lease(100).leases))
    assert not source.check_finished()
    assert finish(source, queue) == [1, 2, 3, 4]


def test_a_worker_that_joined_has_the_source_read_again(
    source: CrawlSource, queue: LeaseQueue
) -> None:
    source.begin()
    add(source, 1, 3)
    source.flush()
    joined = CrawlSource(queue, DIGEST)
    joined.begin()
    add(joined, 1, 3)
    joined.end()
    joined.flush()
    queue.server.flushall()

    assert not joined.check_finished()
    assert joined.forgotten_from == 0
    joined.rewind()
    add(joined, 1, 3)
    joined.end()
    assert finish(joined, queue) == [1, 2, 3]


def test_a_worker_goes_on_where_another_that_began_again_has_died(
    source: CrawlSource, queue: LeaseQueue
) -> None:
    source.begin()
    add(source, 1, 4)
    source.end()
    source.flush()
    queue.server.flushall()
    other = CrawlSource(queue, DIGEST)
    other.begin()
    add(other, 1, 2)
    other.flush()

    assert not source.check_finished()
    assert finish(source, queue) == [1, 2, 3, 4]


def test_a_crawl_that_another_worker_has_begun_again_and_done_is_finished(
    source: CrawlSource, queue: LeaseQueue
) -> None:
    source.begin()
    add(source, 1, 2)
    source.end()
    source.flush()
    queue.server.flushall()
    other = CrawlSource(queue, DIGEST)
    other.begin()
    add(other, 1, 2)
    other.end()
    assert finish(other, queue) == [1, 2]

    assert source.check_finished()


def test_calls_that_belong_to_no_crawl_are_queued_as_they_are(queue: LeaseQueue) -> None:
    source = CrawlSource(queue, "")
    assert source.begin() == Crawl("new", 0)
    add(source, 1, 3)
    source.end()
    source.flush()
    assert queued(queue) == [1, 2, 3]
    assert not source.has_work
    assert not source.check_finished()
