"""``scrapy crawl product``: the details of given products, or of those that are queued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.spiders.base import ApiSpider
from ali1688_spider.spiders.ids import IdentifierSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from collections.abc import Set as AbstractSet

    from ali1688_spider.config import Config
    from ali1688_spider.gateway.calls import Operation


class ProductSpider(ApiSpider):
    """Collects the products of ``ids`` and ``ids_file``; without either, those queued in Redis."""

    name = "product"
    operations: ClassVar[AbstractSet[Operation]] = frozenset({"product"})
    arguments: ClassVar[frozenset[str]] = ApiSpider.arguments | {"ids", "ids_file"}

    def __init__(self, ids: str = "", ids_file: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = IdentifierSource(ids, ids_file)
        self.has_source = bool(self.source or self.calls_file)
        self.source_digest = self.source.digest if self.source else None

    @classmethod
    def check_arguments(cls, config: Config, arguments: Mapping[str, str]) -> None:
        """Check what ``-a`` says, before the crawl starts."""
        super().check_arguments(config, arguments)
        source = IdentifierSource(arguments.get("ids", ""), arguments.get("ids_file", ""))
        source.check()
        if not (source or config.redis_url or arguments.get("calls_file")):
            raise ConfigurationError(
                "there is nothing to collect: say which products with -a ids=610000000001,… or "
                "-a ids_file=FILE, or set REDIS_URL to work on those that are queued there"
            )

    async def calls(self) -> AsyncIterator[tuple[ApiCall, int]]:
        """Yield a call for each product."""
        async for product_id in self.source.read(self):
            yield ApiCall.product(product_id), 0

    def can_read_again(self) -> bool:
        """Return whether the ids are still the same, and come from no pipe."""
        return self.source.digest == self.source_digest and not self.source.is_stream
