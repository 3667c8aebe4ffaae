"""What all spiders share: arguments are checked, calls become requests, responses products."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf
from scrapy import Spider, signals
from scrapy.core.scheduler import Scheduler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

from ali1688_spider.addon import context_of
from ali1688_spider.config import UserInput
from ali1688_spider.exceptions import ConfigurationError, MalformedMessageError
from ali1688_spider.gateway.calls import OPERATIONS, ApiCall
from ali1688_spider.gateway.pictures import require_pillow
from ali1688_spider.http import ApiRequest, ApiResponse
from ali1688_spider.items import REMOVED, ParsedProduct
from ali1688_spider.middlewares.errors import ErrorsMiddleware

if TYPE_CHECKING:
    from ali1688_spider.config import Config
    from ali1688_spider.gateway.calls import Operation, ServiceCall
    from ali1688_spider.gateway.fields import Fields

SCRAPYD_ARGUMENTS = frozenset({"_job", "_version"})
"""What Scrapyd passes along with a schedule's own arguments."""


def _read_calls(file: str) -> tuple[ApiCall, ...]:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        return tuple(ApiCall.decode(line) for line in lines)
    except (OSError, UnicodeDecodeError, MalformedMessageError) as error:
        raise ConfigurationError(
            f"calls_file {file!r} cannot be read ({error}): name a file of calls, one a line as "
            "the queue holds them"
        ) from None


def _check_pillow(is_wanted: bool) -> bool:  # noqa: FBT001  # what pydantic passes
    if is_wanted:
        require_pillow("-a images=1")
    return is_wanted


class Arguments(UserInput):
    """What ``-a`` may say to every spider.

    Attributes:
        idle: With Redis: seconds without work after which a worker ends; without it, it stays.
        calls: File of calls that are made instead of the spider's own, as ``scrapy queue clear
            --save`` writes it.
        images: 1 downloads the pictures of products and SKUs.
        description: 1 keeps the HTML of the products' pages in the field ``description``.
    """

    idle: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="a number of seconds, such as -a idle=60"
    )
    calls: Annotated[tuple[InstanceOf[ApiCall], ...] | None, BeforeValidator(_read_calls)] = Field(
        None, alias="calls_file"
    )
    images: Annotated[bool, AfterValidator(_check_pillow)] = Field(
        False, description="1 to download the pictures of products, or 0"
    )
    description: bool = Field(False, description="1 to keep the products' descriptions, or 0")

    def check_config(self, config: Config, given: Collection[str]) -> None:
        """Check what depends on the settings; *given* names the arguments, empty ones too."""


