"""Reads the state of an installation, from Redis, MongoDB and the token store.

Whatever the history, each reading does bounded work.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from scrapy.settings import BaseSettings
from scrapy.spiderloader import get_spider_loader

from ali1688_spider import __version__
from ali1688_spider.context import client_for, data_folder, redis_client
from ali1688_spider.delivery.webhook_outbox import WEBHOOK_OUTBOX
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.errors import TokenStoreError
from ali1688_spider.monitoring.problems import problems
from ali1688_spider.monitoring.state import (
    CrawlState,
    FailedCallsState,
    FailureReason,
    OutboxState,
    QuotaState,
    ServerState,
    State,
    TokenState,
    WatchState,
)
from ali1688_spider.quota.breaker import RedisOutage
from ali1688_spider.quota.limits import RedisQuota
from ali1688_spider.redaction import SecretRedactor
from ali1688_spider.redis_server import printable
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.spiders.watch import WatchSpider, open_watch_store, open_watcher
from ali1688_spider.statistics.sums import StatisticsReader
from ali1688_spider.storage.database import (
    CRAWLS,
    PENDING,
    PRODUCTS,
    SEEN_SECONDS,
    connect,
    mongo_retry,
)
from ali1688_spider.storage.database_errors import StoreUnavailableError, explain
from ali1688_spider.storage.failed_calls import failed_call_store, fold_error

if TYPE_CHECKING:
    from ali1688_spider.config import Config
    from ali1688_spider.scheduling.steering import QueueStatus
    from ali1688_spider.statistics.sums import Minute, StatisticsReading, WorkerLine
    from ali1688_spider.storage.failed_calls import FailedCall

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

SERVER_SECONDS = 6.0
"""How long a server may take to answer before it counts as away."""
SLOW_SECONDS = 20.0
"""Age at which is read again what changes slowly or is dear: freshness, tokens, reasons."""
RATE_MINUTES = 15
"""Full minutes from which is derived when the day's calls will be used up."""
CRAWLS_WITHIN = timedelta(days=1)
MOST_CRAWLS = 50
MOST_FAILED = 2000
"""Failed calls among which the most frequent reasons are looked for."""
MOST_REASONS = 10
LATEST_FAILED = 20
MOST_COUNTED = 100_000
MOST_SECONDS = 10**8
SILENT_AFTER = timedelta(seconds=3 * SEEN_SECONDS)


