"""All workers together keep to the app's rate and to its calls of a day, and use them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.lease import QueueEntry
from tests.harness import Cluster, eventually, products

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pytest

QPS = 40
SECONDS = 6.0
LONG_SECONDS = 25.0  # with --chaos-minutes


def queue_products(cluster: Cluster, ids: Iterable[int]) -> None:
    cluster.queue.push(QueueEntry(ApiCall.product(product_id)) for product_id in ids)


def watch(cluster: Cluster, seconds: float) -> tuple[float, dict[str, Any]]:
    """Return how many calls a second the gateway sees in the next *seconds*, and what it saw."""
    before = cluster.gateway.status(products=False)
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began >= seconds, 2 * seconds)
    after = cluster.gateway.status(products=False)
    return (after["calls"] - before["calls"]) / (time.monotonic() - began), after


def test_four_workers_use_the_rate_and_hardly_exceed_it(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seconds = LONG_SECONDS if request.config.getoption("--chaos-minutes") else SECONDS
    with Cluster(tmp_path, {"ALI1688_QPS": str(QPS)}, sandbox=["--qps", str(QPS)]) as cluster:
        queue_products(cluster, products(int(QPS * (seconds + 20))))
        workers = [cluster.start() for _ in range(4)]
        eventually(lambda: all(worker.has_opened for worker in workers))
        cluster.gateway.wait_for(QPS)
        rate, seen = watch(cluster, seconds)
        # An idle machine uses 97 % (the benchmarks measure it), and nothing is refused. A busy one
        # delays calls. Workers that did not share would have three of four refused.
        assert rate >= 0.8 * QPS
        assert seen["refused_rate"] <= 0.05 * seen["calls"]


def test_a_flow_control_answer_slows_all_workers_down(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"ALI1688_QPS": "100"}) as cluster:
        queue_products(cluster, products(2000))
        workers = [cluster.start(), cluster.start()]
        eventually(lambda: all(worker.has_opened for worker in workers))
        cluster.gateway.wait_for(50)
        cluster.gateway.fail(api="alibaba.product.get", faults=["ban:2"])
        eventually(lambda: cluster.gateway.status(products=False)["faults"])
        cluster.gateway.wait_until_quiet(1.0)
        quiet = cluster.gateway.calls
        cluster.gateway.wait_for(quiet + 50)
        assert [worker.stop() for worker in workers] == [0, 0]
        waited = [worker for worker in workers if "ban will last" in worker.log]
        assert len(waited) == 1


def test_the_calls_of_a_day_are_shared_and_nothing_is_lost_when_they_end(tmp_path: Path) -> None:
    settings = {"ALI1688_DAILY_QUOTA": "50", "ALI1688_QPS": "40", "ALI1688_CACHE_TTL": "0"}
    with Cluster(tmp_path, settings) as cluster:
        ids = products(120)
        queue_products(cluster, ids)
        workers = [cluster.start(), cluster.start()]
        assert [worker.wait() for worker in workers] == [1, 1]
        reasons = {worker.stats["finish_reason"] for worker in workers}
        assert reasons == {"quota_exhausted"}
        assert "raise the setting to what the platform grants your app" in workers[0].log
        assert cluster.gateway.calls == 50
        assert cluster.counts.calls == cluster.counts.ready == 70
        # Whoever is started on the same day stops at once.
        late = cluster.start()
        assert late.wait() == 1
        assert cluster.gateway.calls == 50

        raised = cluster.start("idle=0.5", ALI1688_DAILY_QUOTA="1000")
        assert raised.wait() == 0
        assert cluster.gateway.by_product == dict.fromkeys(ids, 1)
        assert cluster.done
