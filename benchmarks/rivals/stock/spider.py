from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scrapy import Request
from scrapy_redis.spiders import RedisSpider

from benchmarks.rivals.signed_url import signed_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scrapy.http import TextResponse


class StockSpider(RedisSpider):  # type: ignore[misc]  # scrapy-redis has no types
    name = "stock"

    def make_request_from_data(self, data: bytes) -> Request:
        product_id = data.decode()
        return Request(signed_url(product_id), cb_kwargs={"product_id": int(product_id)})

    def parse(self, response: TextResponse, product_id: int) -> Iterator[dict[str, Any]]:
        product = response.json()["result"]["product"]
        yield {
            "product_id": product_id,
            "name": product["productName"],
            "price": product["price"],
            "stock": product["quantity"],
        }
