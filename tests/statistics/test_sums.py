from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from ali1688_spider.statistics.sums import (
    BY_MINUTE,
    KEPT_MINUTES,
    StatisticsReader,
    StatisticsWriter,
    WorkerLine,
)
from tests.harness import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

LEASE_SECONDS = 60.0
PREFIX = "{ali1688:statistics}:"
TOTALS, WORKERS, LINES, ADDED, MINUTES = (
    PREFIX + name for name in ("totals", "workers", "lines", "added", "minutes")
)
CALLS = "ali1688/calls"
STARTED_AT = datetime(2026, 11, 29, 10, 0, 5, tzinfo=UTC)


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def reader(server: redis.Redis) -> StatisticsReader:
    return StatisticsReader(server)


def writer_of(server: Any, spider: str = "product", lease_seconds: float = LEASE_SECONDS) -> Any:
    return StatisticsWriter(server, spider, lease_seconds)


def line(pid: int = 1, **values: Any) -> WorkerLine:
    return WorkerLine(spider="product", host="here", pid=pid, started_at=STARTED_AT, **values)


class LosingReplies:
    """A client of Redis whose next commands fail: unsent, or with their reply lost."""

    def __init__(self, server: redis.Redis) -> None:
        self._server = server
        self.lost_replies = self.unsent = 0

    def execute_command(self, *command: Any, **options: Any) -> Any:
        if self.unsent:
            self.unsent -= 1
            raise RedisConnectionError("refused")
        reply = self._server.execute_command(*command, **options)
        if self.lost_replies:
            self.lost_replies -= 1
            raise RedisConnectionError("the reply is lost")
        return reply


def test_what_several_crawls_count_is_added_up_by_spider(
    server: redis.Redis, reader: StatisticsReader
) -> None:
    assert reader.read().totals == {}
    first, second, third = writer_of(server), writer_of(server), writer_of(server, "watch")
    first.write({CALLS: 5, "item_scraped_count": 4}, line())
    second.write({CALLS: 7}, line(2))
    third.write({CALLS: 1, "log_count/ERROR": 2, "spider_exceptions/ValueError": 3}, line(3))
    first.write({CALLS: 6, "item_scraped_count": 4, "ali1688/retries": 1}, line())
    assert reader.read().totals == {
        "product": {CALLS: 13, "item_scraped_count": 4, "ali1688/retries": 1},
        "watch": {CALLS: 1, "log_count/ERROR": 2, "spider_exceptions/ValueError": 3},
    }


def test_what_is_no_count_is_not_added_up(server: redis.Redis, reader: StatisticsReader) -> None:
    writer_of(server).write(
        {
            CALLS: 0,
            "ali1688/watch/fraction_fresh": 0.5,
            "ali1688/clock/skew_seconds": 12.0,
            "ali1688/search/found": 2000,
            "ali1688/infinite": float("inf"),
            "ali1688/nothing": float("nan"),
            "ali1688/huge": 10**400,
            "ali1688/text": "5",
            "downloader/request_count": 3,
            "log_count/INFO": 4,
            "start_time": STARTED_AT,
        },
        None,
    )
    assert reader.read().totals == {}


def test_fractions_add_up(server: redis.Redis, reader: StatisticsReader) -> None:
    waited = "ali1688/quota/wait_seconds"
    writers = [writer_of(server) for _ in range(3)]
    for step in range(1, 21):
        for number, writer in enumerate(writers, 1):
            writer.write({waited: 0.1 * step * number}, line(number))
    assert reader.read().totals == {"product": {waited: pytest.approx(12.0, rel=1e-12)}}


def test_large_counts_stay_exact(server: redis.Redis, reader: StatisticsReader) -> None:
    writer = writer_of(server)
    for number in (2**52 + 1, 2**52 + 2, 2**52 + 3):
        writer.write({CALLS: number}, line())
    assert reader.read().totals == {"product": {CALLS: 2**52 + 3}}


def test_a_statistic_that_falls_takes_nothing_away(
    server: redis.Redis, reader: StatisticsReader
) -> None:
    writer = writer_of(server)
    for number in (5, 3, 6):
        writer.write({CALLS: number}, line())
    assert reader.read().totals == {"product": {CALLS: 6}}


