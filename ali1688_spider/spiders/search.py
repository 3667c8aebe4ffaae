"""``scrapy crawl search``: the products of a search, by keyword, category and price."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeAlias

from pydantic import Field, model_validator
from scrapy.http import Response

from ali1688_spider.addon import context_of
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.catalogue import choose_apis
from ali1688_spider.gateway.errors import UnreadableResponseError
from ali1688_spider.http import ApiResponse
from ali1688_spider.items import ParsedProduct
from ali1688_spider.spiders.base import ApiSpider, Arguments

if TYPE_CHECKING:
    from ali1688_spider.config import Config
    from ali1688_spider.gateway.calls import Value
    from ali1688_spider.gateway.catalogue import SearchApi
    from ali1688_spider.gateway.parsing import SearchPage

SEARCH_ARGUMENTS = frozenset(
    {"keyword", "category_id", "price_start", "price_end", "sort", "max_pages", "details"}
)
PAGE_PARAMETERS = frozenset({"page", "first_id"})

_FROM_1 = "a whole number from 1 on"
Amount: TypeAlias = Annotated[Decimal, Field(ge=0, lt=10**12, decimal_places=4)]


class SearchArguments(Arguments):
    """What ``-a`` may say to a spider that searches; amounts are in CNY, both included."""

    only_searches: ClassVar[bool] = True
    keyword: str | None = None
    category_id: int | None = Field(None, ge=1, lt=2**63, description=_FROM_1)
    price_start: Amount | None = Field(None, description="an amount in CNY, such as 12.50")
    price_end: Amount | None = Field(None, description="an amount in CNY, such as 12.50")
    sort: str | None = None
    max_pages: int | None = Field(None, ge=1, lt=2**63, description=_FROM_1)
    details: int | None = Field(None, ge=0, lt=2**63, description="a whole number from 0 on")

    @property
    def query(self) -> dict[str, Value]:
        """The parameters of the search's calls; empty when there is no search."""
        given = self.model_dump(include=set(SEARCH_ARGUMENTS), exclude_none=True)
        return {name: f"{v:f}" if isinstance(v, Decimal) else v for name, v in given.items()}

    @model_validator(mode="after")
    def _check_prices(self) -> Self:
        start, end = self.price_start, self.price_end
        if start is not None and end is not None and start > end:
            raise ConfigurationError("price_start is above price_end: swap them")
        return self

    def check_config(self, config: Config, given: Collection[str]) -> None:
        """Refuse what the API cannot search by, and a crawl that would have nothing to do."""
        has_other_work = not self.only_searches or config.redis_url or self.calls is not None
        if has_other_work and not SEARCH_ARGUMENTS & {*given}:
            return
        query = self.query
        api = choose_apis(config.protocol, config.product_api, config.search_api).search
        for name in ("keyword", "category_id", "sort"):
            if name in query and name not in api.filters:
                raise ConfigurationError(
                    f"{api.name} cannot search by {name}: leave it out, or choose another API "
                    "with ALI1688_SEARCH_API"
                )
        if api.filters and not query.keys() & {"keyword", "category_id"}:
            raise ConfigurationError("there is nothing to search for: say -a keyword=…")


