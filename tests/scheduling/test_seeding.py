from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling import seeding as module
from ali1688_spider.scheduling.crawls import Crawl
from ali1688_spider.scheduling.entries import QueueEntry
from ali1688_spider.scheduling.leased_calls import done
from ali1688_spider.scheduling.seeding import Seeding

if TYPE_CHECKING:
    from ali1688_spider.scheduling.queue import LeaseQueue

DIGEST = "a"


@pytest.fixture
def seeding(queue: LeaseQueue) -> Seeding:
    return Seeding(queue, DIGEST)


def add(seeding: Seeding, first: int, last: int) -> list[bool]:
    return [seeding.add(QueueEntry(ApiCall.product(n))) for n in range(first, last + 1)]


def queued(queue: LeaseQueue) -> list[int]:
    members = queue.server.zrange(queue.keys.ready, 0, -1)
    return [int(member) for member in members]


def test_the_source_is_queued_in_order_and_ends(seeding: Seeding, queue: LeaseQueue) -> None:
    assert seeding.begin() == Crawl("new", 0)
    assert not seeding.has_work
    assert add(seeding, 1, 3) == [True] * 3
    assert seeding.has_work
    seeding.flush()
    assert queued(queue) == [1, 2, 3]
    assert not seeding.has_work
    assert not seeding.check_finished()
    add(seeding, 4, 4)
    seeding.end()
    assert seeding.has_work
    seeding.flush()
    assert queued(queue) == [1, 2, 3, 4]
    assert not seeding.has_work
    assert not seeding.check_finished()
    queue.settle(map(done, queue.lease(9).calls))
    assert seeding.check_finished()


def test_a_source_without_entries_is_done(seeding: Seeding) -> None:
    seeding.begin()
    seeding.end()
    seeding.flush()
    assert seeding.check_finished()