def test_an_addition_whose_reply_was_lost_is_counted_once(
    server: redis.Redis, reader: StatisticsReader
) -> None:
    client = LosingReplies(server)
    writer = writer_of(client)
    writer.write({CALLS: 1}, line())
    client.lost_replies = 1
    with pytest.raises(RedisError):
        writer.write({CALLS: 5}, line())
    assert reader.read().totals == {"product": {CALLS: 5}}
    writer.write({CALLS: 5}, line())
    assert reader.read().totals == {"product": {CALLS: 5}}


@pytest.mark.parametrize("failure", ["lost_replies", "unsent"])
def test_a_later_addition_is_complete_whatever_became_of_those_before(
    failure: str, server: redis.Redis, reader: StatisticsReader
) -> None:
    client = LosingReplies(server)
    writer = writer_of(client)
    for calls in (3, 4, 5):
        setattr(client, failure, 1)
        with pytest.raises(RedisError):
            writer.write({CALLS: calls, "ali1688/errors/timeout": calls}, line())
    writer.write({CALLS: 9, "ali1688/errors/timeout": 6}, line())
    assert reader.read().totals == {"product": {CALLS: 9, "ali1688/errors/timeout": 6}}
    assert sum(minute.calls for minute in reader.read().minutes) == 9


def test_an_addition_that_arrives_after_a_later_one_changes_nothing(
    server: redis.Redis, reader: StatisticsReader
) -> None:
    # As one that a frozen Redis reads from a connection which its client has given up.
    sent: list[tuple[Any, ...]] = []

    class Noting:
        def execute_command(self, *command: Any, **options: Any) -> Any:
            sent.append(command)
            return server.execute_command(*command, **options)

    writer = writer_of(Noting())
    writer.write({CALLS: 2}, line(calls=2))
    first = sent[-1]
    writer.write({CALLS: 5}, line(calls=5))
    server.execute_command(*first)
    writer.write({CALLS: 6}, line(calls=6))
    last = sent[-1]
    writer.write({CALLS: 6}, None)
    server.execute_command(*last)
    server.execute_command(*first)
    reading = reader.read()
    assert reading.totals == {"product": {CALLS: 6}}
    assert reading.workers == ()


def test_what_redis_lost_in_a_crash_comes_with_the_next_addition(
    server: redis.Redis, reader: StatisticsReader
) -> None:
    living, ended = writer_of(server), writer_of(server)
    living.write({CALLS: 3}, line())
    ended.write({CALLS: 100}, None)
    snapshot = {key: server.dump(key) for key in server.scan_iter(f"{PREFIX}*")}
    living.write({CALLS: 8}, line())
    server.flushall()
    for key, value in snapshot.items():
        server.restore(key, 0, value)
    assert reader.read().totals == {"product": {CALLS: 103}}
    living.write({CALLS: 9}, line())
    assert reader.read().totals == {"product": {CALLS: 109}}
    assert sum(minute.calls for minute in reader.read().minutes) == 109

    server.flushall()
    living.write({CALLS: 10}, line())
    assert reader.read().totals == {"product": {CALLS: 10}}
    # They were made long ago, not in this minute.
    assert sum(minute.calls for minute in reader.read().minutes) == 0


def test_a_crawl_has_grown_when_it_has_counted(server: redis.Redis) -> None:
    writer = writer_of(server)
    statistics: dict[str, Any] = {"ali1688/watch/fraction_fresh": 0.5, "log_count/INFO": 1}
    assert not writer.has_grown(statistics)
    statistics[CALLS] = 1
    assert writer.has_grown(statistics)
    writer.write(statistics, line())
    statistics |= {"ali1688/watch/fraction_fresh": 0.7, "log_count/INFO": 2, "elapsed": 5.0}
    assert not writer.has_grown(statistics)


