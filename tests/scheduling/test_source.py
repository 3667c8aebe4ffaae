from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling import source as module
from ali1688_spider.scheduling.source import Crawl, CrawlSource
from tests.scheduling.leases import done, products

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ali1688_spider.scheduling.queue import LeaseQueue


DIGEST = "a"


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


def begun_again_by_another(queue: LeaseQueue) -> CrawlSource:
    """Return another worker's part in the crawl, which it has begun after Redis forgot all."""
    queue.server.flushall()
    other = CrawlSource(queue, DIGEST)
    other.begin()
    return other


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
    other = begun_again_by_another(queue)
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
    other = begun_again_by_another(queue)
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
