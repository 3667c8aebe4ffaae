"""What makes workers die, for the tests: a spider middleware that they are given by ``-s``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ali1688_spider.http import ApiResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Self

    from scrapy.crawler import Crawler
    from scrapy.http import Response


class Poison:
    """Ends the process at once when an answer about one of the products of ``POISON`` arrives."""

    def __init__(self, product_ids: set[int]) -> None:
        self._product_ids = product_ids

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(set(map(int, crawler.settings.getlist("POISON"))))

    async def process_spider_output(
        self, response: Response, result: AsyncIterator[Any]
    ) -> AsyncIterator[Any]:
        assert isinstance(response, ApiResponse)
        assert response.request is not None
        if response.request.call.params.get("product_id") in self._product_ids:
            os._exit(9)
        async for output in result:
            yield output
