"""What workers do with what they are given: once each, in order, nothing harmed by anything."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.lease import QueueEntry
from tests.harness import FIRST_PRODUCT, Cluster, eventually, products
from tests.integration.round_trips import CountingProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness import Process

PAGE = "https://detail.1688.com/offer/%d.html"
MALFORMED: dict[str, tuple[bytes, str]] = {
    "a pickle": (pickle.dumps({"url": PAGE % FIRST_PRODUCT}), "not text in UTF-8"),
    "a request with a proxy": (
        json.dumps({"url": PAGE % FIRST_PRODUCT, "meta": {"proxy": "http://evil:1"}}).encode(),
        "neither a number nor an object of 'api' and 'params'",
    ),
    "deep JSON": (b'{"product_id":' * 500, "longer than 4096 bytes"),
    "endless JSON": (b'{"a":' * 800, "not JSON"),
    "a giant": (b"6" * 1_000_000, "longer than 4096 bytes"),
    "another site": (b"https://evil.example/offer/610000000001.html", "neither a product id"),
    "true": (b"true", "neither a product id"),
    "an id that is true": (b'{"product_id": true}', "the product_id is not a whole number"),
    "negative": (b"-610000000001", "neither a product id"),
    "a fraction": (b'{"product_id": 610000000001.5}', "the product_id is not a whole number"),
    "too large": (b"9223372036854775808", "out of range"),
    "a priority in words": (
        b'{"product_id": 610000000001, "priority": "high"}',
        "the priority is not a whole number",
    ),
    "more than asked for": (
        b'{"product_id": 610000000001, "callback": "os.system"}',
        "beside product_id and priority it has callback",
    ),
    "empty": (b"", "neither a product id"),
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def memory(worker: Process) -> int:
    """Return how many bytes of memory a worker has."""
    status = Path(f"/proc/{worker.pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024


def test_several_workers_started_with_the_same_ids_make_each_call_once(cluster: Cluster) -> None:
    cluster.settings = {"ALI1688_CACHE_TTL": "0"}
    cluster.gateway.set(latency=100)
    ids = products(200)
    argument = f"ids={','.join(map(str, ids))}"
    workers = [cluster.start(argument) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert cluster.gateway.by_product == dict.fromkeys(ids, 1)

    # A later crawl is another one.
    assert cluster.start(argument).wait() == 0
    assert cluster.gateway.by_product == dict.fromkeys(ids, 2)


def test_what_is_pushed_while_it_is_queued_or_in_flight_is_called_once(cluster: Cluster) -> None:
    cluster.settings = {"ALI1688_CACHE_TTL": "0"}
    cluster.gateway.set(latency=2000)
    first, second, third = products(3)
    worker = cluster.start("idle=1")
    cluster.produce([first])
    eventually(lambda: cluster.counts.leased == 1)
    cluster.produce([first, PAGE % first, second, second, third])
    eventually(lambda: cluster.counts.leased == 3)
    assert cluster.counts.messages == 0
    assert worker.wait() == 0
    assert cluster.gateway.by_product == {first: 1, second: 1, third: 1}


@pytest.mark.chaotic
def test_a_worker_that_was_killed_while_it_read_a_large_file_resumes(cluster: Cluster) -> None:
    cluster.settings = {"ALI1688_QPS": "1", "ALI1688_LEASE_SECONDS": "1"}
    ids = products(30_000)
    ids_file = cluster.folder / "ids.txt"
    ids_file.write_text("\n".join(map(str, ids)))
    killed = cluster.start(f"ids_file={ids_file}")
    eventually(lambda: cluster.counts.ready > 3000)
    killed.kill()
    queued, called = cluster.counts.calls, cluster.gateway.calls
    assert queued < len(ids)
    resumed = cluster.start(f"ids_file={ids_file}")

    def all_are_there() -> bool:
        """Whether each product is queued, in flight or was called."""
        keys = cluster.queue.keys
        places: Any = [cluster.redis.zrange(key, 0, -1) for key in (keys.ready, keys.leased)]
        members = {int(member) for place in places for member in place}
        return members | cluster.gateway.by_product.keys() == set(ids)

    eventually(lambda: cluster.counts.calls + cluster.gateway.calls >= len(ids), 120)
    eventually(all_are_there)
    assert resumed.stop() == 0
    assert all_are_there()
    joined = re.search(r"Joining a crawl whose first (\d+) calls are queued", resumed.log)
    assert joined is not None
    # What was called before the kill is no longer queued, or still is when nobody heard of it.
    assert queued <= int(joined[1]) <= queued + called


def test_messages_of_every_form_are_read_while_a_worker_is_busy(cluster: Cluster) -> None:
    cluster.settings = {"ALI1688_QPS": "25"}
    busy = products(120)
    cluster.produce(busy)
    worker = cluster.start("idle=0.5")
    cluster.gateway.wait_for(10)
    wanted = products(7, first=busy[-1] + 1)
    forms: list[int | str | bytes] = [
        wanted[0],
        f" {wanted[1]} ",
        PAGE % wanted[2],
        f"m.1688.com/offer/{wanted[3]}.html?spm=a",
        json.dumps({"product_id": wanted[4], "priority": 10}),
        json.dumps({"product_id": str(wanted[5])}),
        json.dumps({"api": "product", "params": {"product_id": wanted[6]}}),
    ]
    cluster.produce(forms)
    eventually(lambda: cluster.counts.messages == 0, 3)
    assert cluster.counts.ready > 0
    # Nothing has to wait for the end of all else.
    eventually(lambda: wanted[4] in cluster.gateway.by_product)
    assert cluster.counts.ready > 0
    assert worker.wait() == 0
    assert cluster.gateway.by_product == dict.fromkeys([*busy, *wanted], 1)


def test_malformed_messages_harm_nothing_and_are_kept_with_their_reasons(cluster: Cluster) -> None:
    ids = products(20)
    cluster.produce(ids[:10])
    cluster.produce([message for message, _ in MALFORMED.values()])
    cluster.produce(ids[10:])
    assert cluster.start("idle=1").wait() == 0
    assert cluster.gateway.by_product == dict.fromkeys(ids, 1)
    assert cluster.done
    reasons = {failed["call"]: failed["error"] for failed in cluster.failed_calls()}
    assert len(reasons) == len(MALFORMED)
    for message, reason in MALFORMED.values():
        assert reason in reasons[message[:4096].decode(errors="backslashreplace")]


def test_thousands_of_malformed_messages_are_each_kept_once(cluster: Cluster) -> None:
    ids = products(20)
    cluster.produce(ids[:10])
    cluster.produce([f"garbage {number % 2500}" for number in range(5000)])
    cluster.produce(ids[10:])
    worker = cluster.start("idle=1")
    assert worker.wait() == 0
    assert cluster.gateway.by_product == dict.fromkeys(ids, 1)
    calls = sorted(failed["call"] for failed in cluster.failed_calls())
    assert calls == sorted(f"garbage {number % 2500}" for number in range(5000))
    assert worker.stats["ali1688/messages/malformed"] == 5000


def test_giant_messages_do_not_fill_the_memory(cluster: Cluster) -> None:
    worker = cluster.start("idle=3")
    eventually(lambda: worker.has_opened)
    before = memory(worker)
    for number in range(25):  # 50 MB, and as many again
        cluster.produce([b"%02d" % number + b"x" * 2_000_000])
    cluster.produce(products(5))
    cluster.redis.zadd(
        cluster.queue.keys.ready,
        {b"%02d" % number + b"y" * 2_000_000: number for number in range(25)},
    )
    eventually(lambda: len(cluster.gateway.by_product) == 5)
    eventually(lambda: len(cluster.failed_calls()) == 50)
    assert memory(worker) < before + 30_000_000
    assert worker.wait() == 1  # entries of the queue were given up
    assert cluster.done


@pytest.mark.parametrize("place", ["message", "member"])
def test_a_call_that_the_spider_does_not_make_costs_no_call(cluster: Cluster, place: str) -> None:
    search = ApiCall.search(keyword="x", page=1, page_size=20)
    if place == "message":
        cluster.produce([search.encode()])
    else:
        cluster.queue.push([QueueEntry(search)])
    cluster.produce(products(3))
    worker = cluster.start("idle=1")
    assert worker.wait() == (0 if place == "message" else 1)  # a message wants no call
    assert "Traceback" not in worker.log
    assert cluster.gateway.calls == 3
    (failed,) = cluster.failed_calls()
    assert failed["call"] == search.encode()
    expected = "a search call, of which this spider makes none: it makes product calls"
    assert failed["error"] == expected


def test_a_start_list_of_another_kind_harms_nothing(cluster: Cluster) -> None:
    cluster.queue.push([QueueEntry(ApiCall.product(product_id)) for product_id in products(5)])
    cluster.redis.set("product:start_urls", "610000000009")
    worker = cluster.start("idle=1")
    assert worker.wait() == 0
    assert "The Redis key product:start_urls was a string" in worker.log
    assert worker.stats["ali1688/queue/keys_set_aside"] == 1
    (aside,) = cluster.redis.scan_iter("{product:start_urls}:broken:*")
    assert cluster.redis.get(aside) == b"610000000009"
    assert len(cluster.gateway.by_product) == 5


def test_a_crawl_ends_when_others_have_made_its_calls(cluster: Cluster) -> None:
    cluster.gateway.set(latency=1000)
    product_id = FIRST_PRODUCT
    cluster.produce([product_id])
    worker = cluster.start()
    cluster.gateway.wait_for(1)
    crawl = cluster.start(f"ids={product_id}")
    assert crawl.wait() == 0
    assert cluster.done
    assert cluster.gateway.calls == 1
    assert worker.is_running


def test_higher_priorities_go_first(cluster: Cluster) -> None:
    cluster.settings = {"ALI1688_QPS": "20", "CONCURRENT_REQUESTS": "1"}
    ids = products(30)
    levels = {product_id: number % 3 for number, product_id in enumerate(ids)}
    cluster.produce(
        json.dumps({"product_id": product_id, "priority": level})
        for product_id, level in levels.items()
    )
    worker = cluster.run(
        "crawl", "product", "-a", "idle=1", "-s", "CONCURRENT_REQUESTS=1", "-o", "products.csv"
    )
    assert worker.wait() == 0
    lines = (worker.folder / "products.csv").read_text().splitlines()[1:]
    order = [levels[int(line.partition(",")[0])] for line in lines]
    assert order == sorted(order, reverse=True)


def test_memory_does_not_grow_with_the_queue(cluster: Cluster) -> None:
    cluster.settings = {"ALI1688_QPS": "5"}
    sizes = []
    for length in (1_000, 100_000):
        cluster.redis.flushall()
        cluster.queue.push(QueueEntry(ApiCall.product(number)) for number in products(length))
        seen = cluster.gateway.calls
        worker = cluster.start()
        cluster.gateway.wait_for(seen + 5)
        sizes.append(memory(worker))
        worker.kill()
    assert sizes[1] - sizes[0] < 8 * 1024 * 1024


def test_a_queued_product_takes_few_bytes(cluster: Cluster) -> None:
    client = cluster.redis
    count = 50_000
    before = client.info("memory")["used_memory"]
    added = cluster.queue.push(QueueEntry(ApiCall.product(number)) for number in products(count))
    assert added == count
    again = cluster.queue.push(QueueEntry(ApiCall.product(number)) for number in products(count))
    assert again == 0
    bytes_each = (client.info("memory")["used_memory"] - before) / count
    assert bytes_each <= 160


def test_there_is_far_less_than_one_round_trip_for_each_call(cluster: Cluster) -> None:
    ids = products(1000)
    cluster.queue.push(QueueEntry(ApiCall.product(number)) for number in ids)
    port = cluster.redis.get_connection_kwargs()["port"]
    with CountingProxy(port) as proxy:
        # With a limit that does not hold the calls up, so that the quota is counted too.
        worker = cluster.start(
            "idle=0.5", REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0", ALI1688_QPS="2000"
        )
        assert worker.wait() == 0
    assert cluster.gateway.calls == len(ids)
    assert proxy.round_trips < 0.8 * len(ids)  # 0.2 on an idle machine


def test_closing_one_worker_leaves_the_queue_to_the_others(cluster: Cluster) -> None:
    cluster.settings = {"ALI1688_QPS": "10"}
    cluster.produce(products(200))
    worker = cluster.start()
    cluster.gateway.wait_for(5)
    assert worker.stop() == 0
    acked = worker.stats["ali1688/leases/acked"]
    assert cluster.counts.ready == 200 - acked
    assert isinstance(cluster.redis, redis.Redis)


def test_a_worker_opens_one_client_of_each_server(
    cluster: Cluster, mongo_uri: str, mongo_database: str
) -> None:
    cluster.settings = {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    stored, failed = products(2)
    cluster.gateway.fail(product_id=failed, faults=["invalid-parameter"])
    cluster.produce([stored, failed, "nonsense"])
    extensions = dict.fromkeys(
        ["ali1688_spider.extensions.results.StatsFile", "counted_clients.CountedClients"], 0
    )
    options = ("-a", "idle=1", "-s", f"EXTENSIONS={json.dumps(extensions)}")
    worker = cluster.run("crawl", "product", *options)
    assert worker.wait() == 1  # the crawl is incomplete
    assert worker.stats["ali1688/failed_calls"] == 1
    assert worker.stats["ali1688/messages/malformed"] == 1
    assert worker.stats["ali1688/items/stored"] == 1
    assert worker.stats["test/clients"] == {"Redis": 1, "AsyncMongoClient": 1}
