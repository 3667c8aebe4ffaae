from __future__ import annotations

import json
import os
import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis

from ali1688_spider.context import client_for, data_folder
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.local_servers import start_mongo, start_redis
from ali1688_spider.monitoring import one_at_a_time, reading
from ali1688_spider.quota.breaker import RedisOutage
from ali1688_spider.quota.limits import RedisQuota
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.lease import QueueEntry
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.spiders.watch import open_redis_store
from ali1688_spider.statistics.sums import StatisticsWriter, WorkerLine
from ali1688_spider.storage.failed_calls import KEY, FailedCall
from ali1688_spider.watching.sqlite_store import FILE_NAME, SqliteWatchStore
from ali1688_spider.watching.watched_product import WatchedProduct
from tests.monitoring.conftest import APP_KEY
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ali1688_spider.local_servers import Server
    from ali1688_spider.monitoring.reading import StateReader
    from ali1688_spider.monitoring.state import State

    OpenReader = Callable[..., StateReader]

SECRET = "s3cret-p%40ssword"  # as it stands in an address
NOW = datetime.now(UTC)
WATCHED = WatchedProduct().fetched("0123456789ab", NOW.timestamp())[1].encode()


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def database(mongo_uri: str, mongo_database: str) -> Iterator[Any]:
    with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
        yield client[mongo_database]


@pytest.fixture
def mongo(mongo_uri: str, mongo_database: str) -> dict[str, str]:
    return {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Server]:
    server = start_redis(tmp_path / "redis", port=free_port())
    yield server
    thaw(server)
    server.kill()


@pytest.fixture
def own_mongo(tmp_path: Path) -> Iterator[Server]:
    server = start_mongo(tmp_path / "mongo", port=free_port())
    yield server
    thaw(server)
    server.kill()


def freeze(server: Server) -> None:
    os.killpg(server.process.pid, signal.SIGSTOP)


def thaw(server: Server) -> None:
    os.killpg(server.process.pid, signal.SIGCONT)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def failed(number: int, error: str = "tried 5 times", **values: Any) -> FailedCall:
    fields: dict[str, Any] = {
        "spider": "product",
        "call": str(number),
        "api": "alibaba.product.get",
        "params": {"product_id": number},
        "error": error,
        "attempts": 5,
        "at": datetime.now(UTC),
    }
    return FailedCall(**{**fields, **values})


def line(spider: str = "product", **values: Any) -> WorkerLine:
    return WorkerLine(spider=spider, host="here", pid=7, started_at=NOW, **values)


def crawl(pid: int, **values: Any) -> dict[str, Any]:
    return {
        "spider": "product",
        "host": "here",
        "pid": pid,
        "arguments": {},
        "started_at": NOW,
        "last_seen": datetime.now(UTC),
        "stats": {"ali1688/calls": 1},
        **values,
    }


async def test_an_installation_that_has_done_nothing(
    open_reader: OpenReader, redis_url: str, mongo: dict[str, str]
) -> None:
    state = await open_reader(REDIS_URL=redis_url, **mongo).read()
    assert state.problems == ()
    assert [server and server.error for server in (state.redis, state.mongo)] == ["", ""]
    assert [*state.queues] == ["product", "search", "watch"]
    assert (state.waiting, state.in_flight, state.oldest_waiting) == (0, 0, None)
    assert (state.workers, state.crawls, state.totals) == ((), (), {})
    assert len(state.minutes) == 60
    assert state.quota is not None
    assert (state.quota.used, state.quota.left, state.quota.ends_at) == (0, 100_000, None)
    assert timedelta() < state.quota.resets_at - state.at <= timedelta(days=1, seconds=1)
    assert (state.watch, state.tokens) == (None, None)
    assert (state.failed.total, state.failed.error) == (0, "")
    assert state.outboxes is not None
    assert state.outboxes.pending == 0


