"""Workers that are killed, frozen and stopped lose nothing, and make hardly a call twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from ali1688_spider.scheduling.worker import SETTLED_AT_ONCE
from tests.harness import Cluster, eventually, products

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness import Process

ON_THE_WIRE = 32  # CONCURRENT_REQUESTS
AT_ONCE = ON_THE_WIRE + SETTLED_AT_ONCE  # and what Redis does not know yet to be done


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, {"ALI1688_LEASE_SECONDS": "2"}) as cluster:
        yield cluster


def start_workers(cluster: Cluster, count: int, *arguments: str, **settings: str) -> list[Process]:
    workers = [cluster.start(*arguments, **settings) for _ in range(count)]
    eventually(lambda: all(worker.has_opened for worker in workers))
    return workers


@pytest.mark.chaotic
def test_eight_kills_lose_nothing_and_repeat_little(
    cluster: Cluster, mongo_uri: str, mongo_database: str
) -> None:
    cluster.settings |= {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    cluster.gateway.set(latency=200)
    dice = random.Random(1688)
    ids = products(1200)
    workers = start_workers(cluster, 3)
    cluster.produce(ids)
    for number in range(8):
        cluster.gateway.wait_for((number + 1) * 120)
        place = dice.randrange(3)
        workers[place].kill()
        workers[place] = cluster.start()
    # What fell silent twice is called one at a time by each worker: not slowly as well.
    cluster.gateway.set(latency=0)
    eventually(lambda: cluster.done)

    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongo_uri)
    stored = {document["_id"] for document in client[mongo_database]["products"].find({}, {})}
    given_up = client[mongo_database]["failed_calls"].count_documents({})
    client.close()
    assert stored == set(ids)
    assert given_up == 0
    one_batch = ON_THE_WIRE  # what arrives while a batch is written: less than a call's 200 ms
    assert cluster.gateway.calls <= len(ids) + 8 * (ON_THE_WIRE + one_batch)
    assert [worker.stop() for worker in workers] == [0, 0, 0]


@pytest.mark.chaotic
def test_a_worker_that_is_frozen_beyond_its_lease_harms_nothing(cluster: Cluster) -> None:
    cluster.gateway.set(latency=200)
    frozen, other = start_workers(cluster, 2)
    ids = products(400)
    cluster.produce(ids)
    cluster.gateway.wait_for(100)
    frozen.freeze()
    eventually(lambda: cluster.done)
    assert set(cluster.gateway.by_product) == set(ids)
    frozen.thaw()
    eventually(lambda: "silent for too long" in frozen.log)
    assert set(cluster.gateway.by_product) == set(ids)

    later = products(100, first=ids[-1] + 1)
    cluster.produce(later)
    eventually(lambda: cluster.done)

    assert set(cluster.gateway.by_product) == {*ids, *later}
    assert cluster.gateway.calls <= len(ids) + len(later) + AT_ONCE
    assert [frozen.stop(), other.stop()] == [0, 0]
    assert frozen.stats["ali1688/leases/lost"] > 0
    assert other.stats["ali1688/leases/expired"] > 0


def test_a_worker_that_is_asked_to_stop_gives_back_its_leases(cluster: Cluster) -> None:
    cluster.gateway.set(latency=200)
    (stopped,) = start_workers(cluster, 1)
    ids = products(400)
    cluster.produce(ids)
    cluster.gateway.wait_for(100)
    assert stopped.stop(seconds=10) == 0

    counts = cluster.counts
    assert counts.leased == 0
    assert counts.ready == len(ids) - stopped.stats["ali1688/leases/acked"]
    assert stopped.stats["finish_reason"] == "shutdown"
    start_workers(cluster, 1)
    eventually(lambda: cluster.done)
    assert set(cluster.gateway.by_product) == set(ids)
    assert cluster.gateway.calls == len(ids)


def test_a_stop_does_not_wait_for_slow_answers(cluster: Cluster) -> None:
    slow = products(3)
    for product_id in slow:
        cluster.gateway.fail(product_id=product_id, faults=["slow:30"])
    stopped, other = start_workers(cluster, 2)
    cluster.produce(slow)
    cluster.gateway.wait_for(3)
    stopped.terminate()
    other.terminate()
    eventually(lambda: cluster.counts.leased == 0, 10)
    assert cluster.counts.ready == 3


def test_a_call_that_kills_its_workers_is_given_up_and_takes_no_other_with_it(
    cluster: Cluster,
) -> None:
    ids = products(300)
    deadly = ids[20]
    cluster.settings = {"ALI1688_LEASE_SECONDS": "1", "ALI1688_MAX_ATTEMPTS": "3"}
    cluster.produce(ids)
    deaths = 0
    options = ["-s", 'SPIDER_MIDDLEWARES={"poison.Poison": 5}', "-s", f"POISON={deadly}"]

    def run() -> Process:
        return cluster.run("crawl", "product", "-a", "idle=1", *options)

    worker = run()
    while worker.wait() == 9:
        deaths += 1
        worker = run()

    assert worker.exit_code == 1
    assert worker.stats["finish_reason"] == "incomplete"
    assert deaths == 3
    assert cluster.done
    assert set(cluster.gateway.by_product) == set(ids)
    (failed,) = cluster.failed_calls()
    assert failed["call"] == str(deadly)
    assert failed["params"] == {"product_id": deadly}
    assert failed["attempts"] == 3
    assert failed["error"] == (
        "tried 3 times without success; 3 of the workers that tried fell silent"
    )
    assert cluster.redis.exists(cluster.queue.keys.losses) == 0
