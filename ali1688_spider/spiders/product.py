"""``scrapy crawl product``: the details of given products, or of those that are queued."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import model_validator

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.spiders.base import ApiSpider, Arguments
from ali1688_spider.spiders.ids import IdentifierSource

if TYPE_CHECKING:
    from ali1688_spider.config import Config
    from ali1688_spider.gateway.calls import Operation


class IdArguments(Arguments):
    """What ``-a`` may say to a spider that is given products; see :class:`IdentifierSource`.

    Attributes:
        ids: Product ids or URLs.
        ids_file: File of product ids or URLs: a text, ``.csv``, ``.xlsx``, ``.jsonl`` or
            ``.parquet``; ``-`` is standard input.
    """

    ids: str = ""
    ids_file: str = ""

    @property
    def source(self) -> IdentifierSource:
        """The products' ids."""
        return IdentifierSource(self.ids, self.ids_file)

    @model_validator(mode="after")
    def _check_file(self) -> Self:
        self.source.check()
        return self


class ProductArguments(IdArguments):
    """What ``-a`` may say to the spider ``product``."""

    def check_config(self, config: Config, given: Collection[str]) -> None:  # noqa: ARG002
        """Refuse a crawl that would have nothing to do."""
        if not (self.source or config.redis_url or self.calls is not None):
            raise ConfigurationError(
                "there is nothing to collect: say which products with -a ids=610000000001,… or "
                "-a ids_file=FILE, or set REDIS_URL to work on those that are queued there"
            )


class ProductSpider(ApiSpider):
    """Collects the products of ``ids`` and ``ids_file``; without either, those queued in Redis."""

    name = "product"
    operations: ClassVar[AbstractSet[Operation]] = frozenset({"product"})
    arguments_class = ProductArguments
    arguments: ProductArguments

    def __init__(self, **arguments: str) -> None:
        super().__init__(**arguments)
        self.source = self.arguments.source
        self._wanted: set[int] = set()
        self.has_source = bool(self.source) or self.arguments.calls is not None
        self.source_digest = self.source.digest if self.source else None

    async def calls(self) -> AsyncIterator[tuple[ApiCall, int]]:
        """Yield a call for each product."""
        async for product_id in self.source.read(self):
            self.crawler.stats.set_value("ali1688/wanted", self.source.ids_read)
            if self.remembers_wanted:
                self._wanted.add(product_id)
            yield ApiCall.product(product_id), 0

    async def wanted(self) -> AbstractSet[int]:
        """Return the ids that were read."""
        return self._wanted

    def can_read_again(self) -> bool:
        """Return whether the ids are still the same, and come from no pipe."""
        return self.source.digest == self.source_digest and not self.source.is_stream
