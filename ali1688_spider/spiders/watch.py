"""``scrapy crawl watch``: collects products again and again, the often-changing ones more often."""

from __future__ import annotations

import asyncio
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from scrapy.utils.asyncio import run_in_thread

from ali1688_spider.account import data_folder
from ali1688_spider.addon import account_of
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.spiders.identifier_source import IdentifierSource
from ali1688_spider.spiders.search import SEARCH_ARGUMENTS, SearchSpider, check_search
from ali1688_spider.watching.redis_store import RedisWatchStore
from ali1688_spider.watching.sqlite_store import SqliteWatchStore
from ali1688_spider.watching.strategies import MAX_INTERVAL, MIN_INTERVAL, STRATEGIES, Budget
from ali1688_spider.watching.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ali1688_spider.configuration import Configuration
    from ali1688_spider.items import Product
    from ali1688_spider.watching.schedule import Outcome

DAY = 86_400.0
AT_ONCE = 500
LONGEST_SLEEP = 1.0  # seconds; another process may add products meanwhile


class WatchSpider(SearchSpider):
    """Keeps collecting the watched products.

    ``ids``, ``ids_file`` and a search add to them; what was added once stays watched. With Redis
    the queue itself is the schedule, so that any number of workers share it; without, a file is.

    """

    name = "watch"
    arguments: ClassVar[frozenset[str]] = SearchSpider.arguments | {
        "ids",
        "ids_file",
        "min_interval",
        "max_interval",
        "strategy",
    }
    uses_cache = False  # a cached answer is no observation
    joins_crawl = False  # it never ends, so there is nothing to join or to resume

    def __init__(
        self,
        ids: str = "",
        ids_file: str = "",
        min_interval: str = "",
        max_interval: str = "",
        strategy: str = "adaptive",
        **arguments: Any,
    ) -> None:
        searches = bool(SEARCH_ARGUMENTS & arguments.keys())
        if searches:
            arguments["details"] = "1"
        super().__init__(**arguments)
        self.source = IdentifierSource(ids, ids_file)
        self.searches = searches
        self.has_source = True
        self._appointments: dict[int, float] = {}
        self._strategy = strategy
        self._intervals = (
            _seconds("min_interval", min_interval, MIN_INTERVAL),
            _seconds("max_interval", max_interval, MAX_INTERVAL),
        )

    @classmethod
    def check_arguments(cls, configuration: Configuration, arguments: Mapping[str, str]) -> None:
        """Check what ``-a`` says, before the crawl starts."""
        super(SearchSpider, cls).check_arguments(configuration, arguments)
        own = {name: arguments[name] for name in SEARCH_ARGUMENTS & arguments.keys()}
        if own:
            check_search(configuration, own)
        IdentifierSource(arguments.get("ids", ""), arguments.get("ids_file", "")).check()
        if arguments.get("strategy", "adaptive") not in STRATEGIES:
            raise ConfigurationError(
                f"strategy is {arguments['strategy']!r}: set it to one of {', '.join(STRATEGIES)}"
            )
        shortest = _seconds("min_interval", arguments.get("min_interval", ""), MIN_INTERVAL)
        longest = _seconds("max_interval", arguments.get("max_interval", ""), MAX_INTERVAL)
        if shortest > longest:
            raise ConfigurationError(
                f"min_interval ({shortest:g} s) is above max_interval ({longest:g} s): set both"
            )

    @cached_property
    def watcher(self) -> Watcher:
        """Decides when a product is fetched again."""
        configuration = account_of(self.crawler).configuration
        daily = configuration.daily_quota / DAY if configuration.daily_quota else math.inf
        budget = Budget(min(configuration.qps or math.inf, daily), *self._intervals)
        return Watcher(self._store, STRATEGIES[self._strategy](budget), run_in_thread)

    @cached_property
    def _store(self) -> RedisWatchStore | SqliteWatchStore:
        account = account_of(self.crawler)
        if account.configuration.redis_url:
            return RedisWatchStore(account.redis, self.name)
        return SqliteWatchStore(data_folder() / "watch.sqlite")

    async def calls(self) -> AsyncIterator[tuple[ApiCall, int]]:
        """Yield the calls that add products; without Redis, then those that are due, for ever."""
        if self.searches:
            async for call in super().calls():
                yield call
        async for product_id in self.source.read(self):
            if isinstance(self._store, SqliteWatchStore):
                await run_in_thread(self._store.add, [product_id])
            else:
                yield ApiCall.product(product_id), 0
        if isinstance(self._store, SqliteWatchStore):
            async for product_id in self._due(self._store):
                yield ApiCall.product(product_id), 0

    async def _due(self, store: SqliteWatchStore) -> AsyncIterator[int]:
        while True:
            due = await run_in_thread(store.take_due, AT_ONCE, self.fallback_interval)
            for product_id in due:
                yield product_id
            if not due:
                wait = await run_in_thread(store.next_due)
                await asyncio.sleep(min(LONGEST_SLEEP, LONGEST_SLEEP if wait is None else wait))

    @property
    def fallback_interval(self) -> float:
        """Seconds until the next fetch of a product whose fetch failed."""
        shortest, longest = self._intervals
        return min(longest, max(shortest, DAY))

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


def _seconds(name: str, text: str, default: float) -> float:
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if 0 < seconds < math.inf:
        return seconds
    raise ConfigurationError(f"{name} is {text!r}: set it to a number of seconds above 0")
