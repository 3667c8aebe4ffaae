"""What the components of one crawl share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.settings import BaseSettings
from scrapy.utils.conf import closest_scrapy_cfg
from scrapy_redis import connection

from ali1688_spider.cache import DiskStore, RedisStore, ResponseCache
from ali1688_spider.gateway.client import Client
from ali1688_spider.gateway.response import transport_error
from ali1688_spider.gateway.token_stores import FileTokenStore, RedisTokenStore
from ali1688_spider.http import TokenRequest, wire_response
from ali1688_spider.quota.breaker import CircuitBreaker, MemoryOutage, RedisOutage
from ali1688_spider.quota.limits import MemoryQuota, RedisQuota
from ali1688_spider.quota.rate_limiter import RateLimiter
from ali1688_spider.retrying import ServerRetry, redis_outage
from ali1688_spider.shutdown import CrawlClosingError, Shutdown
from ali1688_spider.storage.database import connect, mongo_retry
from ali1688_spider.storage.failed_calls import failed_call_store
from ali1688_spider.storage.rejections import RejectionStore

if TYPE_CHECKING:
    from ali1688_spider.config import Config
    from ali1688_spider.gateway.protocols import WireCall, WireResponse
    from ali1688_spider.redaction import SecretRedactor
    from ali1688_spider.storage.database import Database
    from ali1688_spider.storage.failed_calls import FailedCallStore


class CrawlContext:
    """What the components of one crawl share; each part is made when it is first asked for.

    Attributes:
        config: The checked settings.
        redactor: Knows the secrets that no log and no database may show.
        shutdown: Ends the crawl early.
        next_day_at: When, on the monotonic clock, a crawl goes on that has no calls left today.
        destinations: Where pipelines store products, as the closing line says it.
    """

    def __init__(self, config: Config, crawler: Crawler, redactor: SecretRedactor) -> None:
        self.config = config
        self.shutdown = Shutdown(crawler)
        self.next_day_at = 0.0
        self.destinations: list[str] = []
        self._crawler = crawler
        self.redactor = redactor
        crawler.signals.connect(self.close, signals.spider_closed)
        crawler.signals.connect(self._close_last, signals.engine_started)
        crawler.signals.connect(self.shutdown.end_incomplete, signals.spider_idle)

    @cached_property
    def client(self) -> Client:
        """Signs calls, refreshes the access token, knows the gateway's time, reads responses."""
        return client_for(self.config, self.redis, self.redactor, transport=self._send)

    @cached_property
    def redis(self) -> Any:
        """The one blocking client of Redis, by scrapy-redis's settings; None without REDIS_URL."""
        return redis_client(self.config, self._crawler.settings)

    @cached_property
    def redis_retry(self) -> ServerRetry:
        """Waits for a Redis that is away."""
        return ServerRetry(
            "Redis",
            redis_outage,
            on_wait=lambda: self._crawler.stats.inc_value("ali1688/redis/errors"),
            is_closing=lambda: self.shutdown.in_progress,
            on_give_up=CrawlClosingError,
            grace_seconds=0,  # a call that cannot be counted is given back at once
        )

    @cached_property
    def quota(self) -> RateLimiter:
        """When calls may be made: shared by all workers through Redis, else by this process."""
        config, redis = self.config, self.redis
        limits = (config.qps, config.daily_quota)
        quota = RedisQuota(redis, config.app_key, *limits) if redis else MemoryQuota(*limits)
        return RateLimiter(quota, self.redis_retry)

    @cached_property
    def breaker(self) -> CircuitBreaker:
        """Holds back the calls of all workers while the gateway is away."""
        redis = self.redis
        outage = RedisOutage(redis, self.config.app_key) if redis else MemoryOutage()
        return CircuitBreaker(outage, count=self._crawler.stats.inc_value)

    @cached_property
    def database(self) -> Database | None:
        """The database of ``MONGO_URI``, with one client for the crawl; None without."""
        config = self.config
        return connect(config.mongo_uri, config.mongo_database) if config.mongo_uri else None

    @cached_property
    def mongo_retry(self) -> ServerRetry:
        """Repeats operations while MongoDB is away; ``ali1688/storage/waits`` counts the waits."""
        return mongo_retry(
            on_wait=lambda: self._crawler.stats.inc_value("ali1688/storage/waits"),
            is_closing=lambda: self.shutdown.in_progress,
        )

    @cached_property
    def rejections(self) -> RejectionStore | None:
        """Where rejected responses are kept; None without a database."""
        return None if self.database is None else RejectionStore(self.database, self.mongo_retry)

    @cached_property
    def failed_calls(self) -> FailedCallStore:
        """Where calls are kept that were given up."""
        return failed_call_store(self.database, self.mongo_retry, self.redis, data_folder())

    def waits(self) -> Iterator[str]:
        """Yield what keeps the crawl at this moment, since when or until when."""
        made = self.__dict__  # what nobody has asked for keeps nothing
        for retry in [*made.values()]:
            if isinstance(retry, ServerRetry) and retry.is_away:
                yield f"{retry.server}, which is away since {clock_time(-retry.away_seconds)}"
        if (breaker := made.get("breaker")) is not None and breaker.outage is not None:
            subject, seconds = breaker.outage
            yield f"{subject[0].lower()}{subject[1:]}, which is away since {clock_time(-seconds)}"
        if (quota := made.get("quota")) is not None and quota.is_paused:
            yield f"the platform's pause until {clock_time(quota.pause_left)}: lower ALI1688_QPS"
        if self.next_day_at > time.monotonic():
            until = clock_time(self.next_day_at - time.monotonic())
            yield f"the next day's calls, from {until} on"

    async def close(self) -> None:
        """Close the connections that the crawl has opened."""
        if (database := self.__dict__.get("database")) is not None:
            await database.client.close()

    def _close_last(self) -> None:
        """Close after all that happens when the spider is closed; only a started engine stops."""
        self._crawler.signals.disconnect(self.close, signals.spider_closed)
        self._crawler.signals.connect(self.close, signals.engine_stopped)

    def open_cache(self, on_error: Callable[[Exception], object]) -> ResponseCache:
        """Return the cache of responses: in Redis when there, else on disk."""
        return ResponseCache(self.open_store("cache.sqlite"), self.config.cache_ttl, on_error)

    def open_store(self, file: str) -> RedisStore | DiskStore:
        """Return what keeps things for a while: Redis when there, else this file."""
        return RedisStore(self.redis) if self.redis else DiskStore(data_folder() / file)

    async def _send(self, call: WireCall) -> WireResponse:
        """Send the client's own calls, which are requests for a token, by Scrapy's downloader."""
        request = TokenRequest(
            call.url, method=call.http_method, body=call.body, headers=call.headers
        )
        self._crawler.stats.inc_value("ali1688/token/refreshes")
        try:
            response = await self._crawler.engine.download_async(request)
        except Exception as error:
            if (failure := transport_error(error)) is None:
                raise
            raise failure from None
        return wire_response(request, response)


