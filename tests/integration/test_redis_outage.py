"""Redis may be away, crash, ask for a password or speak TLS; workers wait and lose nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.certificates import make_certificate
from tests.harness import Cluster, eventually, products

if TYPE_CHECKING:
    from collections.abc import Iterator

AWAY = "Redis does not answer"
LEASE_SECONDS = 1.0
TLS_PROXY = Path(__file__).with_name("tls_proxy.py")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, {"ALI1688_LEASE_SECONDS": str(LEASE_SECONDS)}) as cluster:
        yield cluster


@pytest.mark.chaotic
def test_redis_is_killed_and_comes_back_after_the_leases_ran_out(cluster: Cluster) -> None:
    cluster.gateway.set(latency=200)
    ids = products(600)
    workers = [cluster.start(), cluster.start()]
    eventually(lambda: all(worker.has_opened for worker in workers))
    cluster.produce(ids)
    cluster.gateway.wait_for(150)
    cluster.kill_redis()
    eventually(lambda: all(AWAY in worker.log for worker in workers))
    cluster.gateway.wait_until_quiet(LEASE_SECONDS + 1)
    assert cluster.gateway.calls < len(ids)
    assert all(worker.is_running for worker in workers)
    cluster.restart_redis()
    eventually(lambda: cluster.done)

    assert set(cluster.gateway.by_product) == set(ids)
    assert cluster.gateway.calls <= 1.02 * len(ids)
    assert [worker.stop() for worker in workers] == [0, 0]
    assert all(worker.log.count(AWAY) == 1 for worker in workers)
    assert all(worker.log.count("The cache does not answer") <= 1 for worker in workers)


def test_workers_wait_for_a_redis_that_is_not_there_yet(cluster: Cluster) -> None:
    cluster.produce(products(20))
    cluster.kill_redis()
    idle, seeding, stopped = cluster.start("idle=1"), cluster.start("ids=1,2"), cluster.start()
    eventually(lambda: all(AWAY in worker.log for worker in cluster.workers))
    assert stopped.stop(seconds=5) == 0
    assert idle.is_running
    assert seeding.is_running
    assert cluster.gateway.calls == 0
    cluster.restart_redis()

    assert [idle.wait(), seeding.wait()] == [0, 0]
    assert cluster.done
    assert cluster.gateway.calls == 22


@pytest.mark.chaotic
def test_a_worker_ends_while_redis_is_away_and_its_calls_go_to_others(cluster: Cluster) -> None:
    cluster.gateway.set(latency=200)
    ids = products(200)
    cluster.produce(ids)
    worker = cluster.start()
    cluster.gateway.wait_for(40)
    cluster.kill_redis()
    eventually(lambda: AWAY in worker.log)
    assert worker.stop(seconds=10) == 0
    cluster.restart_redis()
    assert cluster.start("idle=1").wait() == 0
    assert cluster.done
    assert set(cluster.gateway.by_product) == set(ids)


@pytest.mark.chaotic
def test_a_call_that_fails_while_redis_is_away_is_kept_when_it_is_back(cluster: Cluster) -> None:
    (product_id,) = products(1)
    cluster.gateway.set(latency=3000)
    cluster.gateway.fail(product_id=product_id, faults=["invalid-parameter"] * 9)
    cluster.produce([product_id])
    worker = cluster.start(ALI1688_CACHE_TTL="0")
    cluster.gateway.wait_for(1)
    cluster.kill_redis()
    eventually(lambda: "could not be kept among the failed calls" in worker.log)
    cluster.restart_redis()
    eventually(lambda: cluster.done)

    (failed,) = cluster.failed_calls()
    assert failed["params"] == {"product_id": product_id}
    assert failed["attempts"] == 1
    assert worker.stop() == 0


def test_a_worker_says_how_redis_may_lose_calls(tmp_path: Path) -> None:
    arguments = ["--appendonly", "no", "--maxmemory-policy", "allkeys-lru"]
    with Cluster(tmp_path, redis_arguments=arguments) as cluster:
        worker = cluster.start("ids=610000000001")
        assert worker.wait() == 0
        assert "WARNING: Redis: its maxmemory-policy is allkeys-lru" in worker.log
        assert "WARNING: Redis: it keeps no append-only file" in worker.log


def test_a_user_without_more_rights_than_needed_logs_in_with_a_password(cluster: Cluster) -> None:
    cluster.redis.acl_setuser(
        "worker",
        enabled=True,
        passwords=["+p@ss/word"],
        categories=["+@all", "-@admin", "-@dangerous"],
        keys=["{product:start_urls}*", "product:start_urls", "{ali1688:*", "ali1688:*"],
    )
    place = cluster.redis_url.removeprefix("redis://")
    worker = cluster.start(
        "ids=610000000001,610000000002", REDIS_URL=f"redis://worker:p%40ss%2Fword@{place}"
    )
    assert worker.wait() == 0
    assert worker.stats["item_scraped_count"] == 2
    assert "p@ss/word" not in worker.log
    assert "p%40ss" not in worker.log

    stranger = cluster.start("ids=610000000003", REDIS_URL=f"redis://worker:wrong@{place}")
    eventually(lambda: AWAY in stranger.log)
    assert "invalid username-password pair" in stranger.log


@pytest.fixture
def tls_proxy(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """The port where the cluster's Redis speaks TLS, and the certificate that vouches for it."""
    certificate, key = make_certificate(tmp_path)
    port = str(cluster.redis.get_connection_kwargs()["port"])
    command = [sys.executable, TLS_PROXY, port, certificate, key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), certificate
        process.kill()


def test_a_worker_speaks_tls_with_a_server_that_it_can_trust(
    cluster: Cluster, tls_proxy: tuple[int, Path]
) -> None:
    port, certificate = tls_proxy
    url = f"rediss://127.0.0.1:{port}/0"
    worker = cluster.start("ids=610000000001", REDIS_URL=f"{url}?ssl_ca_certs={certificate}")
    stranger = cluster.start("ids=610000000001", REDIS_URL=url)
    assert worker.wait() == 0
    assert worker.stats["item_scraped_count"] == 1
    eventually(lambda: AWAY in stranger.log)
    assert "CERTIFICATE_VERIFY_FAILED" in stranger.log
