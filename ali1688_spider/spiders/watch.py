"""``scrapy crawl watch``: collects products again and again, the often-changing ones more often."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator
from scrapy.settings import BaseSettings
from scrapy.utils.asyncio import run_in_thread
from scrapy_redis import connection

from ali1688_spider.addon import context_of
from ali1688_spider.config import read_setting
from ali1688_spider.context import data_folder
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest
from ali1688_spider.scheduling.keys import QUEUE_KEY, TYPES, QueueKeys
from ali1688_spider.spiders.product import IdArguments
from ali1688_spider.spiders.search import SearchArguments, SearchSpider
from ali1688_spider.watching.redis_store import RedisWatchStore
from ali1688_spider.watching.schedule import (
    DAY,
    MAX_INTERVAL,
    MIN_INTERVAL,
    OVERBOOKING,
    STRATEGIES,
    Budget,
)
from ali1688_spider.watching.sqlite_store import FILE_NAME, SqliteWatchStore
from ali1688_spider.watching.watcher import Watcher

if TYPE_CHECKING:
    from ali1688_spider.gateway.calls import Value
    from ali1688_spider.http import ApiResponse

AT_ONCE = 500
POLL_SECONDS = 0.2  # between looks at what is due; another process may add products

_QUEUE_PARTS = ("ready", "delayed", "leased", "scores", "attempts", "leases", "losses")
_SECONDS = "a number of seconds above 0"
_STRATEGY = f"one of {', '.join(STRATEGIES)}"


class WatchArguments(IdArguments, SearchArguments):
    """What ``-a`` may say to the spider ``watch``."""

    only_searches: ClassVar[bool] = False
    min_interval: float = Field(MIN_INTERVAL, gt=0, allow_inf_nan=False, description=_SECONDS)
    max_interval: float = Field(MAX_INTERVAL, gt=0, allow_inf_nan=False, description=_SECONDS)
    strategy: str = Field("adaptive", pattern=f"^({'|'.join(STRATEGIES)})$", description=_STRATEGY)

    @property
    def query(self) -> dict[str, Value]:
        """The search whose products are watched; empty for none."""
        return super().query | {"details": 1} if self.has_search else {}

    @model_validator(mode="after")
    def _check_intervals(self) -> Self:
        if self.min_interval > self.max_interval:
            raise ConfigurationError(
                f"min_interval ({self.min_interval:g} s) is above max_interval "
                f"({self.max_interval:g} s): set both"
            )
        return self


class WatchSpider(SearchSpider):
    """Keeps collecting the watched products.

    ``ids``, ``ids_file`` and a search add to them; what was added once stays watched. With Redis
    the queue itself is the schedule, so that any number of workers share it; without, a file is.

    Attributes:
        delays: With Redis, seconds until the next fetch of products that were just fetched.
    """

    name = "watch"
    arguments_class = WatchArguments
    arguments: WatchArguments
    uses_cache = False  # a cached response is no observation
    joins_crawl = False  # it never ends, so there is nothing to join or to resume
    outlasts_quota = True

    def __init__(self, **arguments: str) -> None:
        super().__init__(**arguments)
        self.source = self.arguments.source
        self.has_source = True
        self.delays: dict[int, float] = {}

    @cached_property
    def budget(self) -> Budget:
        """What watching may spend."""
        config, arguments = context_of(self.crawler).config, self.arguments
        # Nothing else keeps watching from using up the day's quota before its end.
        daily = config.daily_quota / DAY / OVERBOOKING or math.inf
        rate = min(config.qps or math.inf, daily)
        return Budget(rate, arguments.min_interval, arguments.max_interval)

    @cached_property
    def watcher(self) -> Watcher:
        """Decides when a product is fetched again."""
        context = context_of(self.crawler)
        store = self.file_store or open_redis_store(context.redis)
        return Watcher(store, self.arguments.strategy, self.budget, context.redis_retry)

    @cached_property
    def file_store(self) -> SqliteWatchStore | None:
        """The schedule in a file; None with Redis."""
        if context_of(self.crawler).config.redis_url:
            return None
        return SqliteWatchStore(data_folder() / FILE_NAME)

    async def calls(self) -> AsyncIterator[tuple[ApiCall, int]]:
        """Yield the calls that add products; without Redis, then those that are due, for ever."""
        await self.watcher.resume()
        if self.has_search:
            async for call in super().calls():
                yield call
        store = self.file_store
        async with aclosing(self.source.read(self) if store is None else self._due(store)) as ids:
            async for product_id in ids:
                yield ApiCall.product(product_id), 0

    async def _due(self, store: SqliteWatchStore) -> AsyncGenerator[int]:
        # Meanwhile, as the source may be a pipe that stays open.
        adding = asyncio.create_task(self._add_all(store))
        try:
            while True:
                due = await run_in_thread(store.take_due, AT_ONCE, self.budget.bounded(DAY))
                for product_id in due:
                    yield product_id
                if adding.done():
                    adding.result()
                if not due:
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            adding.cancel()

    async def _add_all(self, store: SqliteWatchStore) -> None:
        async with aclosing(self.source.read_batches(self)) as batches:
            async for batch in batches:
                await run_in_thread(store.add, batch)
        watched, _ = await run_in_thread(store.sample, 1)
        if not watched and not self.has_search:
            self.logger.warning(
                "No product is watched: add some with -a ids=610000000001,…, -a ids_file=FILE or "
                "-a keyword=…"
            )

    async def parse_page(self, response: ApiResponse, call: ApiCall) -> AsyncIterator[Any]:
        """Watch the products that a search found."""
        found = []
        async for output in super().parse_page(response, call):
            is_product = isinstance(output, ApiRequest) and output.call.operation == "product"
            if is_product and self.file_store:
                found.append(output.call.params["product_id"])
            else:
                yield output
        if self.file_store:
            self.file_store.add(found)

    def repeat_in(self, call: ApiCall) -> float | None:
        """Return the seconds until an acknowledged call is made again; None for a search's page."""
        if call.operation != "product":
            return None
        # A product whose fetch failed has no delay of its own.
        return self.delays.pop(int(call.params["product_id"]), self.budget.bounded(DAY))


def open_watch_store(settings: BaseSettings) -> RedisWatchStore | SqliteWatchStore:
    """Return the schedule that a watch with these settings has, for a command; to be closed.

    Raises:
        ConfigurationError: Nothing was ever watched here.
    """
    if read_setting(settings, "REDIS_URL"):
        return open_redis_store(connection.from_settings(settings))
    path = data_folder() / FILE_NAME
    if not path.exists():
        raise ConfigurationError(
            f"nothing is watched here, there is no {path}: run this where scrapy crawl watch runs, "
            "or set REDIS_URL to the Redis of its workers"
        )
    return SqliteWatchStore(path)


def open_redis_store(client: Any) -> RedisWatchStore:
    """Return the schedule in Redis, beside the spider's queue."""
    keys = QueueKeys.of(QUEUE_KEY % {"spider": WatchSpider.name})
    queue = {getattr(keys, part): getattr(TYPES, part) for part in _QUEUE_PARTS}
    return RedisWatchStore(client, queue)
