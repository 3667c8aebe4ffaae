"""``scrapy crawl search``: the products of a search, by keyword, picture, shop and other ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.http import Response

from ali1688_spider.addon import context_of
from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.errors import CallError, ErrorAction, UnreadableResponseError
from ali1688_spider.gateway.pictures import read_picture
from ali1688_spider.http import ApiResponse
from ali1688_spider.items import ParsedProduct
from ali1688_spider.middlewares.errors import MAX_WAIT
from ali1688_spider.middlewares.throttle import ThrottleMiddleware
from ali1688_spider.shutdown import INCOMPLETE, CrawlClosingError
from ali1688_spider.spiders.base import ApiSpider
from ali1688_spider.spiders.search_arguments import SearchArguments, digest_of
from ali1688_spider.spiders.splitting import is_by_category, split

if TYPE_CHECKING:
    from ali1688_spider.gateway.api import SearchApi
    from ali1688_spider.gateway.calls import Value
    from ali1688_spider.gateway.parsing import SearchPage

PAGE_PARAMETERS = frozenset({"page", "first_id"})
TRY_INSTEAD = {
    "keyword": "try a shorter word, or a Chinese one",
    "image_id": "try another picture",
    "shop": "check that it is the seller_id of a product",
    "related_to": "try another product",
    "top": "scrapy categories prints their ids",
    "pool": "check its number",
    "category_id": "scrapy categories prints their ids",
}
"""What to do about a search that finds nothing, by its parameters; the first one says it all."""

NARROWING = ("category_id", "price_start", "price_end", "filter", "modified_since")


class SearchSpider(ApiSpider):
    """Pages through a search; its rows are products, with some of their fields.

    With ``details=1`` each product found is collected by a call of its own instead. A search that
    finds more than the API shows of one query is split, see :mod:`.splitting`.
    """

    name = "search"
    arguments_class = SearchArguments
    arguments: SearchArguments
    # A response holds a page of products, and each waits until it is stored.
    custom_settings = {"CONCURRENT_ITEMS": 50}  # noqa: RUF012  # Scrapy declares it

    def __init__(self, **arguments: str) -> None:
        super().__init__(**arguments)
        self._found_nothing: dict[str, dict[str, Value]] = {}
        self.has_search = self.arguments.has_search
        self._search_id = ""
        self.has_source = self.has_search or self.arguments.calls is not None
        if self.has_search:
            self.source_digest = self.arguments.digest

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Build the spider; at its end it says what found nothing, and what was out of reach."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.say_nothing_found, signals.spider_closed)
        crawler.signals.connect(spider.say_unreachable, signals.spider_closed)
        return spider

    async def calls(self) -> AsyncIterator[tuple[ApiCall, int]]:
        """Yield the call for the first page."""
        if self.has_search:
            query = self.arguments.query
            if self.arguments.image:
                query["image_id"] = await self._upload(self.arguments.image)
                if not query["image_id"]:
                    return
            if "pool" in query:
                query["task_id"] = self.arguments.digest
            api = context_of(self.crawler).client.apis.serving(query)
            call = ApiCall.search(**query, page=1, page_size=api.max_page_size)
            self._search_id = digest_of(_query(call))
            yield call, 0

    async def wanted(self) -> AbstractSet[int]:
        """Return the products that the search has shown, on the pages of all workers."""
        api = context_of(self.crawler).client.apis.serving(self.arguments.query)
        if {"price_start", "price_end"} & self.arguments.query.keys() - api.filters:
            return frozenset()  # which of them were left out for their price is not known
        scheduler: Any = self.crawler.engine.scheduler
        shown: AbstractSet[int] = await scheduler.df.shown(self._search_id)
        return shown

    async def _upload(self, image: str) -> str:
        """Return the platform's id of the picture; close the crawl, and return "", without one."""
        shutdown = context_of(self.crawler).shutdown
        try:
            return await self._upload_content(await read_picture(image))
        except CrawlClosingError:
            return ""
        except (aiohttp.ClientError, OSError, ValueError, CallError) as error:
            reason, advice = INCOMPLETE, ""
            if isinstance(error, CallError) and error.action is ErrorAction.CLOSE:
                reason, advice = error.close_reason, f". {error.advice}"
            cause = str(error) or type(error).__name__
            shutdown.close(reason, f"image {image!r} cannot be searched by: {cause}{advice}")
            return ""

    async def _upload_content(self, content: bytes) -> str:
        """Return the id; what may pass is tried again, as of any call."""
        context, attempt = context_of(self.crawler), 1
        throttle = self.crawler.get_downloader_middleware(ThrottleMiddleware)
        assert throttle is not None
        while True:
            await throttle.wait_for_slot()
            self.crawler.stats.inc_value("ali1688/calls")
            try:
                return await context.client.upload_picture_async(content)
            except CallError as error:
                may_pass = error.action in {ErrorAction.RETRY, ErrorAction.WAIT}
                if not may_pass or attempt >= context.config.max_attempts:
                    raise
                self.crawler.stats.inc_value("ali1688/retries")
                delay = Backoff(cap=MAX_WAIT).delay(attempt, not_before=error.retry_after)
            attempt += 1
            await context.shutdown.or_cancelled(asyncio.sleep(delay))

    async def parse(self, response: Response, **_: Any) -> AsyncIterator[Any]:
        """Make products, and further calls, of a response."""
        assert isinstance(response, ApiResponse)
        assert response.request is not None
        if response.request.call.operation == "product":
            for product in self.parse_products(response):
                yield product
            return
        async for output in self.parse_page(response, response.request.call):
            yield output

    async def parse_page(self, response: ApiResponse, call: ApiCall) -> AsyncIterator[Any]:
        """Make products of the rows of a page, and calls for what comes after it.

        A product that another page of the search has shown is left out. A call that is made again
        shows all of its products again: not all of them could be stored.
        """
        api = context_of(self.crawler).client.apis.serving(call.params)
        try:
            page = api.parse(response.payload)
        except UnreadableResponseError:
            # Validation says so, and keeps the response.
            yield ParsedProduct({}, response.payload, api.name, response.fetched_at, complete=False)
            return
        self._count_page(call, page, api)
        begins = "search_id" not in call.params
        if begins:
            call = ApiCall("search", {**call.params, "search_id": digest_of(_query(call))})
            if call.params["page"] == 1 and not page.rows:
                self._found_nothing[str(call.params["search_id"])] = _query(call)
        query = digest_of(_query(call))
        this_page = f"{query}:{call.params['page']}"
        ids = [row.get("product_id") for row in page.rows]
        scheduler: Any = self.crawler.engine.scheduler
        first_pages: dict[int, str] = await scheduler.df.first_pages(
            str(call.params["search_id"]),
            this_page,
            [product_id for product_id in ids if isinstance(product_id, int)],
            begins=begins and call.params["page"] == 1,
        )
        shown_on = [first_pages[i] if isinstance(i, int) else this_page for i in ids]
        # What another query has shown says nothing: the queries that one was split into begin with
        # what that one began with.
        if ids and all(first != this_page and first.startswith(f"{query}:") for first in shown_on):
            self.crawler.stats.inc_value("ali1688/search/repeated_pages")
        else:
            follow_ups = list(next_calls(call, page, api))
            self._count_unreachable(call, page, api, follow_ups)
            async for follow_up in self._new(call, follow_ups):
                yield self.request(follow_up)
        for fields, payload, first in zip(page.rows, page.payloads, shown_on, strict=True):
            if first != this_page or not price_fits(fields.get("price"), call.params):
                continue
            product_id = fields.get("product_id")
            if call.params.get("details") and isinstance(product_id, int):
                if not context_of(self.crawler).config.redis_url:  # else others may collect it
                    self.crawler.stats.inc_value("ali1688/wanted")
                yield self.request(ApiCall.product(product_id))
            else:
                yield ParsedProduct(fields, payload, api.name, response.fetched_at, complete=False)

    def _count_page(self, call: ApiCall, page: SearchPage, api: SearchApi) -> None:
        stats = self.crawler.stats
        stats.inc_value("ali1688/search/pages")
        if page.total and not _is_too_wide(page, api, 0):
            wanted = _rows_wanted(call, page) or page.total
            stats.set_value("ali1688/search/found", min(page.total, wanted))

    def _count_unreachable(
        self, call: ApiCall, page: SearchPage, api: SearchApi, follow_ups: Sequence[ApiCall]
    ) -> None:
        """Count what the query finds beyond its last row, when it could not be split."""
        is_split = any(each.params["page"] == 1 for each in follow_ups)
        is_wide = call.params["page"] == 1 and _is_too_wide(page, api, _rows_wanted(call, page))
        if is_wide and not is_split:
            stats, beyond = self.crawler.stats, (page.total or 0) - api.max_rows
            stats.inc_value("ali1688/search/unsplit_queries")
            stats.inc_value("ali1688/search/unreachable_rows", beyond)

    def say_nothing_found(self) -> None:
        """Say once what was searched for and brought no row."""
        queries = list(self._found_nothing.values())
        if not queries:
            return
        query, more = queries[0], len(queries) - 1
        subject = next((name for name in TRY_INSTEAD if name in query), "")
        limits = [name for name in NARROWING if name in query and name != subject]
        advice = [TRY_INSTEAD[subject]] if subject else []
        advice += [f"leave out {', '.join(limits)}"] if limits else []
        self.logger.warning(
            "%s finds nothing%s: %s",
            f"{subject.removesuffix('_id')} {query[subject]!r}" if subject else "The search",
            f", and {more} other searches neither" if more else "",
            ", or ".join(advice) or "the platform has no such products for this account",
        )

    def say_unreachable(self) -> None:
        """Say once what could not be shown."""
        stats = self.crawler.stats
        queries = stats.get_value("ali1688/search/unsplit_queries")
        if not queries:
            return
        api = context_of(self.crawler).client.apis.search
        rows = stats.get_value("ali1688/search/unreachable_rows")
        self.logger.warning(
            "%d queries find more than the platform shows of one, and cannot be split by price, "
            "category or sales: %s. Narrow the search, for example by its keyword.",
            queries,
            f"at least {rows:,} rows are out of reach"
            if rows
            else f"what comes after their first {api.max_rows:,} rows is out of reach; how many "
            "those are the platform does not tell",
        )

    async def _new(self, call: ApiCall, follow_ups: Iterable[ApiCall]) -> AsyncIterator[ApiCall]:
        """Yield those of the calls that no other page has led to: queries meet at their bounds."""
        this_page = f"{digest_of(_query(call))}:{call.params['page']}"
        calls = {f"query:{digest_of(each.params)}": each for each in follow_ups}
        scheduler: Any = self.crawler.engine.scheduler
        first_pages = await scheduler.df.first_pages(
            str(call.params["search_id"]), this_page, list(calls)
        )
        for name, follow_up in calls.items():
            if first_pages[name] == this_page:
                yield follow_up


