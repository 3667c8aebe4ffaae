"""Stores products in batches as the project does, but keeps no history of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne

from ali1688_spider.batching import BatchWriter
from ali1688_spider.items import Product
from ali1688_spider.pipelines.mongo import GATHER_SECONDS
from ali1688_spider.storage.database import connect

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from scrapy.crawler import Crawler


class PlainStorePipeline:
    def __init__(self, uri: str, database: str) -> None:
        self.database = connect(uri, database)
        self.products = self.database["products"]
        self.batches = BatchWriter[Product, None](self.write, gather_seconds=GATHER_SECONDS)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler.settings["MONGO_URI"], crawler.settings["MONGO_DATABASE"])

    async def process_item(self, item: Product) -> Product:
        await self.batches.put(item)
        return item

    async def write(self, batch: Sequence[Product]) -> list[Exception | None]:
        await self.products.bulk_write([self.upsert(product) for product in batch], ordered=False)
        return [None] * len(batch)

    def upsert(self, product: Product) -> UpdateOne:
        record: dict[str, Any] = dict(product.__dict__)
        return UpdateOne({"_id": product.product_id}, {"$set": record}, upsert=True)

    async def close_spider(self) -> None:
        await self.batches.close()
        await self.database.client.close()