def test_writing_from_several_threads(server: redis.Redis, reader: StatisticsReader) -> None:
    writer = writer_of(server)
    threads = [
        threading.Thread(target=writer.write, args=({CALLS: number}, line()))
        for number in range(1, 21)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reader.read().totals == {"product": {CALLS: 20}}


def test_a_line_is_there_until_its_crawl_ends(
    server: redis.Redis, reader: StatisticsReader
) -> None:
    first, second = writer_of(server), writer_of(server)
    first.write({}, line(1, memory_bytes=5, gauges={"ali1688/clock/skew_seconds": -1.5}))
    second.write({}, line(2))
    second.write({}, line(2, waits_for="MongoDB", seconds_left=1.5))
    workers = sorted(reader.read().workers, key=lambda worker: worker.line.pid)
    assert [worker.line for worker in workers] == [
        line(1, memory_bytes=5, gauges={"ali1688/clock/skew_seconds": -1.5}),
        line(2, waits_for="MongoDB", seconds_left=1.5),
    ]
    assert workers[0].line.name == "here:1"
    assert all(0 < worker.expires_in <= LEASE_SECONDS for worker in workers)
    first.write({CALLS: 1}, None)
    assert [worker.line.pid for worker in reader.read().workers] == [2]
    assert server.hlen(LINES) == 1


def test_a_line_expires_and_its_sums_stay(server: redis.Redis, reader: StatisticsReader) -> None:
    killed = writer_of(server, lease_seconds=0.2)
    killed.write({CALLS: 5}, line())
    eventually(lambda: not reader.read().workers, 5)
    assert reader.read().totals == {"product": {CALLS: 5}}
    killed.write({CALLS: 6}, line())  # it was frozen only
    assert len(reader.read().workers) == 1
    assert reader.read().totals == {"product": {CALLS: 6}}


def test_what_is_kept_of_a_crawl_is_forgotten(server: redis.Redis) -> None:
    killed, ended, frozen, other = (writer_of(server) for _ in range(4))
    killed.write({CALLS: 1}, line(1))
    frozen.write({CALLS: 1}, line(2))
    ended.write({CALLS: 1}, None)
    day = 86_400_000
    for writer, milliseconds in ((killed, 8 * day), (frozen, 6 * day), (ended, 700_000)):
        server.zincrby(WORKERS, -milliseconds, writer._worker)
    other.write({CALLS: 1}, line(3))
    kept = {frozen._worker.encode(), other._worker.encode()}
    assert {*server.zrange(WORKERS, 0, -1)} == kept
    assert {*server.hkeys(LINES)} == kept
    assert {*server.hkeys(ADDED)} == kept
    frozen.write({CALLS: 2}, line(2))
    assert server.hget(TOTALS, f"product {CALLS}") == b"5"


def test_each_minute_has_its_counts(server: redis.Redis, reader: StatisticsReader) -> None:
    writer = writer_of(server)
    writer.write(
        {
            CALLS: 10,
            "item_scraped_count": 7,
            "ali1688/items/stored": 7,
            "ali1688/errors/timeout": 1,
            "ali1688/errors/service": 2,
            "ali1688/errors/product_gone": 4,
            "ali1688/failed_calls": 1,
            "ali1688/leases/expired": 3,
        },
        line(),
    )
    writer.write({CALLS: 12}, line())
    reading = reader.read(60)
    assert len(reading.minutes) == 60
    assert reading.minutes[-1].at == reading.at.replace(second=0, microsecond=0)
    assert reading.minutes[0].at == reading.minutes[-1].at - timedelta(minutes=59)
    sums = {name: sum(getattr(each, name) for each in reading.minutes) for name in BY_MINUTE}
    assert sums == {"products": 7, "calls": 12, "errors": 3, "failed": 1, "expired": 3}


def test_old_minutes_are_forgotten(server: redis.Redis, reader: StatisticsReader) -> None:
    writer = writer_of(server)
    now = int(datetime.now(UTC).timestamp() // 60)
    server.hset(MINUTES, mapping={f"{now - ago} calls": 1 for ago in range(10, 2000)})
    server.hset(MINUTES, mapping={"no minute": 1, f"{now + 10_000} calls": 1})
    writer.write({CALLS: 1}, line())
    assert KEPT_MINUTES - 11 <= server.hlen(MINUTES) <= KEPT_MINUTES
    assert len([each for each in reader.read(KEPT_MINUTES).minutes if each.calls]) >= 168


def test_garbage_in_the_hashes_harms_nothing(server: redis.Redis, reader: StatisticsReader) -> None:
    writer = writer_of(server)
    writer.write({CALLS: 1, "ali1688/retries": 1, "ali1688/failed_calls": 1}, line())
    worker = writer._worker
    server.hset(
        TOTALS,
        mapping={
            f"product {CALLS}": "many",
            "product ali1688/retries": "inf",
            "product ali1688/failed_calls": "",
            "watch ali1688/calls": "nan",
            b"\xff\x00": "5",
            "": "5",
            "product <script>": "7",
        },
    )
    far = 9e15
    lines = [b"", b"5", b"[]", b"{", b"\xff", b"[" * 99_999, b'{"spider": "product"}']
    server.hset(LINES, mapping={f"garbage {n}": text for n, text in enumerate(lines)})
    members = {f"garbage {n}": far for n in range(len(lines))}
    server.zadd(WORKERS, {**members, "no line": far, "infinite": "inf", b"\xff": far})
    minute = int(datetime.now(UTC).timestamp() // 60)
    for each in (minute, minute + 1):
        server.hset(MINUTES, mapping={f"{each} calls": "x", f"{each} failed": "nan", "x": "y"})
    assert [each.line for each in reader.read().workers] == [line()]
    reader.read().totals["product"].pop("ali1688/failed_calls")

    writer.write({CALLS: 3, "ali1688/retries": 5, "ali1688/failed_calls": 4}, line())
    reading = reader.read()
    assert reading.totals["product"] == {CALLS: 2, "ali1688/retries": 4, "ali1688/failed_calls": 3}
    assert reading.totals["watch"] == {CALLS: 0}
    assert "<script>" not in str(reading.totals)
    assert reading.minutes[-1].calls == 2

    for garbage in (b"\xff", b"7", b"{}", b'{"sequence": "x", "totals": 1, "minutes": []}'):
        server.hset(ADDED, worker, garbage)
        writer.write({CALLS: 3}, line())
    server.hset(ADDED, worker, json.dumps({"sequence": 1, "totals": {CALLS: []}, "minutes": {}}))
    writer.write({CALLS: 3}, line())


@pytest.mark.parametrize("name", ["totals", "workers", "lines", "added", "minutes"])
def test_a_key_of_another_type_is_set_aside(
    name: str, server: redis.Redis, reader: StatisticsReader, caplog: pytest.LogCaptureFixture
) -> None:
    server.set(PREFIX + name, "somebody's")
    writer = writer_of(server)
    writer.write({CALLS: 1}, line())
    reading = reader.read()
    assert reading.totals == {"product": {CALLS: 1}}
    assert [each.line for each in reading.workers] == [line()]
    (aside,) = server.scan_iter(f"{PREFIX}{name}:broken:*")
    assert server.get(aside) == b"somebody's"
    [message] = caplog.messages
    assert message.startswith(f"The Redis key {PREFIX}{name} was a string")


def test_a_full_redis_takes_nothing_in_part(server: redis.Redis, reader: StatisticsReader) -> None:
    writer = writer_of(server)
    writer.write({CALLS: 1}, line())
    server.config_set("maxmemory", "1")
    try:
        with pytest.raises(RedisError, match="maxmemory"):
            writer.write({CALLS: 5, "ali1688/retries": 2}, line())
    finally:
        server.config_set("maxmemory", "0")
    assert reader.read().totals == {"product": {CALLS: 1}}
    writer.write({CALLS: 6, "ali1688/retries": 2}, line())
    assert reader.read().totals == {"product": {CALLS: 6, "ali1688/retries": 2}}


LINE = line().model_dump_json()


@pytest.mark.parametrize(
    ("changes", "is_read"),
    [
        ({"a field to come": [1]}, True),
        ({"job": "x" * 999}, True),
        ({"host": "\x1b[31m a\nb"}, True),
        ({"pid": -1}, False),
        ({"pid": 10**30}, False),
        ({"memory_bytes": 10**400}, False),
        ({"rate_per_second": float("nan")}, False),
        ({"seconds_left": float("inf")}, False),
        ({"seconds_left": -1e300}, False),
        ({"gauges": {"x": float("nan")}}, False),
        ({"started_at": "2026-11-29T10:00:05"}, False),
        ({"started_at": "0001-01-01T00:00:00+14:00"}, False),
        ({"started_at": "2026-11-29T18:00:05+08:00"}, True),
    ],
)
def test_lines_of_other_versions_and_of_others(changes: dict[str, Any], *, is_read: bool) -> None:
    read = WorkerLine.of(json.dumps({**json.loads(LINE), **changes}).encode())
    assert (read is not None) is is_read
    if read is not None:
        assert read.started_at == STARTED_AT
        assert read.started_at.utcoffset() == timedelta()
        assert len(read.job) <= 200
        assert read.host in {"here", "[31m a b"}


def test_a_line_needs_little() -> None:
    least = {"spider": "product", "host": "here", "pid": 1, "started_at": "2026-11-29T10:00:05Z"}
    assert WorkerLine.of(json.dumps(least).encode()) == line()
