"""Crawls without a gateway: run with ``COUNT NAME=VALUE ...``, it stores so many products.

After half of them it waits for a line, or the end, of its input. Writes the statistics as JSON on
its last line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from scrapy import Request, Spider
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.settings import Settings
from scrapy.utils.misc import load_object

from ali1688_spider.items import Product
from ali1688_spider.storage import database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from scrapy.http import Response


class ProductsSpider(Spider):
    name = "products"
    count = 0

    async def start(self) -> AsyncIterator[Any]:
        for number in range(1, self.count + 1):
            if number == self.count // 2 + 1:
                await asyncio.to_thread(sys.stdin.readline)
            yield Request(f"data:,{number}")

    def parse(self, response: Response) -> Iterator[Product]:
        number = int(response.body)
        yield Product(
            product_id=number,
            name="裙",
            price=Decimal("12.50"),
            stock=number,
            url=f"https://detail.1688.com/offer/{number}.html",
            source_api="test",
            fetched_at=datetime.now(UTC),
        )


def main() -> None:
    database.SELECTION_SECONDS = 1  # so that an outage takes less of a test's time
    settings = Settings()
    settings.setmodule("ali1688_spider.settings", priority="project")
    given = dict(argument.split("=", 1) for argument in sys.argv[2:])
    settings.update(
        {
            "ALI1688_APP_KEY": "1000000",
            "ALI1688_APP_SECRET": "test123",
            "REDIS_URL": "",
            "SCHEDULER": "scrapy.core.scheduler.Scheduler",  # ours takes calls of the API only
            "DOWNLOAD_HANDLERS": {},
            "DOWNLOADER_MIDDLEWARES": {},
            "LOG_LEVEL": "INFO",
            **given,
        },
        priority="cmdline",
    )
    if loop := settings["ASYNCIO_EVENT_LOOP"]:
        asyncio.set_event_loop(load_object(loop)())  # as the command does
    process = AsyncCrawlerProcess(settings)
    crawler = process.create_crawler(ProductsSpider)
    process.crawl(crawler, count=int(sys.argv[1]))
    process.start()
    assert crawler.stats is not None
    sys.stdout.write(json.dumps(crawler.stats.get_stats(), default=str) + "\n")


if __name__ == "__main__":
    main()
