"""Scrapy alone: its scheduler in memory, its default settings, and nothing is stored.

Run by ``scrapy runspider``, with the concurrency equal to the project's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scrapy import Request, Spider

from benchmarks.rivals.signed_url import signed_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from scrapy.http import Response


class InMemorySpider(Spider):
    name = "in_memory"
    first: str
    count: str

    async def start(self) -> AsyncIterator[Request]:
        for product_id in range(int(self.first), int(self.first) + int(self.count)):
            yield Request(signed_url(product_id), cb_kwargs={"product_id": product_id})

    def parse(self, response: Response, product_id: int) -> Iterator[dict[str, Any]]:
        product = json.loads(response.text)["result"]["product"]
        yield {
            "product_id": product_id,
            "name": product["productName"],
            "price": product["price"],
            "stock": product["quantity"],
        }
