"""``scrapy crawl search``: the products of a search, by keyword, category and price."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, ClassVar

from ali1688_spider.addon import context_of
from ali1688_spider.exceptions import ConfigurationError, UnexpectedAnswerError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.catalogue import choose_apis
from ali1688_spider.http import ApiResponse
from ali1688_spider.items import ProductAnswer
from ali1688_spider.spiders.base import ApiSpider
from ali1688_spider.spiders.search_paging import next_calls
from ali1688_spider.spiders.shown_products import ShownProducts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from scrapy.http import Response

    from ali1688_spider.config import Config
    from ali1688_spider.gateway.calls import Value
    from ali1688_spider.gateway.parsing.search_page import SearchPage

SEARCH_ARGUMENTS = frozenset(
    {"keyword", "category_id", "price_start", "price_end", "sort", "max_pages", "details"}
)
PAGE_PARAMETERS = frozenset({"page", "first_id"})


class SearchSpider(ApiSpider):
    """Pages through a search; its rows are products, told in part.

    With ``details=1`` each product found is collected by a call of its own instead. A search that
    finds more than the API shows of one query is split by price.
    """

    name = "search"
    arguments: ClassVar[frozenset[str]] = ApiSpider.arguments | SEARCH_ARGUMENTS
    # An answer holds a page of products, and each waits until it is stored.
    custom_settings = {"CONCURRENT_ITEMS": 50}  # noqa: RUF012  # Scrapy declares it

    def __init__(self, **arguments: Any) -> None:
        own = {name: arguments.pop(name) for name in SEARCH_ARGUMENTS & arguments.keys()}
        super().__init__(**arguments)
        self.query = read_arguments(own)
        self.has_source = bool(own or self.calls_file)
        if own:
            self.source_digest = _digest(self.query)
        self._shown = ShownProducts()

    @classmethod
    def check_arguments(cls, config: Config, arguments: Mapping[str, str]) -> None:
        """Check what ``-a`` says, before the crawl starts."""
        super().check_arguments(config, arguments)
        own = {name: arguments[name] for name in SEARCH_ARGUMENTS & arguments.keys()}
        if own or not (config.redis_url or arguments.get("calls_file")):
            check_search(config, own)

    async def calls(self) -> AsyncIterator[tuple[ApiCall, int]]:
        """Yield the call for the first page."""
        if self.has_source:
            api = context_of(self.crawler).apis.search
            yield ApiCall.search(**self.query, page=1, page_size=api.max_page_size), 0

    def parse(self, response: Response, **_: Any) -> Iterator[Any]:
        """Make products, and further calls, of an answer."""
        assert isinstance(response, ApiResponse)
        assert response.request is not None
        if response.request.call.operation == "product":
            yield from super().parse(response)
        else:
            yield from self.parse_page(response, response.request.call)

    def parse_page(self, response: ApiResponse, call: ApiCall) -> Iterator[Any]:
        """Make products of the rows of a page, and calls for what comes after it."""
        call = self._within_search(call)
        api = context_of(self.crawler).apis.search
        try:
            page = api.parse(response.payload)
        except UnexpectedAnswerError:
            # Validation says so, and keeps the answer.
            yield ProductAnswer({}, response.payload, api.name, response.fetched_at, complete=False)
            return
        self.crawler.stats.inc_value("ali1688/search/pages")
        rows = list(zip(page.rows, page.payloads, strict=True))
        new_rows = [row for row in rows if self._is_first_of(call, row[0].get("product_id"))]
        if self._repeats(call, page):
            self.crawler.stats.inc_value("ali1688/search/repeated_pages")
        else:
            for follow_up in next_calls(call, page, api):
                yield self.request(follow_up)
        for fields, payload in new_rows:
            product_id = fields.get("product_id")
            if not price_fits(fields.get("price"), call.params):
                continue
            if call.params.get("details") and isinstance(product_id, int):
                yield self.request(ApiCall.product(product_id))
            else:
                yield ProductAnswer(fields, payload, api.name, response.fetched_at, complete=False)

    def _within_search(self, call: ApiCall) -> ApiCall:
        """Return the call with the name of its search, which its first page begins anew."""
        if "search_id" in call.params:
            return call
        search_id = _digest(_query(call))
        if call.params.get("page") == 1:
            self._shown.begin(search_id)
        return ApiCall("search", {**call.params, "search_id": search_id})

    def _is_first_of(self, call: ApiCall, product_id: Any) -> bool:
        """Return whether no other call of the search showed the product before this one.

        A call made again shows all of its products again: it is made again when not all of them
        could be stored.
        """
        if not isinstance(product_id, int):
            return True
        return self._shown.first_call(str(call.params["search_id"]), product_id, call) == call

    def _repeats(self, call: ApiCall, page: SearchPage) -> bool:
        """Tell whether all of a page was on other pages of the same query.

        What another query has shown says nothing: the queries that one was split into begin with
        what that one began with.
        """
        search_id = str(call.params["search_id"])
        shown_by = [self._shown.find(search_id, row.get("product_id")) or call for row in page.rows]
        return bool(shown_by) and all(
            first != call and _query(first) == _query(call) for first in shown_by
        )


def _query(call: ApiCall) -> dict[str, Value]:
    return {name: value for name, value in call.params.items() if name not in PAGE_PARAMETERS}


def _digest(query: Mapping[str, Value]) -> str:
    text = json.dumps(query, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_search(config: Config, arguments: Mapping[str, str]) -> None:
    """Check a search's arguments, also against what the API can search by.

    Raises:
        ConfigurationError: One sentence that names the argument and the way out.
    """
    query = read_arguments(arguments)
    api = choose_apis(config.protocol, config.product_api, config.search_api).search
    for name in ("keyword", "category_id", "sort"):
        if name in query and name not in api.filters:
            raise ConfigurationError(
                f"{api.name} cannot search by {name}: leave it out, or choose another API "
                "with ALI1688_SEARCH_API"
            )
    if api.filters and not query.keys() & {"keyword", "category_id"}:
        raise ConfigurationError("there is nothing to search for: say -a keyword=…")


def read_arguments(arguments: Mapping[str, str]) -> dict[str, Value]:
    """Return a search's parameters from what ``-a`` says.

    Raises:
        ConfigurationError: One sentence that names the argument and the way out.
    """
    query: dict[str, Value] = {}
    for name, text in arguments.items():
        if not text.strip():
            continue
        if name in {"price_start", "price_end"}:
            query[name] = _amount(name, text)
        elif name in {"category_id", "max_pages", "details"}:
            query[name] = _whole(name, text)
        else:
            query[name] = text.strip()
    start, end = query.get("price_start"), query.get("price_end")
    if start is not None and end is not None and Decimal(start) > Decimal(end):
        raise ConfigurationError("price_start is above price_end: swap them")
    return query


def price_fits(price: Any, params: Mapping[str, Value]) -> bool:
    """Tell whether a row's price lies in the range asked for; some APIs do not filter by price."""
    if not isinstance(price, Decimal):
        return True
    start, end = params.get("price_start"), params.get("price_end")
    return (start is None or price >= Decimal(start)) and (end is None or price <= Decimal(end))


def _amount(name: str, text: str) -> str:
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        amount = Decimal(-1)
    if amount.is_finite() and 0 <= amount < 10**12 and amount == round(amount, 4):
        return f"{amount:f}"
    raise ConfigurationError(f"{name} is {text!r}: set it to an amount in CNY, such as 12.50")


def _whole(name: str, text: str) -> int:
    least = 0 if name == "details" else 1
    if text.strip().isdecimal() and least <= int(text) < 2**63:
        return int(text)
    raise ConfigurationError(f"{name} is {text!r}: set it to a whole number from {least} on")
