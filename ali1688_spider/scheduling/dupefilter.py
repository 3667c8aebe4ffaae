"""Which products a search has shown already, and on which of its pages.

Requests are not filtered: a queue holds each call once, and a later crawl makes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Self, TypeVar

from redis.exceptions import RedisError
from scrapy import Spider
from scrapy.dupefilters import BaseDupeFilter
from scrapy.utils.asyncio import run_in_thread
from scrapy_redis.defaults import SCHEDULER_DUPEFILTER_KEY
from scrapy_redis.dupefilter import RFPDupeFilter

from ali1688_spider.addon import context_of

_Key = TypeVar("_Key", int, str)

EXPIRY_SECONDS = 2 * 86_400
"""How long Redis remembers a search after its last page, which may wait a day for its quota."""

MOST_SHOWN = 200_000
"""How many products are remembered without Redis, the last ones of all searches."""


class RedisDupeFilter(RFPDupeFilter):  # type: ignore[misc]  # scrapy-redis has no types
    """scrapy-redis's filter, over products instead of requests, for all workers of a search.

    What Redis forgets, or cannot be asked for, is shown a second time: that costs work, and no
    product. ``ali1688/search/unfiltered_pages`` counts the pages that it could not be asked for.

    ``search:dupefilter:<search>`` HASH product id → the page that showed it first, with expiry
        Of the spider ``watch`` it is ``watch:dupefilter:<search>``. ``SCHEDULER_DUPEFILTER_KEY`` of
        scrapy-redis says what stands before the search.
    """

    @classmethod
    def from_spider(cls, spider: Spider) -> Self:
        """Build the filter on the crawl's client."""
        key = spider.settings.get("SCHEDULER_DUPEFILTER_KEY") or SCHEDULER_DUPEFILTER_KEY
        new = cls(context_of(spider.crawler).redis, key % {"spider": spider.name})
        new.stats = spider.crawler.stats
        return new

    async def first_pages(
        self, search: str, page: str, keys: Sequence[_Key], *, begins: bool = False
    ) -> dict[_Key, str]:
        """Return which page of the search showed each product first; it may be this *page*.

        *keys* are ids of products, or names of what else a page leads to once.

        With *begins*, what an earlier search of the same name has shown is forgotten before.
        """
        if not keys:
            return {}
        key = f"{self.key}:{search}"
        try:
            return await run_in_thread(self._ask, key, page, keys, begins=begins)
        except RedisError:
            self.stats.inc_value("ali1688/search/unfiltered_pages")
            return dict.fromkeys(keys, page)

    async def shown(self, search: str) -> set[int]:
        """Return the products that the search has shown; RedisError when Redis is away."""
        names = await run_in_thread(self.server.hkeys, f"{self.key}:{search}")
        return {int(name) for name in names if name.isdigit()}

    def _ask(self, key: str, page: str, names: Sequence[_Key], *, begins: bool) -> dict[_Key, str]:
        with self.server.pipeline() as pipe:
            if begins:
                pipe.delete(key)
            for name in names:
                pipe.hsetnx(key, name, page)
            pipe.expire(key, EXPIRY_SECONDS)
            pipe.hmget(key, names)
            *_, pages = pipe.execute()
        return {name: first.decode() for name, first in zip(names, pages, strict=True)}


class MemoryDupeFilter(BaseDupeFilter):
    """The same for one process without Redis."""

    def __init__(self, most: int = MOST_SHOWN) -> None:
        self._most = most
        self._pages: dict[tuple[str, int | str], str] = {}

    async def first_pages(
        self, search: str, page: str, keys: Sequence[_Key], *, begins: bool = False
    ) -> dict[_Key, str]:
        """See :meth:`RedisDupeFilter.first_pages`."""
        if begins:
            self._pages = {key: first for key, first in self._pages.items() if key[0] != search}
        pages = {name: self._pages.setdefault((search, name), page) for name in keys}
        for oldest in list(islice(self._pages, max(0, len(self._pages) - self._most))):
            del self._pages[oldest]
        return pages
