"""``scrapy queue``: workers are held and go on, and what waits is seen and taken away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.lease import QueueEntry
from tests.harness import Cluster, eventually, products

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.harness import Administration, Process

    Queue = Callable[..., str]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, {"ALI1688_CACHE_TTL": "0"}) as cluster:
        yield cluster


@pytest.fixture
def queue(cluster: Cluster, administration: Administration) -> Queue:
    """Return what prints what the command prints, which has to end well."""

    def run(*arguments: str) -> str:
        ended = administration.run("queue", *arguments, REDIS_URL=cluster.redis_url)
        assert (ended.exit_code, ended.log) == (0, "")
        return ended.stdout

    return run


def command(cluster: Cluster, *arguments: str) -> Process:
    """Return the command in a process of its own, which has to end well."""
    process = cluster.run("queue", *arguments).finish()
    assert process.exit_code == 0, process.log
    return process


def push(cluster: Cluster, ids: list[int], **settings: Any) -> None:
    cluster.queue.push(QueueEntry(ApiCall.product(each), **settings) for each in ids)


def test_a_paused_queue_makes_no_calls_and_then_each_once(cluster: Cluster) -> None:
    cluster.gateway.set(latency=3000)
    ids = products(200)
    workers = [cluster.start("idle=1") for _ in range(2)]
    cluster.produce(ids)
    cluster.gateway.wait_for(30)
    paused = command(cluster, "pause", "--reason", "the  warehouse\nis counted")
    assert "the warehouse is counted. Calls that run come to their end; " in paused.stdout
    eventually(lambda: cluster.counts.leased == 0)
    made = cluster.gateway.calls
    assert made < len(ids)

    # Longer than the workers stay idle.
    cluster.gateway.wait_until_quiet(2)
    assert cluster.gateway.calls == made
    assert all(worker.is_running for worker in workers)
    found = json.loads(command(cluster, "status", "--json").stdout)
    assert (found["ready"], found["leased"]) == (len(ids) - made, 0)
    assert found["paused"]["reason"] == "the warehouse is counted"
    alive = {worker["pid"] for worker in found["workers"] if worker["alive"]}
    assert alive == {worker.pid for worker in workers}
    assert "is paused by " in command(cluster, "status").stdout

    cluster.gateway.set(latency=0)
    assert command(cluster, "resume").stdout == "The queue of product is resumed.\n"
    assert [worker.wait() for worker in workers] == [0, 0]
    assert cluster.gateway.by_product == dict.fromkeys(ids, 1)
    for worker in workers:
        assert worker.log.count("the queue is paused by ") == 1
        assert worker.log.count("`scrapy queue resume --spider product` ends it") == 1
        assert worker.log.count("The queue is resumed") == 1
        assert worker.stats["ali1688/queue/pauses"] == 1
        assert worker.stats["finish_reason"] == "finished"
    assert command(cluster, "resume").stdout == "The queue of product was not paused.\n"


def test_a_pause_outlasts_workers_and_ends_by_itself(cluster: Cluster, queue: Queue) -> None:
    queue("pause", "--for", "1d")
    ids = products(3)
    push(cluster, ids)
    first = cluster.start()
    eventually(lambda: "the queue is paused by " in first.log)
    assert first.stop() == 0
    second = cluster.start("idle=0", ALI1688_PROGRESS="on")
    eventually(lambda: "waits for scrapy queue resume (paused by " in second.log)
    queue("pause", "--for", "1s")
    assert second.wait() == 0
    assert cluster.gateway.by_product == dict.fromkeys(ids, 1)


def test_what_is_in_the_queue(cluster: Cluster, queue: Queue) -> None:
    assert queue("peek") == "No call waits.\n"
    assert "No worker is there." in queue("status")
    first, second, later = products(3)
    push(cluster, [first])
    push(cluster, [second], priority=7)
    push(cluster, [later], delay=7500)
    cluster.produce([b"610000000009", b"nonsense"])
    shown = queue("peek")
    assert [shown.index(str(each)) for each in (second, first, later)] == sorted(
        shown.index(str(each)) for each in (first, second, later)
    )
    assert "The next of 3 calls that wait" in shown
    assert "in 2.1 h" in shown
    assert shown.endswith("2 messages of producers wait for a worker to read them.\n")
    assert str(first) not in queue("peek", "--limit", "1")

    found = json.loads(queue("status", "--json"))
    assert [found[name] for name in ("ready", "delayed", "leased", "messages")] == [2, 1, 0, 2]
    assert 0 <= found["oldest_waiting_seconds"] < 60
    assert (found["paused"], found["workers"]) == (None, [])
    text = queue("status")
    assert text.startswith("The queue of product is not paused.\nReady:    2, the oldest for ")
    assert "Delayed:  1, the next in 2.1 h\n" in text


def test_a_worker_that_is_silent_is_shown_as_such(cluster: Cluster, queue: Queue) -> None:
    worker = cluster.start()
    eventually(lambda: worker.has_opened)
    worker.kill()
    eventually(lambda: not json.loads(queue("status", "--json"))["workers"][0]["alive"])
    assert json.loads(queue("status", "--json"))["workers"][0]["pid"] == worker.pid
    assert "silent: its calls go to others" in queue("status")


def test_what_is_cleared_is_in_a_file_and_in_no_queue(cluster: Cluster, queue: Queue) -> None:
    cluster.gateway.set(latency=4000)
    running, failing, *waiting = products(60)
    cluster.gateway.fail(product_id=failing, faults=["500"])
    worker = cluster.start()
    push(cluster, [running, failing])
    cluster.gateway.wait_for(2)
    queue("pause")
    push(cluster, waiting[:30])
    push(cluster, waiting[30:40], delay=3600)
    cluster.produce(waiting[40:])
    eventually(lambda: cluster.counts.messages == 0)  # the worker reads them all the same

    file = cluster.folder / "calls.txt"
    said = queue("clear", "--yes", "--save", str(file))
    assert said.startswith("58 calls removed.\n2 that workers have come to their end, ")
    assert said.endswith(f"They are in {file}.\n")
    everything = [running, failing, *waiting]
    assert sorted(file.read_text().splitlines()) == sorted(map(str, everything))
    eventually(lambda: cluster.done)
    assert worker.stop() == 0
    assert cluster.gateway.by_product == {running: 1, failing: 1}

    queue("resume")
    cluster.gateway.reset()
    assert cluster.start(f"calls_file={file}").wait() == 0
    assert cluster.gateway.by_product == dict.fromkeys(everything, 1)


def test_what_a_killed_worker_had_is_in_the_file_as_well(cluster: Cluster, queue: Queue) -> None:
    cluster.gateway.set(latency=60_000)
    wanted = products(20)
    push(cluster, wanted)
    worker = cluster.start()
    eventually(lambda: cluster.counts.leased > 0)
    queue("pause")
    worker.kill()
    file = cluster.folder / "calls.txt"
    queue("clear", "--yes", "--save", str(file))
    assert sorted(file.read_text().splitlines()) == sorted(map(str, wanted))


def test_a_crawl_whose_calls_are_cleared_is_finished(cluster: Cluster, queue: Queue) -> None:
    queue("pause")
    worker = cluster.start("ids=610000000001,610000000002")
    eventually(lambda: cluster.counts.ready == 2)
    assert queue("clear", "--yes") == "2 calls removed.\n"
    assert worker.wait() == 0
    assert worker.stats["finish_reason"] == "finished"
    assert cluster.gateway.calls == 0


def test_messages_that_ask_for_no_call_are_named_before_they_go(cluster: Cluster) -> None:
    cluster.produce([b"610000000001", b"non\x1bsense", b'{"product_id": 2, "priority": 5}'])
    cleared = command(cluster, "clear", "--yes", "--save", "calls.txt")
    assert cleared.stdout.startswith("2 calls removed.\n")
    assert cleared.log.startswith("Removed: 'non\\x1bsense', which asks for no call: ")
    lines = (cleared.folder / "calls.txt").read_text().splitlines()
    assert sorted(lines) == ["2", "610000000001"]
    assert cluster.done


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to do: status, pause, resume, peek, clear"),
        (["stop"], "say what to do: status, pause, resume, peek, clear"),
        (["status", "--spider", "prodct"], "--spider is 'prodct': say one of product, search, w"),
        (["pause", "--for", "soon"], "--for is 'soon': say for how long, such as 90s, 30m, 2h"),
        (["pause", "--for", "0h"], "--for is '0h': say for how long, such as 90s, 30m, 2h or"),
        (["peek", "--limit", "0"], "--limit is below 1: say how many calls at most"),
        (["peek", "--limit", "10001"], "--limit is 10001: say 10000 at most, as the workers wait"),
        (["clear", "--spider", "watch", "--yes"], "the queue of watch is the schedule of what is"),
        (["clear", "--yes", "--save", "no/file"], "no/file cannot be written: No such file or"),
    ],
)
def test_a_wrong_use_is_one_sentence(
    arguments: list[str], said: str, administration: Administration, redis_url: str
) -> None:
    ended = administration.run("queue", *arguments, REDIS_URL=redis_url)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.log.startswith(f"Error: {said}")
    assert ended.log.count("\n") == 1


def test_nothing_is_cleared_without_a_word(cluster: Cluster) -> None:
    push(cluster, products(2))
    (cluster.folder / "calls.txt").touch()
    silent = cluster.run("queue", "clear").finish()
    assert silent.exit_code == 1
    assert silent.log == (
        "Error: Remove 2 calls and 0 messages from the queue of product? There is no terminal to "
        "answer on: say --yes.\n"
    )
    taken = cluster.run("queue", "clear", "--yes", "--save", "../calls.txt").finish()
    assert taken.log == "Error: ../calls.txt is there already: name another file.\n"
    assert cluster.counts.ready == 2


def test_without_redis_there_is_no_queue(administration: Administration) -> None:
    ended = administration.run("queue", "status")
    assert ended.exit_code == 1
    assert ended.log.startswith("Error: REDIS_URL is empty: set it to the Redis of your workers")


@pytest.mark.parametrize(("answer", "left"), [("n", 2), ("", 2), ("Yes", 0)])
def test_on_a_terminal_one_is_asked(
    answer: str,
    left: int,
    *,
    administration: Administration,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import redis

    with redis.Redis.from_url(redis_url) as client:
        client.lpush("product:start_urls", 1, 2)
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda _: answer)
        ended = administration.run("queue", "clear", REDIS_URL=redis_url)
        assert ended.exit_code == 0
        assert ended.stdout == ("Nothing is removed.\n" if left else "2 calls removed.\n")
        assert client.llen("product:start_urls") == left