class SearchSpider(ApiSpider):
    """Pages through a search; its rows are products, with some of their fields.

    With ``details=1`` each product found is collected by a call of its own instead. A search that
    finds more than the API shows of one query is split by price.
    """

    name = "search"
    arguments_class = SearchArguments
    arguments: SearchArguments
    # A response holds a page of products, and each waits until it is stored.
    custom_settings = {"CONCURRENT_ITEMS": 50}  # noqa: RUF012  # Scrapy declares it

    def __init__(self, **arguments: str) -> None:
        super().__init__(**arguments)
        self.query = self.arguments.query
        self.has_source = bool(self.query) or self.arguments.calls is not None
        if self.query:
            self.source_digest = _digest(self.query)

    async def calls(self) -> AsyncIterator[tuple[ApiCall, int]]:
        """Yield the call for the first page."""
        if self.has_source:
            api = context_of(self.crawler).client.apis.search
            yield ApiCall.search(**self.query, page=1, page_size=api.max_page_size), 0

    async def parse(self, response: Response, **_: Any) -> AsyncIterator[Any]:
        """Make products, and further calls, of a response."""
        assert isinstance(response, ApiResponse)
        assert response.request is not None
        if response.request.call.operation == "product":
            yield self.parse_product(response)
            return
        async for output in self.parse_page(response, response.request.call):
            yield output

    async def parse_page(self, response: ApiResponse, call: ApiCall) -> AsyncIterator[Any]:
        """Make products of the rows of a page, and calls for what comes after it.

        A product that another page of the search has shown is left out. A call that is made again
        shows all of its products again: not all of them could be stored.
        """
        api = context_of(self.crawler).client.apis.search
        try:
            page = api.parse(response.payload)
        except UnreadableResponseError:
            # Validation says so, and keeps the response.
            yield ParsedProduct({}, response.payload, api.name, response.fetched_at, complete=False)
            return
        self.crawler.stats.inc_value("ali1688/search/pages")
        begins = "search_id" not in call.params
        if begins:
            call = ApiCall("search", {**call.params, "search_id": _digest(_query(call))})
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
            for follow_up in next_calls(call, page, api):
                yield self.request(follow_up)
        for fields, payload, first in zip(page.rows, page.payloads, shown_on, strict=True):
            if first != this_page or not price_fits(fields.get("price"), call.params):
                continue
            product_id = fields.get("product_id")
            if call.params.get("details") and isinstance(product_id, int):
                yield self.request(ApiCall.product(product_id))
            else:
                yield ParsedProduct(fields, payload, api.name, response.fetched_at, complete=False)


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


SMALLEST_STEP = Decimal("0.01")
FIRST_PIVOT = Decimal(10)
GROWTH = 4


def next_calls(call: ApiCall, page: SearchPage, api: SearchApi) -> Iterator[ApiCall]:
    """Yield what is to be called after *page*, the response to *call*; nothing when all is seen."""
    number = int(call.params["page"])
    page_size = page.page_size or int(call.params["page_size"])
    if not page.rows or (page.page is not None and page.page != number):
        return
    first_id = page.rows[0].get("product_id")
    if number > 1 and first_id == call.params.get("first_id"):
        return
    rows_wanted = page_size * int(call.params.get("max_pages", 0))
    if number == 1 and _is_too_wide(page, api, rows_wanted):
        halves = list(_halves(call))
        if halves:
            yield from halves
            return
    if _has_next(call, page, number * page_size, api):
        following: dict[str, Value] = {**call.params, "page": number + 1}
        if number == 1 and isinstance(first_id, int):
            following["first_id"] = first_id
        yield ApiCall("search", following)


def _is_too_wide(page: SearchPage, api: SearchApi, rows_wanted: int) -> bool:
    if not api.max_rows or page.total is None or "price_start" not in api.filters:
        return False
    wanted = min(page.total, rows_wanted) if rows_wanted else page.total
    return wanted > api.max_rows


def _halves(call: ApiCall) -> Iterator[ApiCall]:
    """Yield the query for the lower and for the upper prices; nothing when there is no between.

    Both include the price in the middle, since the platform does not say which bound counts.
    """
    start = Decimal(call.params.get("price_start", 0))
    end = Decimal(call.params["price_end"]) if "price_end" in call.params else None
    if end is None:
        middle = max(FIRST_PIVOT, start * GROWTH)
        if middle >= 10**9:
            return
    else:
        middle = ((start + end) / 2).quantize(SMALLEST_STEP)
        if not start < middle < end:
            return
    yield ApiCall("search", {**call.params, "price_end": f"{middle:f}"})
    yield ApiCall("search", {**call.params, "price_start": f"{middle:f}"})


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
