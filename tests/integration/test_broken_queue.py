"""What somebody wrote into the queue's keys ends no worker, and keeps none from its work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness import Cluster, eventually, products

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IDS = products(400)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        cluster.gateway.set(latency=30)
        yield cluster


def test_odd_members_go_to_the_failed_calls_and_the_rest_goes_on(cluster: Cluster) -> None:
    cluster.produce(IDS)
    workers = [cluster.start("idle=3") for _ in range(2)]
    cluster.gateway.wait_for(50)
    keys = cluster.queue.keys
    cluster.redis.zadd(keys.ready, {"x": 1.5, "first": "-inf", "last": "inf", b"\xff": 1e300})
    cluster.redis.zadd(keys.delayed, {"without score": 0, "never": "inf"})
    cluster.redis.zadd(keys.leased, {"by nobody": 1.5})
    cluster.redis.hset(keys.leases, "leased only", "garbage")
    cluster.redis.zadd(keys.workers, {"no number": 0})
    odd = {"x", "first", "last", "\\xff", "without score", "never", "by nobody", "leased only"}
    eventually(lambda: {failed["call"] for failed in cluster.failed_calls()} == odd)
    assert 1 in [worker.wait() for worker in workers]  # whoever gave one of them up
    assert set(cluster.gateway.by_product) == set(IDS)
    assert not any("Traceback" in worker.log for worker in workers)
    assert all(failed["error"] for failed in cluster.failed_calls())


@pytest.mark.parametrize("field", ["attempts", "losses"])
def test_values_that_are_no_numbers_lose_no_call(cluster: Cluster, field: str) -> None:
    cluster.produce(IDS)
    for product_id in IDS:
        cluster.redis.hset(getattr(cluster.queue.keys, field), str(product_id), "abc")
    worker = cluster.start("idle=1")
    assert worker.wait() == 0
    assert set(cluster.gateway.by_product) == set(IDS)
    assert "Traceback" not in worker.log


@pytest.mark.parametrize("key", ["ready", "leases", "crawls"])
def test_a_key_of_a_wrong_type_is_set_aside(cluster: Cluster, tmp_path: Path, key: str) -> None:
    ids_file = tmp_path / "ids.txt"
    ids_file.write_text("".join(f"{product_id}\n" for product_id in IDS))
    worker = cluster.start(f"ids_file={ids_file}")
    cluster.gateway.wait_for(50)
    name = getattr(cluster.queue.keys, key)
    with cluster.redis.pipeline() as pipeline:
        pipeline.delete(name)
        pipeline.rpush(name, "garbage")
        pipeline.execute()
    assert worker.wait() == 0
    assert set(cluster.gateway.by_product) == set(IDS)
    assert worker.log.count(f"The Redis key {name} was a list") == 1
    assert "Traceback" not in worker.log
    (aside,) = cluster.redis.scan_iter(f"{name}:broken:*")
    assert cluster.redis.lrange(aside, 0, -1) == [b"garbage"]
    assert worker.stats["ali1688/queue/keys_set_aside"] == 1
