"""``scrapy crawl search``: the products of a search, by keyword, picture, shop and other ways."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

import aiohttp
from pydantic import AfterValidator, Field, model_validator
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.http import Response

from ali1688_spider.addon import context_of
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.api import SUBJECTS
from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.catalogue import choose_apis
from ali1688_spider.gateway.errors import CallError, ErrorAction, UnreadableResponseError
from ali1688_spider.gateway.fields import told_moment
from ali1688_spider.gateway.pictures import encode_picture, read_picture
from ali1688_spider.http import ApiResponse
from ali1688_spider.items import ParsedProduct
from ali1688_spider.middlewares.errors import MAX_WAIT
from ali1688_spider.middlewares.throttle import ThrottleMiddleware
from ali1688_spider.shutdown import INCOMPLETE, CrawlClosingError
from ali1688_spider.spiders.base import ApiSpider, Arguments
from ali1688_spider.spiders.splitting import is_by_category, split

if TYPE_CHECKING:
    from ali1688_spider.config import Config
    from ali1688_spider.gateway.api import SearchApi
    from ali1688_spider.gateway.calls import Value
    from ali1688_spider.gateway.parsing import SearchPage

PAGE_PARAMETERS = frozenset({"page", "first_id"})

_FROM_1 = "a whole number from 1 on"
Amount: TypeAlias = Annotated[Decimal, Field(ge=0, lt=10**12, decimal_places=4)]
Number: TypeAlias = Annotated[int, Field(ge=1, lt=2**63)]


def _check_time(text: str) -> str:
    if told_moment(text) is None:
        raise ValueError(f"is {text!r}: set it to a time such as 2026-11-23T10:00:00+08:00")
    return text


def _argument(subject: str) -> str:
    """Return the argument that says what a search looks for, of the parameter of its calls."""
    return "image" if subject in {"image_id", "image_url"} else subject


_SUBJECT_ARGUMENTS = [
    name for name in dict.fromkeys(map(_argument, SUBJECTS.values())) if name != "keyword"
]
"""The arguments of which a crawl takes one; it may have a keyword as well."""


class SearchArguments(Arguments):
    """What ``-a`` may say to a spider that searches.

    Attributes:
        keyword: Words to search for.
        image: A picture, as a file or an address: finds products that look like it.
        shop: A seller, by the ``seller_id`` of a product: finds the seller's products.
        related_to: Id of a product: finds what the platform shows beside it.
        top: Id of a category: brings its ranking.
        rank: Kind of the ranking of ``top``.
        pool: Number of a product pool that the platform has made for the app.
        category_id: Id of a category: all of its products, or those that the other words find.
        price_start: Lowest price in CNY, itself included.
        price_end: Highest price in CNY, itself included.
        sort: Order within each page: ``price``, ``-price``, ``-sales`` or ``-repurchase``.
        filter: Words that the API knows, separated by commas, such as ``shipInToday``.
        modified_since: For a seller's own products: time of the change, in ISO 8601; China's time
            unless it has a zone.
        max_pages: Pages to read at most.
        details: 1 collects the whole record of each product found.
    """

    only_searches: ClassVar[bool] = True
    keyword: str | None = None
    image: str | None = None
    shop: str | None = None
    related_to: Number | None = Field(None, description="the id of a product")
    top: Number | None = Field(None, description="the id of a category")
    rank: Literal["complex", "hot", "goodPrice"] | None = Field(
        None, description="one of complex, hot, goodPrice"
    )
    pool: Number | None = Field(None, description="the number of a pool")
    category_id: Number | None = Field(None, description=_FROM_1)
    price_start: Amount | None = Field(None, description="an amount in CNY, such as 12.50")
    price_end: Amount | None = Field(None, description="an amount in CNY, such as 12.50")
    sort: str | None = None
    filter: str | None = None
    modified_since: Annotated[str, AfterValidator(_check_time)] | None = None
    max_pages: Number | None = Field(None, description=_FROM_1)
    details: int | None = Field(None, ge=0, lt=2**63, description="a whole number from 0 on")

    @property
    def query(self) -> dict[str, Value]:
        """The parameters of the search's calls, without its image; empty when there is none."""
        given = self.model_dump(include={*SEARCH_ARGUMENTS} - {"image"}, exclude_none=True)
        query = {name: f"{v:f}" if isinstance(v, Decimal) else v for name, v in given.items()}
        if "top" in query:
            query["top"] = str(query["top"])
        return query

    @property
    def has_search(self) -> bool:
        """Whether something is searched for."""
        return any(getattr(self, name) is not None for name in SEARCH_ARGUMENTS)

    @property
    def digest(self) -> str:
        """A name for the search, the same wherever the same one is asked for."""
        return _digest({**self.query, "image": self.image or ""})

    @model_validator(mode="after")
    def _check_subject(self) -> Self:
        start, end = self.price_start, self.price_end
        if start is not None and end is not None and start > end:
            raise ConfigurationError("price_start is above price_end: swap them")
        subjects = [name for name in _SUBJECT_ARGUMENTS if getattr(self, name) is not None]
        if len(subjects) > 1:
            raise ConfigurationError(
                f"{subjects[0]} and {subjects[1]} are two searches: start a crawl for each"
            )
        return self

    def check_config(self, config: Config, given: Collection[str]) -> None:
        """Refuse what the API cannot search by, and a crawl that would have nothing to do."""
        has_other_work = not self.only_searches or config.redis_url or self.calls is not None
        if has_other_work and not SEARCH_ARGUMENTS & {*given}:
            return
        query = self.query
        apis = choose_apis(config.protocol, config.product_api, config.search_api)
        api = apis.serving(query | ({"image_id": "1"} if self.image else {}))
        for name in query.keys() - SPIDERS_OWN - api.names.keys():
            raise ConfigurationError(
                f"{api.name} cannot search by {name}: leave it out, or choose another API with "
                "ALI1688_SEARCH_API"
            )
        _check_word("sort", self.sort, api.sorts, api)
        for word in (self.filter or "").split(","):
            _check_word("filter", word.strip(), api.filter_words, api)
        if api.kind == "keyword" and not query.keys() & {"keyword", "category_id"}:
            raise ConfigurationError("there is nothing to search for: say -a keyword=…")
        subject = _argument(SUBJECTS.get(api.kind, "keyword"))
        if subject != "keyword" and getattr(self, subject) is None:
            raise ConfigurationError(
                f"{api.name} searches by {subject}: say -a {subject}=…, or choose another API with "
                "ALI1688_SEARCH_API"
            )
        if self.image and "://" not in self.image:
            try:
                encode_picture(Path(self.image).read_bytes())
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise ConfigurationError(f"image {self.image!r} cannot be read: {reason}") from None


def _check_word(name: str, word: str | None, known: Collection[str], api: SearchApi) -> None:
    if word and word not in known:
        words = f"it knows {', '.join(sorted(known))}" if known else "it knows none"
        raise ConfigurationError(f"{name} is {word!r}, which {api.name} does not know: {words}")


SEARCH_ARGUMENTS = frozenset(SearchArguments.model_fields) - Arguments.model_fields.keys()
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
SPIDERS_OWN = frozenset({"max_pages", "details"})
"""Arguments that no API gets."""


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
            self._search_id = _digest(_query(call))
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
            call = ApiCall("search", {**call.params, "search_id": _digest(_query(call))})
            if call.params["page"] == 1 and not page.rows:
                self._found_nothing[str(call.params["search_id"])] = _query(call)
        query = _digest(_query(call))
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
        this_page = f"{_digest(_query(call))}:{call.params['page']}"
        calls = {f"query:{_digest(each.params)}": each for each in follow_ups}
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


def _digest(query: Mapping[str, Value]) -> str:
    text = json.dumps(query, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
