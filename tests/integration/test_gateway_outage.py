"""A gateway that is away is waited for: it drains no queue, and costs neither tries nor calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import Cluster, eventually, products

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKERS = 3
ONE_TRY = {"ALI1688_CACHE_TTL": "0", "ALI1688_MAX_ATTEMPTS": "2"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, ONE_TRY) as cluster:
        yield cluster


def outage(cluster: Cluster) -> dict[bytes, bytes]:
    """Return what the workers know of the outage."""
    known: Any = cluster.redis.hgetall("{ali1688:quota:1000000}:outage")
    return dict(known)


def probes(cluster: Cluster) -> int:
    """Return how many probes have failed."""
    return int(outage(cluster).get(b"probes", 0))


def quota_used(cluster: Cluster) -> int:
    used: Any = cluster.redis.hget("{ali1688:quota:1000000}:schedule", "used")
    return int(used or 0)


def test_a_gateway_that_refuses_connections(cluster: Cluster) -> None:
    ids = products(400)
    cluster.gateway.set(latency=50)
    cluster.produce(ids)
    workers = [cluster.start("idle=1") for _ in range(WORKERS)]
    cluster.gateway.wait_for(100)
    cluster.kill_gateway()
    eventually(lambda: probes(cluster) >= 3)
    assert cluster.counts.calls > 0
    cluster.restart_gateway()
    assert [worker.wait() for worker in workers] == [0] * WORKERS

    assert cluster.done
    assert cluster.failed_calls() == []
    assert sum(worker.stats.get("item_scraped_count", 0) for worker in workers) >= len(ids)
    assert outage(cluster) == {}
    for worker in workers:
        assert worker.log.count("The gateway takes no calls") == 1, worker.log
        assert worker.log.count("The gateway is back after") == 1
    # A call that never reached the gateway is not counted.
    tries = sum(worker.stats["ali1688/calls"] for worker in workers)
    unreached = sum(worker.stats.get("ali1688/errors/connection_refused", 0) for worker in workers)
    assert unreached > 0
    assert quota_used(cluster) == tries - unreached


def test_a_gateway_that_is_away_from_the_start(cluster: Cluster) -> None:
    ids = products(40)
    cluster.kill_gateway()
    worker = cluster.start(f"ids={','.join(map(str, ids))}")
    eventually(lambda: probes(cluster) >= 2)
    cluster.restart_gateway()
    assert worker.wait() == 0
    assert cluster.gateway.by_product == dict.fromkeys(ids, 1)
    assert cluster.failed_calls() == []


def test_a_gateway_that_answers_500_to_all(cluster: Cluster) -> None:
    ids = products(400)
    cluster.gateway.set(latency=20)
    cluster.produce(ids)
    workers = [cluster.start("idle=1") for _ in range(WORKERS)]
    cluster.gateway.wait_for(100)
    cluster.gateway.fail(faults=["500"], rate=1, times=0)
    eventually(lambda: probes(cluster) >= 4)
    during = cluster.gateway.status(products=False)["faults"]["500"]
    assert during < 200
    cluster.gateway.fail(faults=[])
    assert [worker.wait() for worker in workers] == [0] * WORKERS
    assert cluster.done
    assert set(cluster.gateway.by_product) == set(ids)
    assert cluster.failed_calls() == []


def test_a_crawl_without_redis_waits_too(cluster: Cluster) -> None:
    ids = products(40)
    cluster.kill_gateway()
    worker = cluster.start(f"ids={','.join(map(str, ids))}", REDIS_URL="")
    eventually(lambda: "The gateway takes no calls" in worker.log)
    cluster.restart_gateway()
    assert worker.wait() == 0
    assert worker.stats["item_scraped_count"] == len(ids)
    assert worker.stats["finish_reason"] == "finished"


def test_one_answer_does_not_silence_the_cluster(cluster: Cluster) -> None:
    """Nor does it silence it in silence: a warning says how long, why and what to do."""
    cluster.settings = ONE_TRY | {"ALI1688_QPS": "50"}
    cluster.produce(products(100))
    workers = [cluster.start() for _ in range(2)]
    cluster.gateway.wait_for(20)
    cluster.gateway.fail(api="alibaba.product.get", faults=["429:1000000000"])
    eventually(lambda: any("No call is made for 60 s" in worker.log for worker in workers))
    logs = "".join(worker.log for worker in workers)
    assert "scrapy doctor --end-pause" in logs

    looked = cluster.run("doctor")
    looked.wait()
    assert "WARN  Pause: no call is made for another" in looked.stdout
    ended = cluster.run("doctor", "--end-pause")
    ended.wait()
    assert "ok    Pause: is over" in ended.stdout
    eventually(lambda: cluster.done, 60)
    assert cluster.failed_calls() == []
