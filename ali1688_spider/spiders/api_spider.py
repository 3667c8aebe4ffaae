"""What all spiders share: calls become requests, answers become products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from scrapy import Spider

from ali1688_spider.addon import account_of
from ali1688_spider.exceptions import ConfigurationError, UnexpectedAnswerError
from ali1688_spider.gateway.parsing.product import removed_fields
from ali1688_spider.items import ProductAnswer
from ali1688_spider.requests import ApiRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scrapy.crawler import Crawler
    from typing_extensions import Self

    from ali1688_spider.configuration import Configuration
    from ali1688_spider.gateway.calls import ApiCall
    from ali1688_spider.responses import ApiResponse


class ApiSpider(Spider):
    """Base of the spiders.

    Attributes:
        arguments: The names that ``-a`` may set.
    """

    # Scrapyd passes _job along with a schedule's own arguments.
    arguments: ClassVar[frozenset[str]] = frozenset({"_job"})

    @classmethod
    def check_arguments(cls, configuration: Configuration, arguments: Mapping[str, str]) -> None:
        """Check what ``-a`` says, before the crawl starts.

        Raises:
            ConfigurationError: One sentence that names the argument and the way out.
        """
        unknown = sorted(set(arguments) - cls.arguments)
        if unknown:
            known = ", ".join(sorted(cls.arguments - {"_job"}))
            raise ConfigurationError(
                f"the spider {cls.name} has no argument {unknown[0]!r}: it has {known}"
            )

    async def room(self) -> None:
        """Return when the scheduler wants more start requests."""
        scheduler = self.crawler.engine.scheduler
        assert isinstance(scheduler, (MemoryScheduler, RedisScheduler))
        await scheduler.room()

    def request(self, call: ApiCall, *, priority: int = 0) -> ApiRequest:
        """Return the request for *call*."""
        url = account_of(self.crawler).address(call)
        return ApiRequest(url, call=call, method="POST", priority=priority, dont_filter=True)

    def parse(self, response: ApiResponse, **_: Any) -> Iterator[Any]:
        """Make products of an answer."""
        yield self.parse_product(response)

    def parse_product(self, response: ApiResponse) -> ProductAnswer:
        """Make the product of the answer to a product call; what it lacks, validation says."""
        assert response.request is not None
        call = response.request.call
        api = account_of(self.crawler).apis.product
        product_id = call.params["product_id"]
        if response.gone:
            fields = removed_fields(product_id)
        else:
            fields = api.parse(response.payload)
        return ProductAnswer(fields, response.payload, api.name, response.fetched_at)
