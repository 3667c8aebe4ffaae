"""Every script on a Redis Cluster, where all keys of a script have to live on one node."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.cluster import RedisCluster
from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.local_servers import HOST, start_redis
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.lease import QueueEntry
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.scheduling.source import Crawl, CrawlProgress
from tests.scheduling.leases import done, retry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def free_pair_of_ports() -> int:
    """Return a port whose pair, 10,000 above it, is free too: the nodes of a cluster talk there.

    Neither is one that connections of the system, or other servers of the tests, may get.
    """
    for port in random.sample(range(7_000, 9_900), 100):
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind((HOST, port))
            other.bind((HOST, port + 10_000))
            return port
    pytest.fail("no pair of ports is free")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    arguments = ("--cluster-enabled", "yes")
    server = start_redis(tmp_path, port=free_pair_of_ports(), arguments=arguments)
    node: Any = redis.Redis.from_url(server.url)
    node.execute_command("CLUSTER", "ADDSLOTS", *range(REDIS_CLUSTER_HASH_SLOTS))
    while b"cluster_state:ok" not in node.execute_command("CLUSTER", "INFO", NEVER_DECODE=True):
        pass
    node.close()
    client: Any = RedisCluster.from_url(server.url)
    yield client
    client.disconnect_connection_pools()  # close() leaves the connections to the nodes open
    client.close()
    server.stop()


def test_every_script_works_on_a_cluster(cluster: Any) -> None:
    spider = type("Spider", (), {"name": "product"})
    queue = LeaseQueue(cluster, spider, QUEUE_KEY)
    cluster.lpush(queue.keys.start, "1", "nonsense")

    batch = queue.start_list.read()
    assert batch is not None
    assert (batch.added, len(batch.malformed)) == (1, 1)
    queue.start_list.remove(batch)
    assert queue.crawls.begin("a", 1.0) == Crawl("new", 0)
    assert queue.crawls.enqueue("a", 0, [QueueEntry(ApiCall.product(2))]) == (1, 1)
    assert queue.crawls.end_source("a", 1) == 1
    assert queue.push([QueueEntry(ApiCall.product(3))]) == 1
    first, second = queue.lease(2).leases
    assert queue.find_lost([first, second]) == []
    assert queue.heartbeat() is True
    assert queue.settle([retry(first, 60), done(second)]) == []
    assert queue.crawls.progress("a") == CrawlProgress(complete=True, pending=0)
    assert [call.message for call in queue.lease(2).leases] == [b"3"]
    assert queue.give_back(leaving=True) == 1
    assert (queue.counts().ready, queue.counts().delayed) == (1, 1)
    queue.clear()
    assert len(queue) == 0
