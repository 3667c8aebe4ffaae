"""Whatever somebody writes into the queue's keys: every call comes out, and the queue goes on.

Each kind of breakage meets a queue with calls in every state. What an outsider has overwritten is
gone, but all calls belong to a crawl, so that the worker queues them again from its source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import redis

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.keys import QUEUE_KEY, TYPES, QueueKeys
from ali1688_spider.scheduling.lease import QueueEntry
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.scheduling.source import CrawlSource
from tests.scheduling.leases import done, retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ali1688_spider.scheduling.lease import Lease

    Break = Callable[[Any, QueueKeys], object]

KEYS = QueueKeys.of(QUEUE_KEY % {"spider": "product"})
CALLS = range(1, 151)
FROM_MESSAGES = range(1001, 1021)
A_DAY = 86_400_000
ODD = b"\xff\xfe"


class Kind(NamedTuple):
    """A kind of breakage; *refused* is what has to be among the refused entries."""

    name: str
    break_keys: Break
    refused: frozenset[bytes] = frozenset()


def replaced(key: str, kind: str) -> Break:
    def replace(client: Any, _: QueueKeys) -> None:
        client.delete(key)
        match kind:
            case "string":
                client.set(key, "x")
            case "list":
                client.rpush(key, "x")
            case "hash":
                client.hset(key, "x", "x")
            case "stream":
                client.xadd(key, {"x": "x"})

    return replace


def every_field(key: str, value: str | bytes, members: str = "ready") -> Break:
    """Set the field of each member of another key."""

    def set_fields(client: Any, keys: QueueKeys) -> None:
        fields = dict.fromkeys(client.zrange(getattr(keys, members), 0, -1), value)
        if fields:
            client.hset(getattr(keys, key), mapping=fields)

    return set_fields


def every_score(key: str, score: str) -> Break:
    def set_scores(client: Any, keys: QueueKeys) -> None:
        name = getattr(keys, key)
        if scores := dict.fromkeys(client.zrange(name, 0, -1), score):
            client.zadd(name, scores)

    return set_scores


def member(key: str, text: str | bytes, score: str) -> Break:
    return lambda client, keys: client.zadd(getattr(keys, key), {text: score})


def field(key: str, name: str | bytes, value: str | bytes) -> Break:
    return lambda client, keys: client.hset(getattr(keys, key), name, value)


def text(key: str, value: str | bytes) -> Break:
    return lambda client, keys: client.set(getattr(keys, key), value)


def deleted(*keys: str) -> Break:
    return lambda client, all_keys: client.delete(*(getattr(all_keys, key) for key in keys))


def crawl(record: str | bytes) -> Break:
    return field("crawls", "a", record)


def record(**changes: object) -> str:
    fields = {
        "slot": 1,
        "cursor": len(CALLS),
        "complete": True,
        "pending": 9,
        "remember": A_DAY,
    } | changes
    return str(fields).replace("'", '"').replace("True", "true").replace("None", "null")


WRONG_TYPES = [
    Kind(f"{name} is a {kind}", replaced(getattr(KEYS, name), kind))
    for name in QueueKeys._fields
    for kind in ("string", "list", "hash", "stream")
    if kind not in getattr(TYPES, name)
]
SEQUENCES = ["abc", "1.5", "-7", "9223372036854775807", "1e400", "", ODD]
SCORES = ["1.5", "-1.5", "inf", "-inf", "1e300", "-1e300", "7", "0", "9007199254740993"]
NUMBERS = ["abc", "1.5", "-3", "99999999999999999999", "inf", "nan", "", ODD]
RECORDS = {
    "no JSON": "x{",
    "no text": ODD,
    "empty": "",
    "null": "null",
    "a list": "[1, 2]",
    "nested": "[" * 5000,
    "a slot beyond all": record(slot=300),
    "a fractional slot": record(slot=1.5),
    "a text as slot": record(slot="1"),
    "no cursor": record(cursor=None),
    "a negative cursor": record(cursor=-1),
    "a huge number": record(pending=1e300),
    "no time": record(remember="x"),
    "a wrong end": record(finished_at="x"),
    "too much pending": record(pending=5000),
    "a low cursor": record(cursor=3, pending=len(CALLS)),
}
KINDS = [
    *WRONG_TYPES,
    *(Kind(f"the sequence is {each!r}", text("sequence", each)) for each in SEQUENCES),
    *(
        Kind(f"x is ready with {each}", member("ready", "x", each), frozenset({b"x"}))
        for each in SCORES
    ),
    *(Kind(f"all are ready with {each}", every_score("ready", each)) for each in SCORES),
    Kind("a member is no text", member("ready", ODD, "1"), frozenset({ODD})),
    Kind("a member is long", member("ready", b"x" * 3_000_000, "1"), frozenset({b"x" * 3_000_000})),
    *(
        Kind(f"x is delayed until {each}", member("delayed", "x", each), frozenset({b"x"}))
        for each in SCORES
    ),
    *(Kind(f"all are delayed until {each}", every_score("delayed", each)) for each in SCORES),
    *(
        Kind(f"a score is {each!r}", every_field("scores", each, members="delayed"))
        for each in NUMBERS
    ),
    *(Kind(f"attempts are {each!r}", every_field("attempts", each)) for each in NUMBERS),
    *(Kind(f"losses are {each!r}", every_field("losses", each)) for each in NUMBERS),
    *(
        Kind(f"losses of the leased are {each!r}", every_field("losses", each, members="leased"))
        for each in NUMBERS
    ),
    *(Kind(f"leases are {each!r}", every_field("leases", each, "leased")) for each in NUMBERS),
    *(
        Kind(
            f"leases are with numbers {each!r}", every_field("leases", f"1 {each} {each}", "leased")
        )
        for each in NUMBERS[:-1]
    ),
    *(
        Kind(f"x is leased by {each}", member("leased", "x", each), frozenset({b"x"}))
        for each in SCORES
    ),
    Kind("x has a lease only", field("leases", "x", "1 1 1"), frozenset({b"x"})),
    Kind("x has a score only", field("scores", "x", "1"), frozenset({b"x"})),
    *(Kind(f"workers end at {each}", every_score("workers", each)) for each in SCORES),
    Kind("a worker has no number", member("workers", "nobody", "0")),
    Kind("a worker is no text", member("workers", ODD, "0")),
    *(Kind(f"the crawl is {name}", crawl(each)) for name, each in RECORDS.items()),
    Kind("a slot names no crawl", field("slots", "1", "nobody")),
    Kind("a slot is no number", field("slots", "x", "a")),
    Kind("an old crawl has no record", member("crawl_expiry", "nobody", "0")),
    *(Kind(f"the crawl ends at {each}", every_score("crawl_expiry", each)) for each in SCORES),
    *(Kind(f"{name} is deleted", deleted(name)) for name in QueueKeys._fields[1:]),
    Kind("all are deleted", deleted(*QueueKeys._fields)),
    Kind("what is queued is deleted", deleted("ready", "delayed", "leased")),
    Kind("crawls and slots are deleted", deleted("crawls", "slots")),
    Kind("who reads never ends", text("reader", "nobody")),
    Kind("a message is before the number", lambda c, k: c.lpush(k.intake, "5")),
    Kind("a message is behind the others", lambda c, k: c.rpush(k.intake, "5")),
    Kind("the messages have no number", lambda c, k: c.ltrim(k.intake, 1, -1)),
]


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


class NamedSpider:
    name = "product"


class Worker:
    """Does what a worker does, and notes which calls have come out."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.queue = LeaseQueue(client, NamedSpider, QUEUE_KEY, max_attempts=50)
        self.source = CrawlSource(self.queue, "a", process_age=1.0)
        self.made: set[int] = set()
        self.refused: set[bytes] = set()
        self.held: list[Lease] = []

    def read_source(self) -> None:
        for number in CALLS:
            self.source.add(QueueEntry(ApiCall.product(number), number % 3))
        self.source.end()

    def work(self) -> None:
        """Do one round of everything."""
        if self.source.forgotten_from is not None:
            self.source.rewind()
            self.read_source()
        self.source.flush()
        self.queue.heartbeat()
        batch = self.queue.start_list.read()
        if batch is not None:
            self.refused |= {message for message, _ in batch.malformed}
            self.queue.start_list.remove(batch)
        self.queue.recover()
        leased = self.queue.lease(100, self.held)
        self.held += leased.leases
        if leased.surplus > 0:
            self.queue.give_back(self.held)
        settled = [done(lease) for lease in self.held]
        self.held = []
        stale = self.queue.settle(settled)
        self.refused |= {lease.message for lease in leased.leases if lease.refusal}
        made = [lease.message for lease in settled if lease not in stale]
        self.made |= {int(message) for message in made if message.isdigit()}

    def let_time_pass(self) -> None:
        """Let all come that is due, and silent workers be found, as far as their times are sane."""
        now = self.client.time()[0] * 1000
        for key in (self.queue.keys.delayed, self.queue.keys.workers):
            soon = self.client.zrangebyscore(key, now - A_DAY, now + A_DAY)
            others = dict.fromkeys(set(soon) - {str(self.queue.worker).encode()}, 0)
            if others:
                self.client.zadd(key, others)


