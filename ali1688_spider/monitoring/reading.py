"""Reads the state of an installation: of Redis, MongoDB, the token store, and files beside them.

Whatever the history, each reading does bounded work, and takes seconds when servers hang. What is
dear, or changes slowly, is read again after some seconds only.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from scrapy.settings import BaseSettings

from ali1688_spider import __version__
from ali1688_spider.context import client_for, data_folder, redis_client
from ali1688_spider.gateway.errors import TokenStoreError
from ali1688_spider.monitoring.crawl_states import crawl_states
from ali1688_spider.monitoring.mongo_reading import MongoStateReader, explain_mongo
from ali1688_spider.monitoring.one_at_a_time import SERVER_SECONDS, OneAtATime
from ali1688_spider.monitoring.problems import problems
from ali1688_spider.monitoring.redis_reading import RedisReading, RedisStateReader, explain_redis
from ali1688_spider.monitoring.state import (
    FailedCallsState,
    FailureReason,
    OutboxState,
    ServerState,
    State,
    TokenState,
    WatchState,
)
from ali1688_spider.redaction import SecretRedactor
from ali1688_spider.redis_server import printable
from ali1688_spider.spiders.watch import open_redis_store, watcher_of
from ali1688_spider.storage.database import connect, mongo_retry
from ali1688_spider.storage.database_errors import StoreUnavailableError
from ali1688_spider.storage.failed_calls import failed_call_store, fold_error
from ali1688_spider.watching.sqlite_store import FILE_NAME, SqliteWatchStore

if TYPE_CHECKING:
    from ali1688_spider.config import Config
    from ali1688_spider.monitoring.crawl_states import CrawlDocument
    from ali1688_spider.storage.failed_calls import FailedCall

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

SLOW_SECONDS = 20.0
"""Age at which is read again what changes slowly or is dear."""
MOST_FAILED = 2000
"""Failed calls among which the most frequent reasons are looked for."""
MOST_REASONS = 10
LATEST_FAILED = 20


class StateReader:
    """Reads the state again and again, in one event loop; to be closed.

    Attributes:
        redis: A blocking client; None without ``REDIS_URL``.
        database: None without ``MONGO_URI``.
        failed_calls: The calls that were given up.
        redactor: Knows the secrets, those in the servers' addresses too.
    """

    def __init__(self, settings: BaseSettings, config: Config) -> None:
        self._config = config
        self.redactor = SecretRedactor([*config.secrets, *_passwords(config)])
        self.redis = redis_client(config, settings)
        self.database = (
            connect(config.mongo_uri, config.mongo_database) if config.mongo_uri else None
        )
        retry = mongo_retry(is_closing=lambda: True)
        self.failed_calls = failed_call_store(self.database, retry, self.redis, data_folder())
        self._of_redis = RedisStateReader(settings, config, self.redis) if self.redis else None
        self._of_mongo = None if self.database is None else MongoStateReader(config, self.database)
        self._watching = OneAtATime(self._read_watch)
        self._kept: dict[str, tuple[float, Any]] = {}
        self._reasons: tuple[FailureReason, ...] = ()
        self._reasons_of: object = None
        self._considered = 0

    async def close(self) -> None:
        """Close the connections."""
        if self.database is not None:
            await self.database.client.close()
        if self.redis is not None:
            self.redis.close()

    async def read(self) -> State:
        """Return the state; a server that is away makes it poorer and raises nothing."""
        now = datetime.now(UTC)
        (redis, known), (mongo, documents, outboxes) = await asyncio.gather(
            self._read_redis(), self._read_mongo(now)
        )
        workers = known.statistics.workers if known else ()
        state = State(
            at=now,
            version=__version__,
            redis=redis,
            mongo=mongo,
            workers=workers,
            crawls=crawl_states(workers, documents, now),
            outboxes=outboxes,
        )
        if known is not None:
            state = replace(
                state,
                queues=known.queues,
                totals=known.statistics.totals,
                minutes=known.statistics.minutes,
                quota=known.quota,
            )
        failed, watch, tokens = await asyncio.gather(
            self._read_failed(state), self._try_watch(state), self._try_tokens(state)
        )
        state = replace(state, failed=failed, watch=watch, tokens=tokens)
        return replace(state, problems=tuple(problems(state)))

    async def _read_redis(self) -> tuple[ServerState | None, RedisReading | None]:
        if self._of_redis is None:
            return None, None
        try:
            reading = await self._of_redis.read()
        except (RedisError, TimeoutError) as error:
            return ServerState("Redis", self._clean(explain_redis(error))), None
        return ServerState("Redis"), reading

    async def _read_mongo(
        self, now: datetime
    ) -> tuple[ServerState | None, Sequence[CrawlDocument], OutboxState | None]:
        if self._of_mongo is None:
            return None, (), None
        try:
            async with asyncio.timeout(SERVER_SECONDS):
                documents = await self._of_mongo.crawls(now)
                outboxes = await self._slowly("outboxes", self._of_mongo.outboxes)
        except (PyMongoError, TimeoutError) as error:
            return ServerState("MongoDB", self._clean(explain_mongo(error))), (), None
        return ServerState("MongoDB"), documents, outboxes

    async def _read_failed(self, state: State) -> FailedCallsState:
        """Read the calls that were given up, where they are kept: in MongoDB, Redis or a file."""
        server = state.mongo or state.redis
        if server is not None and server.error:
            return FailedCallsState(error=f"{server.name} is away")
        try:
            async with asyncio.timeout(SERVER_SECONDS):
                if server is None:  # a file is read as a whole
                    return await self._slowly("failed", lambda: self._failed(state.at))
                return await self._failed(state.at)
        except (PyMongoError, RedisError, StoreUnavailableError, OSError) as error:
            is_mongo = isinstance(error, PyMongoError)
            return FailedCallsState(
                error=self._clean((explain_mongo if is_mongo else explain_redis)(error))
            )

    async def _failed(self, now: datetime) -> FailedCallsState:
        store = self.failed_calls
        total = await store.count()
        if not total:
            return FailedCallsState()
        last_hour = await store.count(now - timedelta(hours=1))
        latest = await store.latest(LATEST_FAILED)
        version = (total, [each.id for each in latest])
        if version != self._reasons_of:
            considered = await store.latest(MOST_FAILED)
            self._reasons, self._considered = _reasons(considered), len(considered)
            self._reasons_of = version
        shown = tuple(_failed_call(each) for each in latest)
        return FailedCallsState(total, last_hour, self._reasons, self._considered, shown)

    async def _try_watch(self, state: State) -> WatchState | None:
        if state.redis is not None and state.redis.error:
            return None
        try:
            return await self._slowly("watch", self._watching.run)
        except (RedisError, sqlite3.Error, OSError) as error:
            logger.debug("The watched products are unknown: %s", error)
            return None

    def _read_watch(self) -> WatchState | None:
        """Return how fresh the watched products are; it blocks."""
        path = data_folder() / FILE_NAME
        if self.redis is None and not path.exists():
            return None
        store = open_redis_store(self.redis) if self.redis else SqliteWatchStore(path)
        with closing(store):
            watched, _ = store.sample(1)
            if not watched:
                return None
            fresh = watcher_of(store, self._config).fraction_fresh_blocking()
            return WatchState(watched, fresh)

    async def _try_tokens(self, state: State) -> TokenState | None:
        if state.redis is not None and state.redis.error:
            return None
        try:
            async with asyncio.timeout(SERVER_SECONDS):
                return await self._slowly("tokens", self._tokens)
        except (TokenStoreError, TimeoutError) as error:
            logger.debug("The tokens are unknown: %s", error)
            return None

    async def _tokens(self) -> TokenState | None:
        client = client_for(self._config, self.redis, self.redactor)
        await client.tokens.load()
        grant = client.tokens.grant
        if not (grant.access_token or grant.refresh_token):
            return None
        return TokenState(grant.expires_at, grant.refresh_expires_at, bool(grant.refresh_token))

    async def _slowly(self, name: str, read: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return what *read* does, or did some seconds ago."""
        kept = self._kept.get(name)
        if kept is None or time.monotonic() - kept[0] > SLOW_SECONDS:
            kept = self._kept[name] = (time.monotonic(), await read())
        result: _Result = kept[1]
        return result

    def _clean(self, text: str) -> str:
        return printable(self.redactor.redact(text))


def _passwords(config: Config) -> Iterator[str]:
    """Yield the passwords in the addresses of the servers, as they stand there and as they are."""
    for url in (config.redis_url, config.mongo_uri):
        with suppress(ValueError):
            password = urlsplit(url).password or ""
            yield from {password, unquote(password)}


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