class StateReader:
    """Reads the state again and again; to be closed."""

    def __init__(self, settings: BaseSettings, config: Config) -> None:
        self._settings = settings
        self._config = config
        self._spiders = sorted(get_spider_loader(settings).list())
        self.redactor = SecretRedactor(config.secrets)
        self.redis = redis_client(config, settings)
        self.database = (
            connect(config.mongo_uri, config.mongo_database) if config.mongo_uri else None
        )
        retry = mongo_retry(is_closing=lambda: True)
        self.failed_calls = failed_call_store(self.database, retry, self.redis, data_folder())
        self._kept: dict[str, tuple[float, Any]] = {}
        self._latest: Sequence[FailedCall] = ()
        self._latest_of = 0

    async def close(self) -> None:
        """Close the connections."""
        if self.database is not None:
            await self.database.client.close()
        if self.redis is not None:
            self.redis.close()

    async def read(self) -> State:
        """Return the state; a server that is away makes it poorer and raises nothing."""
        state = State(at=datetime.now(UTC), version=__version__)
        if self.redis is not None:
            state = await self._read_redis(state)
        if self.database is not None:
            state = await self._read_mongo(state)
        state = await self._read_others(state)
        return replace(state, problems=tuple(problems(state)))

    async def _read_redis(self, state: State) -> State:
        try:
            async with asyncio.timeout(SERVER_SECONDS):
                queues, reading, quota = await asyncio.to_thread(self._ask_redis)
        except (RedisError, TimeoutError) as error:
            return replace(state, redis=ServerState("Redis", self._reason(error)))
        return replace(
            state,
            redis=ServerState("Redis"),
            queues=queues,
            workers=reading.workers,
            totals=reading.totals,
            minutes=reading.minutes,
            quota=quota,
            crawls=tuple(_crawl_of_line(each.line, reading.at) for each in reading.workers),
        )

    def _ask_redis(self) -> tuple[dict[str, QueueStatus], StatisticsReading, QuotaState]:
        key = self._settings.get("SCHEDULER_QUEUE_KEY") or QUEUE_KEY
        queues = {
            spider: LeaseQueue(self.redis, SimpleNamespace(name=spider), key).steering.status()
            for spider in self._spiders
        }
        reading = StatisticsReader(self.redis).read()
        config = self._config
        usage = RedisQuota(self.redis, config.app_key, config.qps, config.daily_quota).usage()
        is_away = bool(RedisOutage(self.redis, config.app_key).is_known())
        resets_at = _to_second(reading.at + timedelta(seconds=usage.reset_in))
        quota = QuotaState(
            usage.used, usage.daily_quota, resets_at, None, usage.paused_seconds, is_away
        )
        if quota.left is not None and _wanted(queues) > quota.left:
            ends_at = _used_up_at(reading.minutes, quota.left, reading.at)
            if ends_at is not None and ends_at < resets_at:
                quota = replace(quota, ends_at=ends_at)
        return queues, reading, quota

    async def _read_mongo(self, state: State) -> State:
        assert self.database is not None
        try:
            async with asyncio.timeout(SERVER_SECONDS):
                crawls = await self._crawls(state)
                outboxes = await self._slowly("outboxes", self._outboxes)
        except (PyMongoError, TimeoutError) as error:
            text = explain(error) if isinstance(error, PyMongoError) else self._reason(error)
            return replace(state, mongo=ServerState("MongoDB", self.redactor.redact(text)))
        return replace(state, mongo=ServerState("MongoDB"), crawls=crawls, outboxes=outboxes)

    async def _read_others(self, state: State) -> State:
        """Read what is kept in either server, or in files."""
        needed = state.mongo or state.redis
        failed = state.failed
        if needed is None or not needed.error:
            try:
                async with asyncio.timeout(SERVER_SECONDS):
                    failed = await self._failed(state.at)
            except (PyMongoError, RedisError, StoreUnavailableError, TimeoutError) as error:
                logger.debug("The failed calls cannot be counted: %s", error)
        watch, tokens = state.watch, state.tokens
        if state.redis is None or not state.redis.error:
            try:
                async with asyncio.timeout(SERVER_SECONDS):
                    watch = await self._slowly("watch", self._watch)
                    tokens = await self._slowly("tokens", self._tokens)
            except (RedisError, TimeoutError) as error:
                logger.debug("The watched products and the tokens are unknown: %s", error)
        return replace(state, failed=failed, watch=watch, tokens=tokens)

    async def _slowly(self, name: str, read: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return what *read* does, or did some seconds ago."""
        kept = self._kept.get(name)
        if kept is None or time.monotonic() - kept[0] > SLOW_SECONDS:
            kept = self._kept[name] = (time.monotonic(), await read())
        result: _Result = kept[1]
        return result

    async def _crawls(self, state: State) -> tuple[CrawlState, ...]:
        assert self.database is not None
        now = state.at
        lines = {each.line.name: each.line for each in state.workers}
        crawls = self.database[CRAWLS]
        since = {"$gte": now - CRAWLS_WITHIN}
        running = crawls.find({"finished_at": None, "last_seen": since}).sort("started_at", -1)
        ended = crawls.find({"finished_at": since}).sort("finished_at", -1)
        documents = await running.limit(MOST_CRAWLS).to_list()
        documents += await ended.limit(MOST_CRAWLS).to_list()
        return tuple(_crawl(document, now, lines) for document in documents)

    async def _outboxes(self) -> OutboxState:
        assert self.database is not None
        pending = await self.database[PRODUCTS].count_documents(
            {f"{PENDING}._id": {"$gt": ""}}, limit=MOST_COUNTED
        )
        if not self._config.delivery.webhook_url:
            return OutboxState(pending)
        outbox, waiting = self.database[WEBHOOK_OUTBOX], {"state": "waiting"}
        count = await outbox.count_documents(waiting, limit=MOST_COUNTED)
        oldest = await outbox.find_one(waiting, sort=[("change.at", 1)])
        return OutboxState(pending, count, oldest["change"]["at"] if oldest else None)

    async def _failed(self, now: datetime) -> FailedCallsState:
        store = self.failed_calls
        total = await store.count()
        if not total:
            return FailedCallsState()
        last_hour = await store.count(now - timedelta(hours=1))
        if total != self._latest_of:  # what was given up is read when there is more, or less
            self._latest, self._latest_of = await store.latest(MOST_FAILED), total
        latest = self._latest
        return FailedCallsState(
            total,
            last_hour,
            _reasons(latest),
            len(latest),
            tuple(_failed_call(each) for each in latest[:LATEST_FAILED]),
        )

    async def _watch(self) -> WatchState | None:
        try:
            with closing(open_watch_store(self._settings)) as store:
                watched, _ = await asyncio.to_thread(store.sample, 1)
        except ConfigurationError:  # nothing was ever watched here
            return None
        if not watched:
            return None
        watcher = open_watcher(self._settings, self._config)
        try:
            return WatchState(watched, await watcher.fraction_fresh())
        finally:
            await watcher.close()

    async def _tokens(self) -> TokenState | None:
        client = client_for(self._config, self.redis, self.redactor)
        try:
            await client.tokens.load()
        except TokenStoreError as error:
            logger.debug("The tokens cannot be read: %s", error)
            return None
        grant = client.tokens.grant
        if not (grant.access_token or grant.refresh_token):
            return None
        return TokenState(grant.expires_at, grant.refresh_expires_at, bool(grant.refresh_token))

    def _reason(self, error: Exception) -> str:
        text = str(error) or f"no answer within {SERVER_SECONDS:.0f} s"
        return printable(self.redactor.redact(text))


def _to_second(when: datetime) -> datetime:
    return datetime.fromtimestamp(round(when.timestamp()), UTC)


def _wanted(queues: Mapping[str, QueueStatus]) -> float:
    """Return how many calls the queues ask for today: without end where products are watched."""
    if queues[WatchSpider.name].counts.calls:
        return math.inf
    return sum(each.counts.calls + each.counts.messages for each in queues.values())


def _used_up_at(minutes: Sequence[Minute], left: int, now: datetime) -> datetime | None:
    """Return when *left* calls will be used up, at the rate of the last minutes."""
    recent = minutes[:-1][-RATE_MINUTES:]
    calls = sum(each.calls for each in recent)
    return now + timedelta(minutes=left * len(recent) / calls) if calls else None


def _crawl_of_line(line: WorkerLine, now: datetime) -> CrawlState:
    return CrawlState(
        spider=line.spider,
        worker=line.name,
        state="running",
        reason="",
        started_at=line.started_at,
        finished_at=None,
        arguments={},
        done=line.done,
        calls=line.calls,
        failed=line.failed,
        total=line.total,
        ends_at=_in_seconds(now, line.seconds_left),
    )


def _crawl(document: dict[str, Any], now: datetime, lines: Mapping[str, WorkerLine]) -> CrawlState:
    """Return the crawl of a document of ``crawls``; its line, if there is one, is younger."""
    finished_at, last_seen = document.get("finished_at"), document["last_seen"]
    worker = f"{document['host']}:{document['pid']}"
    line = lines.get(worker)
    arguments = document["arguments"]
    if not finished_at and line is not None and line.spider == document["spider"]:
        return replace(_crawl_of_line(line, now), arguments=arguments)
    state = "finished" if finished_at else "running"
    if not finished_at and now - last_seen > SILENT_AFTER:
        state, finished_at = "silent", last_seen
    stats = document["stats"]
    done = sum(stats.get(f"ali1688/items/{name}", 0) for name in ("stored", "unchanged"))
    return CrawlState(
        spider=document["spider"],
        worker=worker,
        state=state,
        reason=document.get("reason", ""),
        started_at=document["started_at"],
        finished_at=finished_at,
        arguments=arguments,
        done=done,
        calls=stats.get("ali1688/calls", 0),
        failed=stats.get("ali1688/failed_calls", 0),
    )


def _in_seconds(now: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else now + timedelta(seconds=min(seconds, MOST_SECONDS))


def _reasons(latest: Sequence[FailedCall]) -> tuple[FailureReason, ...]:
    counts = Counter(fold_error(each.error) for each in latest)
    first = {fold_error(each.error): each for each in reversed(latest)}  # the latest one stays
    return tuple(
        FailureReason(error, count, first[error].at, printable(first[error].call))
        for error, count in counts.most_common(MOST_REASONS)
    )


def _failed_call(failed: FailedCall) -> dict[str, Any]:
    return {
        "id": failed.id,
        "spider": failed.spider,
        "call": printable(failed.call),
        "error": failed.error,
        "attempts": failed.attempts,
        "at": failed.at,
    }
