"""Queues requests as scrapy-redis's scheduler does; arguments: first id, count. Prints seconds."""

from __future__ import annotations

import sys
import time

from scrapy.settings import Settings
from scrapy_redis import connection, defaults
from scrapy_redis.dupefilter import RFPDupeFilter
from scrapy_redis.queue import PriorityQueue

from benchmarks.rivals.stock import settings
from benchmarks.rivals.stock.spider import StockSpider


def fill(first: int, count: int) -> float:
    spider = StockSpider()
    server = connection.from_settings(Settings({"REDIS_URL": settings.REDIS_URL}))
    queue = PriorityQueue(server, spider, defaults.SCHEDULER_QUEUE_KEY)
    names = {"spider": spider.name}
    dupefilter = RFPDupeFilter(server, defaults.SCHEDULER_DUPEFILTER_KEY % names)
    began = time.perf_counter()
    for product_id in range(first, first + count):
        request = spider.make_request_from_data(b"%d" % product_id)
        if not dupefilter.request_seen(request):
            queue.push(request)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(fill(int(sys.argv[1]), int(sys.argv[2])))