@pytest.fixture
def worker(client: Any) -> Worker:
    """A worker that holds calls, on a queue with calls in every state."""
    worker = Worker(client)
    worker.source.begin()
    worker.read_source()
    worker.source.flush()
    dead = LeaseQueue(client, NamedSpider, QUEUE_KEY)
    dead.lease(30)
    retried = dead.lease(30).leases
    dead.settle(retry(call, 60) for call in retried)
    again = LeaseQueue(client, NamedSpider, QUEUE_KEY)
    again.lease(10)
    again.give_back(leaving=True)
    worker.held = list(worker.queue.lease(20).leases)
    client.lpush(KEYS.start, *FROM_MESSAGES)
    dead._scripts.run("take_messages", dead.worker, 10, 10_000, 10_000, 4096)
    client.pexpire(KEYS.reader, 1)
    while client.exists(KEYS.reader):
        pass
    return worker


def test_there_are_many_kinds() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) > 150


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_call_comes_out_and_the_queue_goes_on(
    worker: Worker, client: Any, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    kind.break_keys(client, KEYS)
    aside = [key for key in KEYS if client.type(key).decode() not in kind_of(key)]
    messages_are_lost = {KEYS.start, KEYS.intake} & ({*aside} | absent(client))
    for _ in range(40):
        worker.work()
        worker.let_time_pass()
        if worker.source.check_finished() and kind.refused <= worker.refused:
            break
    else:
        raise AssertionError("the crawl does not finish")

    assert set(CALLS) <= worker.made
    assert kind.refused <= worker.refused
    if not messages_are_lost:
        worker.work()
        assert set(FROM_MESSAGES) <= worker.made
    errors = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert len(errors) == len(aside) == worker.queue.keys_set_aside
    assert len(client.keys("*:broken:*")) == len(aside)

    client.lpush(KEYS.start, 5001)
    worker.queue.push([QueueEntry(ApiCall.product(5002))])
    for _ in range(3):
        worker.work()
    assert {5001, 5002} <= worker.made
    counts = worker.queue.counts()
    assert (counts.calls, counts.messages) == (0, 0)


def kind_of(key: str) -> str:
    return f"none {TYPES[KEYS.index(key)]}"


def absent(client: Any) -> set[str]:
    return {key for key in KEYS if not client.exists(key)}


@pytest.mark.parametrize("orphan", ["scores", "leases", "leased"])
def test_a_call_is_found_among_thousands_by_scripts_that_look_at_some(
    orphan: str, client: redis.Redis
) -> None:
    queue, number = LeaseQueue(client, NamedSpider, QUEUE_KEY), 20_000
    queue.push(QueueEntry(ApiCall.product(each), 0, 60 * each) for each in range(1, number))
    key = getattr(queue.keys, orphan)
    with client.pipeline() as pipeline:
        for each in range(1, number if orphan != "scores" else 1):
            pipeline.zadd(queue.keys.leased, {each: queue.worker})
            pipeline.hset(queue.keys.leases, each, "1 1 0")
        pipeline.execute()
    client.zadd(key, {number: 1}) if orphan == "leased" else client.hset(key, number, "1 1 0")
    run, looked_up = queue._scripts.run, []

    def counting(*arguments: Any) -> Any:
        client.config_resetstat()
        reply = run(*arguments)
        commands: dict[str, Any] = client.info("commandstats")
        names = ("cmdstat_zscore", "cmdstat_hexists")
        looked_up.append(sum(commands[name]["calls"] for name in names if name in commands))
        return reply

    queue._scripts.run = counting  # type: ignore[method-assign]
    assert queue.recover() == 1
    assert sum(looked_up) >= number
    assert max(looked_up) <= 2000
    assert queue.recover() == 0
    waiting = client.zscore(queue.keys.delayed, number), client.zscore(queue.keys.ready, number)
    assert waiting != (None, None)
