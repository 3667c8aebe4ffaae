"""What all spiders share: calls become requests, answers become products."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from scrapy import Spider
from scrapy.exceptions import IgnoreRequest

from ali1688_spider.addon import context_of
from ali1688_spider.exceptions import ConfigurationError, MalformedMessageError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.gateway.parsing.product import removed_fields
from ali1688_spider.http import ApiRequest, ApiResponse
from ali1688_spider.items import ProductAnswer
from ali1688_spider.middlewares.errors import ErrorsMiddleware
from ali1688_spider.scheduling.memory_scheduler import MemoryScheduler
from ali1688_spider.scheduling.messages import ALL_OPERATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from scrapy.http import Response

    from ali1688_spider.config import Config
    from ali1688_spider.gateway.calls import Operation

SCRAPYD_ARGUMENTS = frozenset({"_job", "_version"})
"""What Scrapyd passes along with a schedule's own arguments."""


class ApiSpider(Spider):
    """Base of the spiders.

    Attributes:
        arguments: The names that ``-a`` may set. ``calls_file`` names a file of calls, one a line
            as the queue holds them, to make instead of the spider's own.
        operations: The calls that it makes; the queue's others go to the failed calls.
        idle_seconds: How long a worker stays without work; None: as its spider sees fit.
        uses_cache: Whether an answer may come from the cache.
        joins_crawl: Whether workers that were started with the same calls share one crawl of them,
            which ends.
        has_source: Whether the crawl begins with calls of its own.
        source_digest: A name for these calls, the same wherever the same ones are asked for; None
            when they cannot be told beforehand.
        outlasts_quota: Whether the crawl waits for the next day when the day's quota is used up,
            instead of ending.
    """

    arguments: ClassVar[frozenset[str]] = SCRAPYD_ARGUMENTS | {"idle", "calls_file"}
    operations: ClassVar[AbstractSet[Operation]] = ALL_OPERATIONS
    uses_cache: bool = True
    joins_crawl: bool = True
    has_source: bool = True
    source_digest: str | None = None
    outlasts_quota: bool = False

    def __init__(self, idle: str = "", calls_file: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.idle_seconds = _idle_seconds(idle)
        self.calls_file = calls_file

    @classmethod
    def check_arguments(
        cls,
        config: Config,  # noqa: ARG003  # for spiders that need more
        arguments: Mapping[str, str],
    ) -> None:
        """Check what ``-a`` says, before the crawl starts.

        Raises:
            ConfigurationError: One sentence that names the argument and the way out.
        """
        unknown = sorted(set(arguments) - cls.arguments)
        if unknown:
            known = ", ".join(sorted(cls.arguments - SCRAPYD_ARGUMENTS))
            raise ConfigurationError(
                f"the spider {cls.name} has no argument {unknown[0]!r}: it has {known}"
            )
        _idle_seconds(arguments.get("idle", ""))
        if arguments.get("calls_file"):
            _read_calls(arguments["calls_file"])

    def calls(self) -> AsyncIterator[tuple[ApiCall, int]]:
        """Yield the calls that the crawl begins with, and their priorities."""
        raise NotImplementedError

    def repeat_in(self, call: ApiCall) -> float | None:  # noqa: ARG002  # for spiders that do
        """Return the seconds after which a settled call is made anew; None: it is done with."""
        return None

    async def start(self) -> AsyncIterator[ApiRequest]:
        """Yield a request for each call, reading no further ahead than needed.

        With Redis there is none: the scheduler reads :meth:`all_calls` itself.
        """
        if context_of(self.crawler).config.redis_url:
            return
        scheduler = self.crawler.engine.scheduler
        assert isinstance(scheduler, MemoryScheduler)
        async for call, priority in self.all_calls():
            await scheduler.room()
            yield self.request(call, priority=priority)

    def can_read_again(self) -> bool:
        """Return whether :meth:`all_calls` yields the same calls once more; may block."""
        return True

    async def all_calls(self) -> AsyncGenerator[tuple[ApiCall, int]]:
        """Yield the calls of ``calls_file``; without it, those of :meth:`calls`."""
        if self.calls_file:
            for call in _read_calls(self.calls_file):
                yield call, 0
        else:
            async for call, priority in self.calls():
                yield call, priority

    def request(self, call: ApiCall, **options: Any) -> ApiRequest:
        """Return the request for *call*; *options* are :class:`ApiRequest`'s own."""
        return ApiRequest(
            context_of(self.crawler).address(call),
            call=call,
            method="POST",
            dont_filter=True,
            errback=self.call_failed,
            **options,
        )

    async def call_failed(self, failure: Any) -> AsyncIterator[ApiRequest]:
        """Yield the next try of a call that failed where no middleware has caught it.

        Args:
            failure: Twisted's ``Failure``, to which Scrapy adds the request.
        """
        request = failure.request
        errors = self.crawler.get_downloader_middleware(ErrorsMiddleware)
        assert errors is not None
        try:
            next_try = await errors.process_exception(request, failure.value)
        except IgnoreRequest as settled:
            failure.value, next_try = settled, None
        if isinstance(next_try, ApiRequest):
            yield next_try
        elif request.handling is not None:
            request.handling.failed(failure.value)

    def parse(self, response: Response, **_: Any) -> Iterator[Any]:
        """Make products of an answer."""
        assert isinstance(response, ApiResponse)
        yield self.parse_product(response)

    def parse_product(self, response: ApiResponse) -> ProductAnswer:
        """Make the product of the answer to a product call; what it lacks, validation says."""
        assert response.request is not None
        api = context_of(self.crawler).apis.product
        product_id = int(response.request.call.params["product_id"])
        fields = removed_fields(product_id) if response.gone else api.parse(response.payload)
        if fields.setdefault("product_id", product_id) != product_id:
            fields = {"product_id": product_id}  # an answer about another product is none
        return ProductAnswer(fields, response.payload, api.name, response.fetched_at)


def _read_calls(file: str) -> list[ApiCall]:
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        return [ApiCall.decode(line) for line in lines]
    except (OSError, UnicodeDecodeError, MalformedMessageError) as error:
        raise ConfigurationError(
            f"calls_file {file!r} cannot be read ({error}): name a file of calls, one a line as "
            "the queue holds them"
        ) from None


def _idle_seconds(text: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if 0 <= seconds < float("inf"):
        return seconds
    raise ConfigurationError(f"idle is {text!r}: set it to a number of seconds, such as -a idle=60")