async def test_without_servers_there_are_files(open_reader: OpenReader) -> None:
    reader = open_reader()
    state = await reader.read()
    assert (state.redis, state.mongo, state.queues, state.quota) == (None, None, {}, None)
    assert (state.outboxes, state.watch, state.problems) == (None, None, ())

    await reader.failed_calls.keep_all([failed(1), failed(2, at=NOW - timedelta(hours=2))])
    store = SqliteWatchStore(data_folder() / FILE_NAME)
    store.add([1, 2, 3])
    store.save([(product_id, WATCHED, 60.0) for product_id in (1, 2, 3)])
    store.close()
    state = await open_reader().read()
    assert (state.failed.total, state.failed.last_hour) == (2, 1)
    assert state.watch is not None
    assert state.watch.products == 3
    assert state.watch.fraction_fresh == pytest.approx(1.0, abs=0.01)
    assert [problem.name for problem in state.problems] == ["CallsGivenUp"]


async def test_a_broken_file_of_the_watch_is_no_end(open_reader: OpenReader) -> None:
    data_folder().mkdir(parents=True)
    (data_folder() / FILE_NAME).write_bytes(b"no database" * 1000)
    state = await open_reader().read()
    assert (state.watch, state.problems) == (None, ())


async def test_what_redis_knows(
    open_reader: OpenReader, redis_url: str, server: redis.Redis
) -> None:
    queue = LeaseQueue(server, SimpleNamespace(name="product"), QUEUE_KEY, lease_seconds=60)
    queue.push(QueueEntry(ApiCall.product(number)) for number in range(1, 6))
    queue.push_later(ApiCall.product(9), 100)
    queue.heartbeat()
    queue.lease(2)
    server.lpush("product:start_urls", 7)
    StatisticsWriter(server, "product", 60).write({"ali1688/calls": 12}, line(seconds_left=60.0))
    RedisQuota(server, APP_KEY, 0, 1000).reserve(40)
    open_redis_store(server).save([(1, WATCHED, 60.0)])
    server.hset("{watch:start_urls}:watched", "1", WATCHED)
    reader = open_reader(REDIS_URL=redis_url, ALI1688_DAILY_QUOTA="1000")
    await reader.failed_calls.keep_all([failed(number) for number in range(30)])

    state = await reader.read()
    product = state.queues["product"]
    assert (product.counts.ready, product.counts.delayed, product.counts.leased) == (3, 1, 2)
    assert (product.waiting, product.overdue) == (4, 0)
    assert (state.waiting, state.in_flight) == (4, 2)
    assert state.oldest_waiting is not None
    assert [each.line.name for each in state.workers] == ["here:7"]
    assert [(crawl.worker, crawl.state) for crawl in state.crawls] == [("here:7", "running")]
    assert state.crawls[0].ends_at is not None
    assert state.totals == {"product": {"ali1688/calls": 12}}
    assert sum(minute.calls for minute in state.minutes) == 12
    assert state.quota is not None
    assert (state.quota.used, state.quota.left, state.quota.is_gateway_away) == (40, 960, False)
    assert state.watch is not None
    assert state.watch.products == 1
    assert (state.failed.total, state.failed.last_hour, state.failed.considered) == (30, 30, 30)
    assert len(state.failed.latest) == 20

    RedisOutage(server, APP_KEY).begin()
    RedisQuota(server, APP_KEY, 0, 1000).pause(60)
    state = await reader.read()
    names = [problem.name for problem in state.problems]
    assert names == ["GatewayAway", "PlatformPause", "CallsGivenUp"]


