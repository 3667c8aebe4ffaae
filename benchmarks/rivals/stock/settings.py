from __future__ import annotations

import os

BOT_NAME = "stock"
SPIDER_MODULES = ["benchmarks.rivals.stock.spider"]

SCHEDULER = "scrapy_redis.scheduler.Scheduler"
DUPEFILTER_CLASS = "scrapy_redis.dupefilter.RFPDupeFilter"
REDIS_URL = os.environ["REDIS_URL"]
ITEM_PIPELINES = {"benchmarks.rivals.stock.pipeline.MongoPipeline": 300}
MONGO_URI = os.environ["MONGO_URI"]
MONGO_DATABASE = os.environ["MONGO_DATABASE"]
