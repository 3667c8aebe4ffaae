from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import redis

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.local_servers import free_port, start_redis
from ali1688_spider.scheduling.entries import QueueEntry
from ali1688_spider.scheduling.heartbeat import Heartbeat
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.producers import QueueName
from ali1688_spider.scheduling.queue import LeaseQueue
from tests.harness import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LEASE_SECONDS = 0.4


@pytest.fixture
def beating(
    make_queue: Callable[..., LeaseQueue],
) -> Iterator[LeaseQueue]:
    """The queue of a worker that says nothing but its heartbeats."""
    queue = make_queue(lease_seconds=LEASE_SECONDS)
    queue.push([QueueEntry(ApiCall.product(1))])
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
        assert other.lease(1).calls == ()
    assert beating.lease(0).lost == frozenset()


def test_when_it_stops_the_lease_runs_out(queue: LeaseQueue) -> None:
    queue._lease_ms = 50
    queue.push([QueueEntry(ApiCall.product(1))])
    queue.lease(1)
    heartbeat = Heartbeat(queue, 0.2)
    heartbeat.start()
    heartbeat.stop()
    heartbeat.join()
    other = LeaseQueue(queue.server, QueueName("product"), QUEUE_KEY)
    (leased,) = eventually(lambda: other.lease(1).calls, 5)
    assert leased.attempt == 2


def test_it_goes_on_when_redis_is_back(tmp_path: Path) -> None:
    port = free_port()
    server = start_redis(tmp_path, port=port)
    client = redis.Redis(port=port)
    queue = LeaseQueue(client, QueueName("product"), QUEUE_KEY, lease_seconds=1)
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