class ApiSpider(Spider):
    """Base of the spiders; no ``ABC``, of which Scrapy's feeds cannot read all attributes.

    Attributes:
        arguments: What ``-a`` says.
        given_arguments: The same as texts, as they were given.
        idle_seconds: How long a worker stays without work; None: by the spider.
        operations: The calls that it makes; the queue's others go to the failed calls.
        uses_cache: Whether a response may come from the cache.
        joins_crawl: Whether workers that were started with the same calls share one crawl of them,
            which ends.
        has_source: Whether the crawl begins with calls of its own.
        source_digest: A name for these calls, the same wherever the same ones are asked for; None
            when they cannot be known beforehand.
        remembers_wanted: Whether :meth:`wanted` will be asked for.
        outlasts_quota: Whether the crawl waits for the next day when the day's quota is used up,
            instead of ending.
    """

    arguments_class: ClassVar[type[Arguments]] = Arguments
    arguments: Arguments
    given_arguments: Mapping[str, str]
    operations: ClassVar[AbstractSet[Operation]] = OPERATIONS
    uses_cache: bool = True
    joins_crawl: bool = True
    has_source: bool = True
    source_digest: str | None = None
    remembers_wanted: bool = False
    outlasts_quota: bool = False

    def __init__(self, **arguments: str) -> None:
        super().__init__()
        self.given_arguments = arguments
        self.arguments = self.read_arguments(arguments)
        self.idle_seconds = self.arguments.idle

    @classmethod
    def read_arguments(cls, given: Mapping[str, str]) -> Arguments:
        """Return what ``-a`` says, as an instance of ``arguments_class``.

        Raises:
            ConfigurationError: One sentence that names the argument and the way out.
        """
        own = {name: text for name, text in given.items() if name not in SCRAPYD_ARGUMENTS}
        fields = cls.arguments_class.model_fields.items()
        known = {field.alias or name for name, field in fields}
        if unknown := sorted(own.keys() - known):
            raise ConfigurationError(
                f"the spider {cls.name} has no argument {unknown[0]!r}: "
                f"it has {', '.join(sorted(known))}"
            )
        return cls.arguments_class.read(own)

    @classmethod
    def check_arguments(cls, config: Config, given: Mapping[str, str]) -> None:
        """Check what ``-a`` says, before the crawl starts; raises as :meth:`read_arguments`."""
        cls.read_arguments(given).check_config(config, given.keys())

    def calls(self) -> AsyncIterator[tuple[ApiCall, int]]:
        """Yield the calls that the crawl begins with, and their priorities."""
        raise NotImplementedError

    async def wanted(self) -> AbstractSet[int]:
        """Return the products that the crawl's own calls were for, or have found, in any worker."""
        return frozenset()

    def repeat_in(self, call: ApiCall) -> float | None:  # noqa: ARG002  # for spiders that do
        """Return the seconds after which a finished call is made again; None: never."""
        return None

    async def start(self) -> AsyncIterator[ApiRequest]:
        """Yield a request for each call, one when the scheduler has no other.

        With Redis there is none: the scheduler reads :meth:`all_calls` itself.
        """
        if context_of(self.crawler).config.redis_url:
            return
        scheduler = self.crawler.engine.scheduler
        assert isinstance(scheduler, Scheduler)
        async for call, priority in self.all_calls():
            while len(scheduler):
                await self.crawler.signals.wait_for(signals.scheduler_empty)
            yield self.request(call, priority=priority)

    def can_read_again(self) -> bool:
        """Return whether :meth:`all_calls` yields the same calls once more; may block."""
        return True

    async def all_calls(self) -> AsyncGenerator[tuple[ApiCall, int]]:
        """Yield the calls of ``calls_file``; without it, those of :meth:`calls`."""
        if self.arguments.calls is not None:
            products = sum(call.operation == "product" for call in self.arguments.calls)
            self.crawler.stats.set_value("ali1688/wanted", products)
            for call in self.arguments.calls:
                yield call, 0
        else:
            async for call, priority in self.calls():
                yield call, priority

    def request(self, call: ApiCall, **options: Any) -> ApiRequest:
        """Return the request for *call*; *options* are :class:`ApiRequest`'s own."""
        return ApiRequest(
            context_of(self.crawler).client.address(call),
            call=call,
            method="POST",
            dont_filter=True,
            errback=self.call_failed,
            **options,
        )

    async def respond(self, call: ServiceCall) -> Any:
        """Return the data of the response to a call that is made at once, outside the queue.

        It passes the middlewares as all calls do: the quota, the breaker, the signature, a refused
        token or timestamp, and a pause that the platform asks for.

        Raises:
            CallError: It brought no data; it was not tried again.
            CrawlClosingError: The crawl is closing.
        """
        response = await self.crawler.engine.download_async(self.request(call))
        assert isinstance(response, ApiResponse)
        return response.payload

    async def call_failed(self, failure: Any) -> AsyncIterator[ApiRequest]:
        """Yield the next try of a call that failed where no middleware has caught it."""
        request = failure.request  # Scrapy adds it to Twisted's ``Failure``
        errors = self.crawler.get_downloader_middleware(ErrorsMiddleware)
        assert errors is not None
        error = failure.value
        try:
            next_try = await errors.process_exception(request, error)
            if isinstance(next_try, ApiRequest):
                yield next_try
                return
        except IgnoreRequest as settled:
            error = settled
        for lease in request.leases:
            lease.fail(error)

    def parse(self, response: Response, **_: Any) -> Iterable[Any] | AsyncIterator[Any]:
        """Make products of a response."""
        assert isinstance(response, ApiResponse)
        return self.parse_products(response)

    def parse_products(self, response: ApiResponse) -> Iterator[ParsedProduct]:
        """Make the products of the response to a product call; validation says what they lack."""
        assert response.request is not None
        api = context_of(self.crawler).client.apis.product
        fetched_at, product_ids = response.fetched_at, response.request.call.product_ids
        found: dict[Any, tuple[Fields, Any]] = {}
        if response.gone:
            found = {each: ({"status": REMOVED}, response.payload) for each in product_ids}
        else:
            described = self.arguments.description
            for fields, payload in api.products(response.payload, description=described):
                asked = product_ids[0] if len(product_ids) == 1 else None
                found[fields.get("product_id", asked)] = fields, payload
        for product_id in product_ids:
            # A response about another product is none.
            fields, payload = found.get(product_id, ({}, response.payload))
            fields = {**fields, "product_id": product_id}
            yield ParsedProduct(fields, payload, api.name, fetched_at, complete=api.is_complete)