def client_for(
    config: Config, redis: Any, redactor: SecretRedactor | None = None, **options: Any
) -> Client:
    """Return the client that *config* describes; *options* are further ones of its own.

    Its tokens are shared through *redis*; without one, they are kept in a file of the user's own.
    """
    key, secret = config.app_key, config.app_secret
    in_file = data_folder() / "token.json"
    return Client(
        app_key=key,
        app_secret=secret,
        access_token=config.access_token,
        refresh_token=config.refresh_token,
        protocol=config.protocol,
        gateway=config.gateway,
        sign_method=config.sign_method,
        http_method=config.http_method,
        product_api=config.product_api,
        search_api=config.search_api,
        country=config.country,
        token_store=RedisTokenStore(redis, key, secret) if redis else FileTokenStore(in_file),
        redactor=redactor,
        **options,
    )


def redis_client(config: Config, settings: BaseSettings) -> Any:
    """Return a blocking client of Redis, by scrapy-redis's settings; None without REDIS_URL."""
    return connection.from_settings(settings) if config.redis_url else None


def data_folder() -> Path:
    """Return the folder for what crawls keep on this machine.

    It is Scrapy's own, ``.scrapy`` beside ``scrapy.cfg``; without a project, in the current folder.
    """
    project = closest_scrapy_cfg()
    folder = Path(project).parent if project else Path.cwd()
    return folder / ".scrapy" / "ali1688"


def clock_time(seconds: float) -> str:
    """Return the time, here, in so many seconds from now: ``12:45:00``, ``11-30 00:00``."""
    now = datetime.now().astimezone()
    moment = now + timedelta(seconds=seconds)
    return moment.strftime("%H:%M:%S" if moment.date() == now.date() else "%m-%d %H:%M")
