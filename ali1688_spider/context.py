"""What all calls of a crawl share: credentials, protocol, APIs, clock, tokens, quota, stores."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scrapy import signals
from scrapy.utils.asyncio import run_in_thread
from scrapy.utils.conf import closest_scrapy_cfg
from scrapy_redis import connection

from ali1688_spider.cache.answer_cache import AnswerCache
from ali1688_spider.cache.disk_store import DiskAnswerStore
from ali1688_spider.cache.redis_store import RedisAnswerStore
from ali1688_spider.gateway.catalogue import choose_apis
from ali1688_spider.gateway.clock import GatewayClock
from ali1688_spider.gateway.errors import read_answer, transport_error
from ali1688_spider.gateway.protocols import wire_protocol
from ali1688_spider.gateway.tokens import (
    FileTokenStore,
    RedisTokenStore,
    TokenGrant,
    TokenKeeper,
    refresh_parameters,
)
from ali1688_spider.http import TokenRequest, text_headers
from ali1688_spider.quota.breaker import Breaker, MemoryOutageState, RedisOutageState
from ali1688_spider.quota.memory_quota import MemoryQuota
from ali1688_spider.quota.redis_quota import RedisQuota
from ali1688_spider.quota.slot_pacer import SlotPacer
from ali1688_spider.shutdown import Shutdown
from ali1688_spider.storage.database import connect, mongo_retry
from ali1688_spider.storage.failed_call_stores import failed_call_store
from ali1688_spider.storage.rejections import RejectionStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scrapy.crawler import Crawler

    from ali1688_spider.config import Config
    from ali1688_spider.gateway.calls import ApiCall
    from ali1688_spider.gateway.protocols import WireCall
    from ali1688_spider.gateway.tokens import TokenStore
    from ali1688_spider.redaction import SecretRedactor
    from ali1688_spider.retrying import ServerRetry
    from ali1688_spider.storage.database import Database
    from ali1688_spider.storage.failed_call import FailedCallStore


class CrawlContext:
    """One app's access to the platform, during one crawl.

    Attributes:
        config: The checked settings.
        apis: The APIs that are called for products and searches.
        clock: The gateway's time.
        tokens: The access token in use.
        shutdown: Ends the crawl early.
    """

    def __init__(self, config: Config, crawler: Crawler, redactor: SecretRedactor) -> None:
        self.config = config
        self.apis = choose_apis(config.protocol, config.product_api, config.search_api)
        self.clock = GatewayClock()
        self.shutdown = Shutdown(crawler)
        self._crawler = crawler
        self._redactor = redactor
        self._protocol = wire_protocol(config)
        crawler.signals.connect(self.close, signals.spider_closed)
        crawler.signals.connect(self._close_last, signals.engine_started)
        crawler.signals.connect(self.shutdown.end_incomplete, signals.spider_idle)

    @property
    def name(self) -> str:
        """What tells this account from others, without anything secret or changing.

        The app may act for one user or another, who may see other prices: a fingerprint of the
        configured tokens tells them apart.
        """
        config = self.config
        return f"{config.app_key}:{self.tokens.grant.origin[:16]}@{config.gateway}"

    @cached_property
    def redis(self) -> Any:
        """The client of Redis, one for the crawl, by scrapy-redis's settings."""
        return connection.from_settings(self._crawler.settings)

    @cached_property
    def tokens(self) -> TokenKeeper:
        """The access token in use, shared through Redis or kept in a file of the user's own."""
        config = self.config
        store = token_store(config, self.redis if config.redis_url else None)
        configured = TokenGrant.configured(config.access_token, config.refresh_token)
        return TokenKeeper(configured, store, self.clock, redactor=self._redactor)

    @cached_property
    def quota(self) -> SlotPacer:
        """When calls may be made: shared by all workers through Redis, else by this process."""
        config = self.config
        limits = (config.qps, config.daily_quota)
        if config.redis_url:
            return SlotPacer(RedisQuota(self.redis, config.app_key, *limits))
        return SlotPacer(MemoryQuota(*limits))

    @cached_property
    def breaker(self) -> Breaker:
        """Holds the calls back while the gateway takes none, those of all workers."""
        config = self.config
        state = (
            RedisOutageState(self.redis, config.app_key)
            if config.redis_url
            else MemoryOutageState()
        )
        return Breaker(state, count=self._crawler.stats.inc_value)

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
        redis = self.redis if self.config.redis_url else None
        return failed_call_store(self.database, self.mongo_retry, redis, data_folder())

    async def close(self) -> None:
        """Close the connections that the crawl has opened."""
        database = self.__dict__.get("database")
        if database is not None:
            await database.client.close()

    def _close_last(self) -> None:
        """Close after all that happens when the spider is closed; only a started engine stops."""
        self._crawler.signals.disconnect(self.close, signals.spider_closed)
        self._crawler.signals.connect(self.close, signals.engine_stopped)

    def open_cache(self, failed: Callable[[Exception], object]) -> AnswerCache:
        """Return the cache of answers: in Redis when there, else on disk.

        Args:
            failed: Is told why answers could not be kept.
        """
        store = (
            RedisAnswerStore(self.redis)
            if self.config.redis_url
            else DiskAnswerStore(data_folder() / "cache.sqlite")
        )
        return AnswerCache(store, self.config.cache_ttl, run_in_thread, failed)

    def address(self, call: ApiCall) -> str:
        """Return the URL that *call* goes to, without anything secret."""
        return self._protocol.address(self.apis.name(call))

    def sign(self, call: ApiCall) -> tuple[WireCall, str]:
        """Return *call*, signed at this moment, and the access token that it carries."""
        access_token = self.tokens.current()
        wire_call = self._protocol.sign(
            self.apis.name(call),
            self.apis.parameters(call),
            access_token=access_token,
            clock=self.clock,
        )
        return wire_call, access_token

    async def refresh_token(self, stale_token: str) -> None:
        """Replace the access token that the platform refused; once for all who ask.

        Raises:
            AuthorizationError: There is no refresh token, or the platform refuses it.
            CallError: The refresh failed otherwise; it may succeed later.
        """
        await self.tokens.refresh(stale_token, self._fetch_token)

    async def _fetch_token(self, refresh_token: str) -> Mapping[str, Any]:
        config = self.config
        parameters = refresh_parameters(
            config.app_key, config.app_secret, refresh_token=refresh_token
        )
        request = TokenRequest(token_address(config), formdata=parameters)
        self._crawler.stats.inc_value("ali1688/token/refreshes")
        try:
            response = await self._crawler.engine.download_async(request)
        except Exception as error:
            failure = transport_error(error)
            if failure is None:
                raise
            raise failure from None
        # The answer is an OAuth server's, whatever the protocol of the calls.
        headers = text_headers(response)
        answer: Mapping[str, Any] = read_answer("param2", response.status, headers, response.body)
        return answer


def data_folder() -> Path:
    """Return the folder for what crawls keep on this machine.

    It is Scrapy's own, ``.scrapy`` beside ``scrapy.cfg``; without a project, in the current folder.
    """
    project = closest_scrapy_cfg()
    folder = Path(project).parent if project else Path.cwd()
    return folder / ".scrapy" / "ali1688"


def token_store(config: Config, redis: Any) -> TokenStore:
    """Return where tokens are kept: in Redis when there is a client, else in a file."""
    if redis is not None:
        return RedisTokenStore(redis, config.app_key, config.app_secret)
    return FileTokenStore(data_folder() / "token.json")


def token_address(config: Config) -> str:
    """Return the URL of the token API: at the configured gateway, whatever the protocol."""
    gateway = config.gateway
    if config.protocol != "param2":
        parts = urlsplit(gateway)
        gateway = f"{parts.scheme}://{parts.netloc}/openapi"
    return f"{gateway}/param2/1/system.oauth2/getToken/{config.app_key}"