async def test_the_days_calls_will_not_last(
    open_reader: OpenReader, redis_url: str, server: redis.Redis
) -> None:
    queue = LeaseQueue(server, SimpleNamespace(name="product"), QUEUE_KEY)
    queue.push(QueueEntry(ApiCall.product(number)) for number in range(1, 61))
    RedisQuota(server, APP_KEY, 0, 100).reserve(40)
    reader = open_reader(REDIS_URL=redis_url, ALI1688_DAILY_QUOTA="100")
    assert (await reader.read()).problems == ()
    now: Any = server.time()
    minutes = {f"{now[0] // 60 - ago} calls": 6000 for ago in (1, 2)}
    server.hset("{ali1688:statistics}:minutes", mapping=minutes)
    assert (await reader.read()).problems == ()  # 60 are left, for 60
    queue.push([QueueEntry(ApiCall.product(61))])
    state = await reader.read()
    assert [problem.name for problem in state.problems] == ["QuotaGoneEarly"]
    assert state.quota is not None
    assert state.quota.ends_at is not None
    assert state.quota.ends_at - state.at < timedelta(seconds=10)


async def test_what_mongodb_knows(
    open_reader: OpenReader, mongo: dict[str, str], database: Any
) -> None:
    now = datetime.now(UTC)
    database.crawls.insert_many(
        [
            *(crawl(pid, finished_at=now, reason="finished") for pid in range(100, 180)),
            *(crawl(pid) for pid in range(200, 280)),
            crawl(1, last_seen=now - timedelta(minutes=5), started_at=now - timedelta(hours=1)),
            crawl(2, last_seen=now - timedelta(days=2)),
            crawl(3, finished_at=now - timedelta(days=2)),
            {"spider": "no crawl", "finished_at": now},
        ]
    )
    pending = [{"_id": "a change", "at": now}]
    database.products.insert_many([{"_id": 1, "pending_changes": pending}, {"_id": 2}])
    change = {"_id": "1", "state": "waiting", "change": {"at": now - timedelta(hours=1)}}
    later = {"_id": "2", "state": "waiting", "change": {"at": now}}
    garbage = {"_id": "3", "state": "waiting", "change": {"at": "noon"}}
    database.webhook_outbox.insert_many([later, change, garbage])
    webhook = {
        "ALI1688_WEBHOOK_URL": "https://example.com/",
        "ALI1688_WEBHOOK_SECRET": "webhook-secret",
    }
    reader = open_reader(**mongo, **webhook)
    await reader.failed_calls.keep_all([failed(1)])
    state = await reader.read()
    assert state.redis is None
    assert len(state.crawls) <= 100
    assert {each.state for each in state.crawls} == {"running", "finished"}
    assert all(int(each.worker.partition(":")[2]) >= 100 for each in state.crawls)
    assert state.outboxes is not None
    assert (state.outboxes.pending, state.outboxes.webhook_waiting) == (1, 2)
    assert state.outboxes.webhook_oldest_at == change["change"]["at"].replace(  # type: ignore[index]
        microsecond=change["change"]["at"].microsecond // 1000 * 1000  # type: ignore[index]
    )
    assert state.failed.total == 1
    assert [problem.name for problem in state.problems] == ["CallsGivenUp", "WebhookWaits"]

    database.crawls.delete_many({"pid": {"$gte": 100}})
    state = await reader.read()
    assert [(each.worker, each.state) for each in state.crawls] == [("here:1", "silent")]
    assert "CrawlKilled" in [problem.name for problem in state.problems]


async def test_the_reasons_follow_what_was_given_up(
    open_reader: OpenReader, redis_url: str
) -> None:
    reader = open_reader(REDIS_URL=redis_url)
    store = reader.failed_calls
    calls = [failed(number, f"code {number}: refused") for number in range(5)]
    await store.keep_all([*calls, failed(9, "another", at=NOW - timedelta(hours=3))])
    state = await reader.read()
    assert [(each.error, each.count) for each in state.failed.reasons] == [
        ("code #: refused", 5),
        ("another", 1),
    ]
    assert state.failed.reasons[0].last_at == calls[-1].at
    assert state.failed.reasons[0].example == "4"
    # As many as before, and others.
    await store.remove(calls)
    await store.keep_all([failed(number, "third") for number in range(5)])
    state = await reader.read()
    assert [each.error for each in state.failed.reasons] == ["third", "another"]
    assert {each["error"] for each in state.failed.latest} == {"third", "another"}