def test_it_is_full_while_many_wait(seeding: Seeding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    seeding.begin()
    add(seeding, 1, 2)
    assert not seeding.full
    add(seeding, 3, 3)
    assert seeding.full
    seeding.flush()
    assert not seeding.full


def test_workers_with_the_same_source_share_it(seeding: Seeding, queue: LeaseQueue) -> None:
    other = Seeding(queue, DIGEST)
    seeding.begin()
    other.begin()
    add(seeding, 1, 4)
    add(other, 1, 2)
    seeding.flush()
    other.flush()
    assert queued(queue) == [1, 2, 3, 4]
    add(other, 3, 6)
    other.end()
    other.flush()
    add(seeding, 5, 6)
    seeding.end()
    seeding.flush()
    assert queued(queue) == [1, 2, 3, 4, 5, 6]
    queue.settle(map(done, queue.lease(9).calls))
    assert seeding.check_finished()
    assert other.check_finished()


def test_a_worker_that_comes_later_reads_over_what_is_queued(
    seeding: Seeding, queue: LeaseQueue
) -> None:
    seeding.begin()
    add(seeding, 1, 3)
    seeding.flush()
    queue.settle(map(done, queue.lease(9).calls))

    resumed = Seeding(queue, DIGEST)
    assert resumed.begin() == Crawl("running", 3)
    assert add(resumed, 1, 4) == [False, False, False, True]
    resumed.flush()
    assert queued(queue) == [4]


def test_a_crawl_that_others_finished_meanwhile_is_finished(
    seeding: Seeding, queue: LeaseQueue
) -> None:
    seeding.begin()
    seeding.end()
    seeding.flush()
    late = Seeding(queue, DIGEST, process_age=3600.0)
    assert late.begin() == Crawl("finished", 0)
    assert late.check_finished()


def test_what_redis_lost_is_queued_again(
    seeding: Seeding, queue: LeaseQueue, caplog: pytest.LogCaptureFixture
) -> None:
    seeding.begin()
    add(seeding, 1, 2)
    seeding.flush()
    before = {key: queue.server.dump(key) for key in queue.keys if queue.server.exists(key)}
    add(seeding, 3, 5)
    seeding.flush()
    queue.server.flushall()
    for key, value in before.items():
        queue.server.restore(key, 0, value)
    assert queued(queue) == [1, 2]

    add(seeding, 6, 6)
    seeding.end()
    seeding.flush()

    assert queued(queue) == [1, 2, 3, 4, 5, 6]
    assert "Redis lost the last 3 entries of the crawl" in caplog.text


@pytest.mark.parametrize("ended", [False, True])
def test_a_crawl_that_redis_forgot_is_begun_again(
    seeding: Seeding, queue: LeaseQueue, *, ended: bool
) -> None:
    seeding.begin()
    add(seeding, 1, 2)
    seeding.flush()
    queue.server.flushall()
    if not ended:
        add(seeding, 3, 3)
    seeding.end()
    seeding.flush()
    seeding.flush()
    assert queued(queue) == ([1, 2] if ended else [1, 2, 3])


def test_a_crawl_that_redis_forgot_before_anything_was_queued_is_begun_again(
    seeding: Seeding, queue: LeaseQueue
) -> None:
    seeding.begin()
    queue.server.flushall()
    add(seeding, 1, 2)
    seeding.end()
    seeding.flush()
    seeding.flush()
    assert queued(queue) == [1, 2]
    assert not seeding.check_finished()


def finish(seeding: Seeding, queue: LeaseQueue) -> list[int]:
    """Do what is queued until the crawl is finished; return the calls that were made."""
    made: list[int] = []
    for _ in range(10):
        seeding.flush()
        calls = queue.lease(100).calls
        queue.settle(map(done, calls))
        made += [int(call.message) for call in calls]
        if seeding.check_finished():
            return made
    raise AssertionError("it does not finish")


@pytest.mark.parametrize("ended", [False, True])
def test_more_than_is_remembered_has_to_be_read_again(
    queue: LeaseQueue, monkeypatch: pytest.MonkeyPatch, *, ended: bool
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    seeding = Seeding(queue, DIGEST)
    seeding.begin()
    add(seeding, 1, 3)
    seeding.flush()
    queue.server.flushall()
    add(seeding, 4, 4)
    if ended:
        seeding.end()
    seeding.flush()
    assert seeding.forgotten_from == 0
    assert not seeding.check_finished()

    seeding.rewind()
    assert seeding.forgotten_from is None
    assert add(seeding, 1, 4) == [True] * 4
    seeding.end()
    assert finish(seeding, queue) == [1, 2, 3, 4]


@pytest.mark.parametrize("keys", ["all", "crawls", "ready"])
def test_what_redis_forgets_after_the_source_was_complete_is_queued_again(
    seeding: Seeding, queue: LeaseQueue, keys: str
) -> None:
    seeding.begin()
    add(seeding, 1, 4)
    seeding.end()
    seeding.flush()
    queue.settle([done(queue.lease(1).calls[0])])
    if keys == "all":
        queue.server.flushall()
    else:
        queue.server.delete(getattr(queue.keys, keys))

    queue.settle(map(done, queue.lease(100).calls))
    assert not seeding.check_finished()
    assert finish(seeding, queue) == [1, 2, 3, 4]


def test_a_worker_that_joined_has_the_source_read_again(
    seeding: Seeding, queue: LeaseQueue
) -> None:
    seeding.begin()
    add(seeding, 1, 3)
    seeding.flush()
    joined = Seeding(queue, DIGEST)
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
    seeding: Seeding, queue: LeaseQueue
) -> None:
    seeding.begin()
    add(seeding, 1, 4)
    seeding.end()
    seeding.flush()
    queue.server.flushall()
    other = Seeding(queue, DIGEST)
    other.begin()
    add(other, 1, 2)
    other.flush()

    assert not seeding.check_finished()
    assert finish(seeding, queue) == [1, 2, 3, 4]


def test_a_crawl_that_another_worker_has_begun_again_and_done_is_finished(
    seeding: Seeding, queue: LeaseQueue
) -> None:
    seeding.begin()
    add(seeding, 1, 2)
    seeding.end()
    seeding.flush()
    queue.server.flushall()
    other = Seeding(queue, DIGEST)
    other.begin()
    add(other, 1, 2)
    other.end()
    assert finish(other, queue) == [1, 2]

    assert seeding.check_finished()


def test_calls_that_belong_to_no_crawl_are_queued_as_they_are(queue: LeaseQueue) -> None:
    seeding = Seeding(queue, None)
    assert seeding.begin() == Crawl("new", 0)
    add(seeding, 1, 3)
    seeding.end()
    seeding.flush()
    assert queued(queue) == [1, 2, 3]
    assert not seeding.has_work
    assert not seeding.check_finished()