def price_fits(price: Any, params: Mapping[str, Value]) -> bool:
    """Return whether a row's price is in the range asked for; some APIs do not filter by price."""
    if not isinstance(price, Decimal):
        return True
    start, end = params.get("price_start"), params.get("price_end")
    return (start is None or price >= Decimal(start)) and (end is None or price <= Decimal(end))


def _query(call: ApiCall) -> dict[str, Value]:
    return {name: value for name, value in call.params.items() if name not in PAGE_PARAMETERS}


def next_calls(call: ApiCall, page: SearchPage, api: SearchApi) -> Iterator[ApiCall]:
    """Yield what is to be called after *page*, the response to *call*; nothing when all is seen."""
    number = int(call.params["page"])
    page_size = page.page_size or int(call.params["page_size"])
    if not page.rows or (page.page is not None and page.page != number):
        return
    first_id = page.rows[0].get("product_id")
    if number > 1 and first_id == call.params.get("first_id"):
        return
    if _is_too_wide(page, api, _rows_wanted(call, page)):
        parts = split(call, page, api)
        yield from parts
        if parts and not is_by_category(call, parts[0]):
            return
    if _has_next(call, page, number * page_size, api):
        following: dict[str, Value] = {**call.params, "page": number + 1}
        if number == 1 and isinstance(first_id, int):
            following["first_id"] = first_id
        yield ApiCall("search", following)


def _rows_wanted(call: ApiCall, page: SearchPage) -> int:
    """Return how many rows ``max_pages`` asks for; 0 for all."""
    page_size = page.page_size or int(call.params["page_size"])
    return page_size * int(call.params.get("max_pages", 0))


def _is_too_wide(page: SearchPage, api: SearchApi, rows_wanted: int) -> bool:
    """Return whether more may be found than the platform shows, which counts no further."""
    if not api.max_rows or page.total is None:
        return False
    return page.total >= api.max_rows and not 0 < rows_wanted <= api.max_rows


def _has_next(call: ApiCall, page: SearchPage, rows_seen: int, api: SearchApi) -> bool:
    max_pages = int(call.params.get("max_pages", 0))
    if max_pages and int(call.params["page"]) >= max_pages:
        return False
    if api.max_rows and rows_seen >= api.max_rows:
        return False
    if page.total is not None:
        return rows_seen < page.total
    # Without a total, a page that is not full is the last.
    return page.page_size is None or len(page.rows) >= page.page_size
