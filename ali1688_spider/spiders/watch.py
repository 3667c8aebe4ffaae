"""``scrapy crawl watch``: collects products again and again, the often-changing ones more often."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator
from redis.exceptions import RedisError
from scrapy.utils.asyncio import run_in_thread

from ali1688_spider.addon import context_of
from ali1688_spider.context import data_folder
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest
from ali1688_spider.retrying import ServerRetry, redis_outage
from ali1688_spider.spiders.product import IdArguments
from ali1688_spider.spiders.search import SEARCH_ARGUMENTS, SearchArguments, SearchSpider
from ali1688_spider.watching.redis_store import RedisWatchStore
from ali1688_spider.watching.sqlite_store import FILE_NAME, SqliteWatchStore
from ali1688_spider.watching.strategies import (
    MAX_INTERVAL,
    MIN_INTERVAL,
    OVERBOOKING,
    STRATEGIES,
    Budget,
)
from ali1688_spider.watching.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
    from typing import Self

    from ali1688_spider.config import Config
    from ali1688_spider.gateway.calls import Value
    from ali1688_spider.http import ApiResponse
    from ali1688_spider.items import Product
    from ali1688_spider.watching.schedule import Outcome

DAY = 86_400.0
AT_ONCE = 500
LONGEST_SLEEP = 1.0  # seconds; another process may add products meanwhile


_SECONDS = "a number of seconds above 0"


class WatchArguments(IdArguments, SearchArguments):
    """What ``-a`` may say to the spider ``watch``."""

    min_interval: float = Field(MIN_INTERVAL, gt=0, allow_inf_nan=False, description=_SECONDS)
    max_interval: float = Field(MAX_INTERVAL, gt=0, allow_inf_nan=False, description=_SECONDS)
    strategy: str = "adaptive"

    @property
    def query(self) -> dict[str, Value]:
        """The search whose products are watched; empty for none."""
        query = super().query
        return query | {"details": 1} if query else {}

    @model_validator(mode="after")
    def _check_all(self) -> Self:
        if self.strategy not in STRATEGIES:
            raise ConfigurationError(
                f"strategy is {self.strategy!r}: set it to one of {', '.join(STRATEGIES)}"
            )
        if self.min_interval > self.max_interval:
            raise ConfigurationError(
                f"min_interval ({self.min_interval:g} s) is above max_interval "
                f"({self.max_interval:g} s): set both"
            )
        return self

    def check_config(self, config: Config, given: Collection[str]) -> None:
        """Refuse what the API cannot search by."""
        if SEARCH_ARGUMENTS & {*given}:
            self.check_search(config)


class WatchSpider(SearchSpider):
    """Keeps collecting the watched products.

    ``ids``, ``ids_file`` and a search add to them; what was added once stays watched. With Redis
    the queue itself is the schedule, so that any number of workers share it; without, a file is.

    """

    name = "watch"
    arguments_class = WatchArguments
    arguments: WatchArguments
    uses_cache = False  # a cached answer is no observation
    joins_crawl = False  # it never ends, so there is nothing to join or to resume
    outlasts_quota = True

    def __init__(self, **arguments: str) -> None:
        super().__init__(**arguments)
        self.source = self.arguments.source
        self.searches = bool(self.query)
        self.has_source = True
        self._appointments: dict[int, float] = {}
        self._strategy = self.arguments.strategy
        self._intervals = (self.arguments.min_interval, self.arguments.max_interval)

    @cached_property
    def watcher(self) -> Watcher:
        """Decides when a product is fetched again."""
        config = context_of(self.crawler).config
        # Nothing but this holds calls back that the day's quota would run out of.
        daily = config.daily_quota / DAY / OVERBOOKING or math.inf
        budget = Budget(min(config.qps or math.inf, daily), *self._intervals)
        return Watcher(self._store, STRATEGIES[self._strategy](budget), self._run)

    @cached_property
    def _store(self) -> RedisWatchStore | SqliteWatchStore:
        context = context_of(self.crawler)
        if context.config.redis_url:
            return RedisWatchStore(context.redis, self.name)
        return SqliteWatchStore(data_folder() / FILE_NAME)

    @cached_property
    def _redis_retry(self) -> ServerRetry:
        count = partial(self.crawler.stats.inc_value, "ali1688/redis/errors")
        return ServerRetry("Redis", redis_outage, on_wait=count)

    async def calls(self) -> AsyncIterator[tuple[ApiCall, int]]:
        """Yield the calls that add products; without Redis, then those that are due, for ever."""
        await self._run(self._store.resume, self._intervals[1])
        if self.searches:
            async for call in super().calls():
                yield call
        if isinstance(self._store, RedisWatchStore):
            async for product_id in self.source.read(self):
                yield ApiCall.product(product_id), 0
            return
        async with aclosing(self._due(self._store)) as due:
            async for product_id in due:
                yield ApiCall.product(product_id), 0

    async def _due(self, store: SqliteWatchStore) -> AsyncGenerator[int]:
        # Meanwhile, as the source may be a pipe that stays open.
        adding = asyncio.create_task(self._add_all(store))
        try:
            while True:
                due = await run_in_thread(store.take_due, AT_ONCE, self.fallback_interval)
                for product_id in due:
                    yield product_id
                if adding.done():
                    adding.result()
                if not due:
                    wait = await run_in_thread(store.next_due)
                    await asyncio.sleep(LONGEST_SLEEP if wait is None else min(LONGEST_SLEEP, wait))
        finally:
            adding.cancel()

    async def _add_all(self, store: SqliteWatchStore) -> None:
        async for product_id in self.source.read(self):
            await run_in_thread(store.add, [product_id])
        if not self.searches and await run_in_thread(store.next_due) is None:
            self.logger.warning(
                "No product is watched: add some with -a ids=610000000001,…, -a ids_file=FILE or "
                "-a keyword=…"
            )

    async def parse_page(self, response: ApiResponse, call: ApiCall) -> AsyncIterator[Any]:
        """Watch the products that a search found."""
        found = []
        async for output in super().parse_page(response, call):
            is_product = isinstance(output, ApiRequest) and output.call.operation == "product"
            if is_product and isinstance(self._store, SqliteWatchStore):
                found.append(output.call.params["product_id"])
            else:
                yield output
        if isinstance(self._store, SqliteWatchStore):
            self._store.add(found)

    @property
    def fallback_interval(self) -> float:
        """Seconds until the next fetch of a product whose fetch failed."""
        shortest, longest = self._intervals
        return min(longest, max(shortest, DAY))

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run what blocks in a thread; while Redis is away, wait, unless the crawl ends."""
        try:
            return await run_in_thread(function, *arguments)
        except RedisError:
            operation = partial(run_in_thread, function, *arguments)
            closing = context_of(self.crawler).shutdown
            return await closing.or_cancelled(self._redis_retry.run(operation))

    async def fetched(self, product: Product) -> Outcome:
        """Decide when a product that was just stored is fetched again; return what was found."""
        outcome, delay = await self.watcher.fetched(product)
        if isinstance(self._store, RedisWatchStore):
            self._appointments[product.product_id] = delay
        return outcome

    def repeat_in(self, call: ApiCall) -> float | None:
        """Return the seconds after which a settled call is made anew; None for a search's page."""
        if call.operation != "product":
            return None
        return self._appointments.pop(int(call.params["product_id"]), self.fallback_interval)
