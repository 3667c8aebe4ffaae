from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import redis

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.local_servers import start_redis
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.lease import Heartbeat, Lease, QueueEntry
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.shutdown import CrawlClosingError
from ali1688_spider.storage.database_errors import StoreUnavailableError
from tests.harness import eventually
from tests.ports import free_port
from tests.scheduling.leases import products

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.scheduling.conftest import Clock


@pytest.fixture
def settled() -> list[Lease]:
    return []


@pytest.fixture
def lease(settled: list[Lease]) -> Lease:
    return Lease(b"7", "token", 3, ApiCall.product(7), on_settled=settled.append)


def test_a_call_is_done_when_its_last_item_is(lease: Lease, settled: list[Lease]) -> None:
    lease.begin_item()
    lease.begin_item()
    lease.end_item()
    lease.end_output()
    assert settled == []
    lease.end_item()
    assert settled == [lease]
    assert lease.pack() == ("token", "done", 0, 0, [])


def test_items_may_end_before_the_output(lease: Lease) -> None:
    lease.begin_item()
    lease.end_item()
    assert lease.outcome is None
    lease.end_output()
    assert lease.outcome == "ack"


def test_children_go_with_their_parent_and_with_no_other_try(lease: Lease) -> None:
    lease.children.append(QueueEntry(ApiCall.product(8), 3, 60))
    lease.end_output()
    assert lease.pack() == ("token", "done", 0, 0, [("8", 3, 60_000)])
    again = Lease(b"7", "token", 3, ApiCall.product(7), children=lease.children)
    again.retry(5)
    assert again.pack() == ("token", "back", 5000, 3, [])


def test_a_watched_call_is_queued_as_if_just_pushed(lease: Lease) -> None:
    lease.ack()
    lease.repeat(420)
    assert lease.pack() == ("token", "repeat", 420_000, 0, [])


def test_a_call_is_settled_once(lease: Lease, settled: list[Lease]) -> None:
    lease.begin_item()
    lease.retry(5)
    lease.end_output()
    lease.end_item()
    lease.ack()
    lease.fail(ValueError())
    lease.release()
    assert settled == [lease]
    assert lease.pack() == ("token", "back", 5000, 3, [])


def test_a_try_may_not_count(lease: Lease) -> None:
    lease.retry(5, counted=False)
    assert lease.pack() == ("token", "back", 5000, 2, [])


def test_without_a_delay_it_backs_off(lease: Lease) -> None:
    lease.retry()
    assert 0 <= lease.delay < 4


@pytest.mark.parametrize(
    ("error", "outcome", "attempts"),
    [
        (ValueError(), "retry", 3),
        (None, "retry", 3),
        (StoreUnavailableError("away"), "retry", 2),
        (CrawlClosingError(), "release", 2),
    ],
)
def test_the_error_decides_whether_it_was_a_try(
    lease: Lease, error: Exception | None, outcome: str, attempts: int
) -> None:
    lease.fail(error)
    assert lease.outcome == outcome
    assert lease.pack()[3] == attempts


LEASE_SECONDS = 0.4


@pytest.fixture
def beating(
    make_queue: Callable[..., LeaseQueue],
) -> Iterator[LeaseQueue]:
    """The queue of a worker that says nothing but its heartbeats."""
    queue = make_queue(lease_seconds=LEASE_SECONDS)
    queue.push(products(1))
    queue.lease(1)
    heartbeat = Heartbeat(queue, LEASE_SECONDS)
    heartbeat.start()
    yield queue
    heartbeat.stop()
    heartbeat.join()


def test_a_lease_lives_as_long_as_its_worker(
    beating: LeaseQueue, make_queue: Callable[..., LeaseQueue]
) -> None:
    other = make_queue(lease_seconds=LEASE_SECONDS)
    end = time.monotonic() + 3 * LEASE_SECONDS
    while time.monotonic() < end:
        assert other.lease(1).leases == ()
    assert beating.lease(0).surplus == 1


def test_when_it_stops_the_lease_runs_out(make_queue: Callable[..., LeaseQueue]) -> None:
    queue = make_queue(lease_seconds=0.05)
    queue.push(products(1))
    queue.lease(1)
    heartbeat = Heartbeat(queue, 0.2)
    heartbeat.start()
    heartbeat.stop()
    heartbeat.join()
    other = make_queue()
    (leased,) = eventually(lambda: other.lease(1).leases, 5)
    assert leased.attempt == 2


def test_it_goes_on_when_redis_is_back(tmp_path: Path) -> None:
    port = free_port()
    server = start_redis(tmp_path, port=port)
    client = redis.Redis(port=port)
    queue = LeaseQueue(client, SimpleNamespace(name="product"), QUEUE_KEY, lease_seconds=1)
    queue.heartbeat()
    heartbeat = Heartbeat(queue, 0.2)
    heartbeat.start()
    server.kill()
    server = start_redis(tmp_path, port=port)
    watcher = redis.Redis(port=port)
    before = watcher.zscore(queue.keys.workers, str(queue.worker))
    assert before is not None
    eventually(lambda: watcher.zscore(queue.keys.workers, str(queue.worker)) != before, 5)
    heartbeat.stop()
    heartbeat.join()
    client.close()
    watcher.close()
    server.kill()


def test_leases_are_in_doubt_after_silence_until_redis_has_confirmed_them(
    queue: LeaseQueue,
) -> None:
    heartbeat = Heartbeat(queue, 60)
    heartbeat.beat()
    assert not heartbeat.is_in_doubt
    silent = Heartbeat(queue, 0.01)
    eventually(lambda: silent.is_in_doubt, 5)
    silent.confirm(time.monotonic() + 3600)
    assert not silent.is_in_doubt


def test_a_heartbeat_that_came_too_late_leaves_the_doubt(queue: LeaseQueue, clock: Clock) -> None:
    heartbeat = Heartbeat(queue, 0.01)
    heartbeat.beat()
    eventually(lambda: heartbeat.is_in_doubt, 5)
    clock.leases_run_out()
    for _ in range(2):
        heartbeat.beat()
        assert heartbeat.is_in_doubt
