from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymongo

if TYPE_CHECKING:
    from typing import Self

    from scrapy.crawler import Crawler


class MongoPipeline:
    def __init__(self, uri: str, database: str) -> None:
        self.uri = uri
        self.database = database

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        return cls(crawler.settings["MONGO_URI"], crawler.settings["MONGO_DATABASE"])

    def open_spider(self) -> None:
        self.client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(self.uri)
        self.products = self.client[self.database]["products"]

    def close_spider(self) -> None:
        self.client.close()

    def process_item(self, item: dict[str, Any]) -> dict[str, Any]:
        self.products.update_one({"_id": item["product_id"]}, {"$set": item}, upsert=True)
        return item
