"""``scrapy crawl watch``: collects products again and again, the often-changing ones more often."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing
from functools import cached_property
from types import SimpleNamespace
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
from ali1688_spider.gateway.catalogue import choose_apis
from ali1688_spider.gateway.errors import OPEN_PRODUCT_API, UnreadableResponseError
from ali1688_spider.http import ApiRequest
from ali1688_spider.items import ParsedProduct
from ali1688_spider.retrying import ServerRetry, redis_outage
from ali1688_spider.scheduling.keys import QUEUE_KEY, TYPES
from ali1688_spider.scheduling.lease import SECONDS_IN_FLIGHT
from ali1688_spider.scheduling.queue import LeaseQueue
from ali1688_spider.spiders.product import IdArguments
from ali1688_spider.spiders.search import SearchSpider, next_calls, price_fits
from ali1688_spider.spiders.search_arguments import SearchArguments
from ali1688_spider.watching.hints import POLLING_SHARE
from ali1688_spider.watching.looks import LOOKED_AT_BY, PageRow
from ali1688_spider.watching.redis_store import RedisWatchStore
from ali1688_spider.watching.schedule import (
    FIRST_PRIORITY,
    MAX_INTERVAL,
    MIN_INTERVAL,
    OVERBOOKING,
    STRATEGIES,
    Budget,
)
from ali1688_spider.watching.sqlite_store import FILE_NAME, SqliteWatchStore
from ali1688_spider.watching.watched_product import DAY
from ali1688_spider.watching.watcher import Watcher

if TYPE_CHECKING:
    from ali1688_spider.config import Config
    from ali1688_spider.gateway.api import SearchApi
    from ali1688_spider.gateway.calls import Value
    from ali1688_spider.gateway.parsing import SearchPage
    from ali1688_spider.http import ApiResponse

AT_ONCE = 500  # products taken from the file; where the rate is limited, those of some seconds
POLL_SECONDS = 0.2  # between looks at what is due; another process may add products
HINT_LOCK_SECONDS = 5.0  # a hint waits for the file; whoever sends it has to come again afterwards

_OF_ONE_SEARCH = frozenset({"first_id", "search_id", "look"})
_QUEUE_PARTS = ("ready", "delayed", "leased", "scores", "attempts", "leases", "losses")
_SECONDS = "a number of seconds above 0"
_STRATEGY = f"one of {', '.join(STRATEGIES)}"


class WatchArguments(IdArguments, SearchArguments):
    """What ``-a`` may say to the spider ``watch``.

    Attributes:
        min_interval: Shortest time between two fetches of a product, in seconds.
        max_interval: Longest time between two fetches of a product, in seconds.
        follow: 1 has the platform send messages about the watched products (``param2``).
        strategy: How fetches are shared out: ``adaptive`` fetches the often-changing ones more
            often, ``uniform`` treats all alike.
        looks: 0 looks at no pages of searches and shops to see which products have moved.
    """

    only_searches: ClassVar[bool] = False
    min_interval: float = Field(MIN_INTERVAL, gt=0, allow_inf_nan=False, description=_SECONDS)
    max_interval: float = Field(MAX_INTERVAL, gt=0, allow_inf_nan=False, description=_SECONDS)
    follow: bool = Field(False, description="1 to have the platform send messages, or 0")
    strategy: str = Field("adaptive", pattern=f"^({'|'.join(STRATEGIES)})$", description=_STRATEGY)
    looks: bool = Field(True, description="1 to look at pages of searches and shops, or 0")

    @property
    def query(self) -> dict[str, Value]:
        """The search whose products are watched; empty for none."""
        return super().query | {"details": 1} if self.has_search else {}

    def check_config(self, config: Config, given: Collection[str]) -> None:
        """Refuse to follow where there is nothing to follow by, and wrong searches."""
        super().check_config(config, given)
        if self.follow and config.protocol != "param2":
            raise ConfigurationError(
                "follow=1 needs ALI1688_PROTOCOL=param2: the other protocols have no messages"
            )

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
    ``ali1688/watch/looks`` counts the pages that were looked at.

    Attributes:
        delays: With Redis, seconds until the next fetch of products that were just fetched.
        look_delays: The same of looks at pages, by call; None for one that is not made again.
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
        self.look_delays: dict[str, float | None] = {}

    @cached_property
    def budget(self) -> Budget:
        """What watching may spend."""
        return budget_of(context_of(self.crawler).config, self.arguments)

    @cached_property
    def watcher(self) -> Watcher:
        """Decides when a product is fetched again."""
        context = context_of(self.crawler)
        store = self.file_store or open_redis_store(context.redis)
        return Watcher(
            store, self.arguments.strategy, self.budget, context.redis_retry, self._shop_look
        )

    @cached_property
    def _shop_look(self) -> Callable[[str], str] | None:
        """The call that looks at the shop of a seller; None where shops are left alone."""
        apis = context_of(self.crawler).client.apis
        shops = [each for each in apis.searches if each.kind == "shop"]
        # Other APIs tell the login ids of sellers, by which no shop is found.
        if not self.arguments.looks or not shops or apis.product.name != OPEN_PRODUCT_API:
            return None
        size = shops[0].max_page_size
        return lambda seller: ApiCall.search(shop=seller, page=1, page_size=size, look=1).encode()

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
        if store is not None:
            async with aclosing(self._due(store)) as due:
                async for due_call in due:
                    yield due_call, 0
            return
        async with aclosing(self.source.read(self)) as ids:
            async for product_id in ids:
                yield ApiCall.product(product_id), FIRST_PRIORITY

    async def _due(self, store: SqliteWatchStore) -> AsyncGenerator[ApiCall]:
        # Meanwhile, as the source may be a pipe that stays open.
        adding = asyncio.create_task(self._add_all(store))
        most = math.ceil(min(AT_ONCE, SECONDS_IN_FLIGHT * self.budget.calls_per_second))
        try:
            while True:
                away = self.budget.bounded(DAY)
                looks = await run_in_thread(store.take_looks, away) if self.arguments.looks else []
                products = await run_in_thread(store.take_due, most, away)
                due = [*map(ApiCall.decode, looks), *map(ApiCall.product, products)]
                for call in due:
                    yield call
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
        """Watch the products that a search found, and look at its pages again and again."""
        if "look" not in call.params:
            async for output in super().parse_page(response, call):
                is_product = isinstance(output, ApiRequest) and output.call.operation == "product"
                if not is_product:
                    yield output
                elif self.file_store:
                    self.file_store.add([output.call.params["product_id"]])
                else:
                    yield output.replace(priority=FIRST_PRIORITY)
        async for output in self._look(response, call):
            yield output

    async def _look(self, response: ApiResponse, call: ApiCall) -> AsyncIterator[Any]:
        """Yield the calls for products that are new on a page; those that moved are fetched too."""
        api = context_of(self.crawler).client.apis.serving(call.params)
        if not self.arguments.looks or api.kind not in LOOKED_AT_BY:
            return
        try:
            page = api.parse(response.payload)
        except UnreadableResponseError:
            if "look" in call.params:  # validation keeps the response
                yield ParsedProduct(
                    {}, response.payload, api.name, response.fetched_at, complete=False
                )
            return
        fitting = (each for each in page.rows if price_fits(each.get("price"), call.params))
        rows = [row for each in fitting if (row := PageRow.read(each, api.kind))]
        look = look_call(call)
        joins = bool(call.params.get("details"))
        delay, new = await self.watcher.looked(look.encode(), rows, joins=joins)
        self.crawler.stats.inc_value("ali1688/watch/looks")
        if "look" not in call.params:
            return  # it has shown its products itself, and led to its other pages
        if self.file_store is None:
            self.look_delays[call.encode()] = delay
        if await self._goes_on(call, page, api, is_shop=not joins):
            following = ApiCall.search(**{**call.params, "page": int(call.params["page"]) + 1})
            await self.watcher.look_at(following.encode())
        if self.file_store:
            self.file_store.add(new)
            return
        for product_id in new:
            yield self.request(ApiCall.product(product_id), priority=FIRST_PRIORITY)

    async def _goes_on(
        self, call: ApiCall, page: SearchPage, api: SearchApi, *, is_shop: bool
    ) -> bool:
        """Return whether the page after this one is to be looked at as well."""
        if not list(next_calls(call, page, api)):
            return False
        rows = min(page.total or 0, api.max_rows or math.inf)
        pages = math.ceil(rows / int(call.params["page_size"]))
        return not is_shop or await self.watcher.shop_pays(str(call.params["shop"]), pages)

    def repeat_in(self, call: ApiCall) -> float | None:
        """Return the seconds until an acknowledged call is made again; None: never."""
        if call.operation == "product":
            # A product whose fetch failed has no delay of its own.
            return self.delays.pop(int(call.params["product_id"]), self.budget.bounded(DAY))
        if "look" in call.params and self.arguments.looks:
            return self.look_delays.pop(call.encode(), self.budget.bounded(DAY))
        return None


def look_call(call: ApiCall) -> ApiCall:
    """Return the call that looks at the page of a search again, by whichever way it was found."""
    query = {name: value for name, value in call.params.items() if name not in _OF_ONE_SEARCH}
    return ApiCall.search(**query, look=1)


def budget_of(config: Config, arguments: WatchArguments) -> Budget:
    """Return what watching may spend with these settings."""
    # Nothing else keeps watching from using up the day's quota before its end.
    daily = config.daily_quota / DAY / OVERBOOKING or math.inf
    rate = min(config.qps or math.inf, daily)
    if config.messages == "poll":
        rate *= 1 - POLLING_SHARE
    at_once = choose_apis(config.protocol, config.product_api, config.search_api).product.max_ids
    return Budget(at_once * rate, arguments.min_interval, arguments.max_interval, at_once)


def open_watcher(settings: BaseSettings, config: Config) -> Watcher:
    """Return the watch's schedule, for a process beside it that has hints for it; to be closed.

    Raises:
        ConfigurationError: Nothing was ever watched here.
    """
    return watcher_of(open_watch_store(settings, HINT_LOCK_SECONDS), config)


def watcher_of(store: RedisWatchStore | SqliteWatchStore, config: Config) -> Watcher:
    """Return the schedule that a watch without further arguments has, over its *store*."""
    arguments, retry = WatchArguments(), ServerRetry("Redis", redis_outage)
    return Watcher(store, arguments.strategy, budget_of(config, arguments), retry)


def open_watch_store(
    settings: BaseSettings, lock_seconds: float = 30.0
) -> RedisWatchStore | SqliteWatchStore:
    """Return the schedule that a watch with these settings has, for a command; to be closed.

    Where it is in a file, *lock_seconds* is the longest wait for another process that writes.

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
    return SqliteWatchStore(path, lock_seconds)


def open_redis_store(client: Any) -> RedisWatchStore:
    """Return the schedule in Redis, beside the spider's queue."""
    queue = LeaseQueue(client, SimpleNamespace(name=WatchSpider.name), QUEUE_KEY)
    parts = {getattr(queue.keys, part): getattr(TYPES, part) for part in _QUEUE_PARTS}
    return RedisWatchStore(queue, parts)
