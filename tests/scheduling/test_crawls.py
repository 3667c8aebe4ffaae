from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.scheduling.source import Crawl, CrawlProgress
from tests.scheduling.leases import again, done, products, release, retry

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from ali1688_spider.scheduling.queue import LeaseQueue

    MakeQueue = Callable[..., LeaseQueue]

A_SECOND = 1.0
JUST_STARTED = 0.0


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