async def test_failed_calls_that_cannot_be_read_are_unknown(
    open_reader: OpenReader, redis_url: str, server: redis.Redis
) -> None:
    server.set(KEY, "somebody's")
    state = await open_reader(REDIS_URL=redis_url).read()
    assert state.failed.error.startswith("WRONGTYPE")
    assert state.failed.total == 0


async def test_what_is_dear_is_read_again_after_some_seconds(
    open_reader: OpenReader,
    mongo: dict[str, str],
    database: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(reading, "time", SimpleNamespace(monotonic=lambda: now))
    reader = open_reader(**mongo)

    async def pending() -> int:
        outboxes = (await reader.read()).outboxes
        assert outboxes is not None
        return outboxes.pending

    assert await pending() == 0
    database.products.insert_one({"_id": 1, "pending_changes": [{"_id": "a change"}]})
    assert await pending() == 0
    now += reading.SLOW_SECONDS + 1
    assert await pending() == 1


async def test_redis_is_away(open_reader: OpenReader, mongo: dict[str, str]) -> None:
    state = await open_reader(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0", **mongo).read()
    assert state.redis is not None
    assert state.redis.error.startswith("Error 111 connecting to 127.0.0.1")
    assert (state.queues, state.quota, state.watch, state.tokens) == ({}, None, None, None)
    assert state.outboxes is not None
    assert state.failed.error == ""  # they are in MongoDB
    assert [problem.name for problem in state.problems] == ["RedisAway"]
    json.dumps(state.as_json())


async def test_mongodb_is_away(
    open_reader: OpenReader, redis_url: str, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ali1688_spider.storage.database.SELECTION_SECONDS", 0.2)
    StatisticsWriter(server, "product", 60).write({}, line())
    uri = f"mongodb://127.0.0.1:{free_port()}/"
    state = await open_reader(REDIS_URL=redis_url, MONGO_URI=uri).read()
    assert state.mongo is not None
    assert "Connect call failed" in state.mongo.error
    assert [crawl.worker for crawl in state.crawls] == ["here:7"]
    assert state.outboxes is None
    assert state.failed.error == "MongoDB is away"
    assert [problem.name for problem in state.problems] == ["MongoDBAway"]


@pytest.mark.parametrize("password", ["", SECRET])
async def test_a_redis_refuses_the_password(
    own_redis: Server, open_reader: OpenReader, password: str
) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("requirepass", "another")
    address = own_redis.url.removeprefix("redis://")
    state = await open_reader(REDIS_URL=f"redis://:{password}@{address}").read()
    assert state.redis is not None
    reason = "it refuses the user name or the password of REDIS_URL, or misses them there"
    assert state.redis.error == reason
    assert [problem.name for problem in state.problems] == ["RedisAway"]
    assert_has_no(state, SECRET, "s3cret-p@ssword")


def assert_has_no(state: State, *secrets: str) -> None:
    text = json.dumps(state.as_json()) + repr(state)
    assert [secret for secret in secrets if secret in text] == []


async def test_secrets_are_nowhere_in_the_state(
    open_reader: OpenReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ali1688_spider.storage.database.SELECTION_SECONDS", 0.2)
    reader = open_reader(
        REDIS_URL=f"redis://:{SECRET}@127.0.0.1:{free_port()}",
        MONGO_URI=f"mongodb://user:{SECRET}@127.0.0.1:{free_port()}/",
        ALI1688_ACCESS_TOKEN="the-access-token",
        ALI1688_REFRESH_TOKEN="the-refresh-token",
    )
    secrets = (SECRET, "s3cret-p@ssword", "the-app-secret", "the-access", "the-refresh")
    state = await reader.read()
    assert [problem.name for problem in state.problems] == ["RedisAway", "MongoDBAway"]
    assert_has_no(state, *secrets)

    # A server, or what is between, may repeat anything.
    def refuse(*_: object, **__: object) -> None:
        raise redis.ResponseError(f"unknown: AUTH s3cret-p@ssword HELLO {SECRET}")

    reader.redis.execute_command = refuse
    state = await reader.read()
    assert state.redis is not None
    assert state.redis.error == "unknown: AUTH *** HELLO ***"
    assert_has_no(state, *secrets)


async def test_tokens(open_reader: OpenReader, redis_url: str) -> None:
    reader = open_reader(
        REDIS_URL=redis_url, ALI1688_ACCESS_TOKEN="an-access-token", ALI1688_REFRESH_TOKEN="a-token"
    )
    state = await reader.read()
    assert state.tokens is not None
    assert (state.tokens.can_refresh, state.tokens.ends_at) == (True, None)
    keeper = client_for(reader._config, reader.redis).tokens
    await keeper.load()
    ends = (datetime.now(UTC) + timedelta(hours=3)).strftime("%Y%m%d%H%M%S000+0000")
    await keeper.adopt(
        {
            "access_token": "another-token",
            "expires_in": "36000",
            "refresh_token": "one-to-refresh",
            "refresh_token_timeout": ends,
        }
    )
    reader._kept.clear()
    state = await reader.read()
    assert state.tokens is not None
    assert state.tokens.expires_at is not None
    assert state.tokens.ends_at is not None
    assert timedelta(hours=2) < state.tokens.ends_at - state.at <= timedelta(hours=3)
    assert [problem.name for problem in state.problems] == ["TokenEnds"]
    assert "token" not in json.dumps(state.as_json()).replace('"tokens"', "")


async def test_a_redis_that_hangs_piles_nothing_up(
    open_reader: OpenReader, own_redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = open_reader(REDIS_URL=own_redis.url)
    assert (await reader.read()).problems == ()
    monkeypatch.setattr(one_at_a_time.OneAtATime.run, "__defaults__", (0.05,))
    freeze(own_redis)
    threads, files = threading.active_count(), open_files()
    for _ in range(20):
        state = await reader.read()
        assert state.redis is not None
        assert state.redis.error.startswith("no answer within")
        assert [problem.name for problem in state.problems] == ["RedisAway"]
    assert threading.active_count() <= threads + 1
    assert open_files() <= files + 2
    thaw(own_redis)
    monkeypatch.undo()
    assert (await reader.read()).problems == ()


async def test_a_mongodb_that_hangs_piles_nothing_up(
    open_reader: OpenReader, own_mongo: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = open_reader(MONGO_URI=own_mongo.url)
    assert (await reader.read()).problems == ()
    monkeypatch.setattr(reading, "SERVER_SECONDS", 0.05)
    freeze(own_mongo)
    threads, files = threading.active_count(), open_files()
    for _ in range(20):
        state = await reader.read()
        assert state.mongo is not None
        assert state.mongo.error.startswith("no answer within")
    assert threading.active_count() <= threads + 2
    assert open_files() <= files + 5
    thaw(own_mongo)
    monkeypatch.undo()
    assert (await reader.read()).problems == ()


async def test_days_of_reading_leave_nothing_open(
    open_reader: OpenReader,
    redis_url: str,
    server: redis.Redis,
    mongo: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "SLOW_SECONDS", -1.0)  # all of it each time
    open_redis_store(server).save([(1, WATCHED, 60.0)])
    server.hset("{watch:start_urls}:watched", "1", WATCHED)
    reader = open_reader(REDIS_URL=redis_url, ALI1688_ACCESS_TOKEN="a-token", **mongo)
    for _ in range(20):
        await reader.read()

    def connections() -> int:
        """Return how many there were, closed ones too."""
        statistics: Any = server.info("stats")
        number: int = statistics["total_connections_received"]
        return number

    files, connected = open_files(), connections()
    for _ in range(180):
        await reader.read()
    assert open_files() <= files
    assert connections() == connected
