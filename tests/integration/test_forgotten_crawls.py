"""A crawl that Redis forgot is made whole again, or says that it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness import Cluster, Process, eventually, products

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IDS = products(1000)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        cluster.gateway.set(latency=40)
        yield cluster


@pytest.fixture
def ids_file(tmp_path: Path) -> str:
    path = tmp_path / "ids.txt"
    path.write_text("".join(f"{product_id}\n" for product_id in IDS))
    return f"ids_file={path}"


def check_all_is_collected(cluster: Cluster, *workers: Process) -> None:
    for worker in workers:
        assert worker.wait() == 0, worker.log[-6000:]
        assert worker.stats["finish_reason"] == "finished"
        assert "Traceback" not in worker.log
    assert set(cluster.gateway.by_product) == set(IDS)
    assert cluster.failed_calls() == []
    assert cluster.done


@pytest.mark.parametrize("idle", [(), ("idle=2",)])
def test_all_is_collected_although_redis_is_emptied(
    cluster: Cluster, ids_file: str, idle: tuple[str, ...]
) -> None:
    worker = cluster.start(ids_file, *idle)
    cluster.gateway.wait_for(300)
    cluster.redis.flushall()
    check_all_is_collected(cluster, worker)
    assert "silent for too long" not in worker.log


@pytest.mark.parametrize("gone", ["ready", "crawls", "leases"])
def test_all_is_collected_although_a_key_of_the_queue_is_deleted(
    cluster: Cluster, ids_file: str, gone: str
) -> None:
    worker = cluster.start(ids_file)
    cluster.gateway.wait_for(300)
    cluster.redis.delete(getattr(cluster.queue.keys, gone))
    check_all_is_collected(cluster, worker)


def test_a_worker_that_joined_reads_the_file_again(cluster: Cluster, ids_file: str) -> None:
    cluster.gateway.set(latency=100)  # so that it is not over before
    first = cluster.start(ids_file)
    cluster.gateway.wait_for(200)
    joined = cluster.start(ids_file)
    eventually(lambda: "Joining a crawl whose first 1000 calls are queued" in joined.log)
    cluster.gateway.wait_for(400)
    first.kill()
    cluster.redis.flushall()
    check_all_is_collected(cluster, joined)
    assert joined.stats["ali1688/queue/sources_read_again"] == 1
    assert "from entry number 1 on; it is read and queued again" in joined.log


def test_two_workers_make_it_whole_together(cluster: Cluster, ids_file: str) -> None:
    workers = [cluster.start(ids_file) for _ in range(2)]
    cluster.gateway.wait_for(500)
    cluster.redis.flushall()
    check_all_is_collected(cluster, *workers)


def test_a_pipe_that_cannot_be_read_again_ends_the_crawl_as_incomplete(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Of a pipe, the last 20,000 entries are remembered."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    worker = cluster.start(f"ids_file={pipe}")
    write = "import sys; sys.stdout.writelines(f'{n}\\n' for n in range(1, 25_001))"
    with pipe.open("wb") as end:
        subprocess.run([sys.executable, "-c", write], stdout=end, check=True)
    eventually(lambda: cluster.counts.calls > 20_001)
    cluster.redis.flushall()
    assert worker.wait() == 1
    assert worker.stats["finish_reason"] == "incomplete"
    assert "from entry number 1 on, and it cannot be read a second time" in worker.log
    assert "Traceback" not in worker.log
