from __future__ import annotations

import asyncio
import logging
import os
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from scrapy.exceptions import NotConfigured
from scrapy.utils.test import get_crawler

from ali1688_spider.addon import context_of
from ali1688_spider.extensions.results import CrawlRecord
from ali1688_spider.spiders.product import ProductSpider
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database
    from scrapy.crawler import Crawler

CREDENTIALS = {"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "the-app-secret"}


@pytest.fixture
def database(mongo_uri: str, mongo_database: str) -> Iterator[Database[dict[str, Any]]]:
    with pymongo.MongoClient[dict[str, Any]](mongo_uri, tz_aware=True) as client:
        yield client[mongo_database]


def crawler_of(mongo_uri: str, mongo_database: str, **arguments: str) -> Crawler:
    from ali1688_spider import settings

    defaults = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
    addresses = {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database, "REDIS_URL": ""}
    crawler = get_crawler(ProductSpider, {**defaults, **CREDENTIALS, **addresses})
    crawler.spider = crawler._create_spider(**{"ids": "1", **arguments})
    return crawler


def test_without_a_database_there_is_no_record() -> None:
    with pytest.raises(NotConfigured):
        CrawlRecord.from_crawler(crawler_of("", "ali1688"))


async def test_one_document_for_each_crawl(
    mongo_uri: str, mongo_database: str, database: Database[dict[str, Any]]
) -> None:
    begun = datetime.now(UTC)
    crawler = crawler_of(mongo_uri, mongo_database)
    record = CrawlRecord.from_crawler(crawler)
    crawler.stats.set_value("ali1688/calls", 7)
    crawler.stats.set_value("ali1688/errors/rate_limit", 2)
    crawler.stats.set_value("spider_exceptions/ValueError", 1)
    crawler.stats.set_value("downloader/request_bytes", 999)
    assert crawler.spider is not None
    await record.end(crawler.spider, "finished")
    await context_of(crawler).close()
    [document] = database["crawls"].find({}, {"_id": 0})
    started_at, finished_at = document.pop("started_at"), document.pop("finished_at")
    assert begun.replace(microsecond=0) <= started_at <= finished_at <= datetime.now(UTC)
    assert finished_at - document.pop("last_seen") < timedelta(seconds=1)
    assert document == {
        "spider": "product",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "arguments": {"ids": "1"},
        "reason": "finished",
        "stats": {
            "ali1688/calls": 7,
            "ali1688/errors/rate_limit": 2,
            "spider_exceptions/ValueError": 1,
        },
    }


async def test_a_database_that_is_away_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    crawler = crawler_of(f"mongodb://user:s3cret@127.0.0.1:{free_port()}/", "ali1688")
    record = CrawlRecord.from_crawler(crawler)
    caplog.set_level(logging.INFO)
    assert crawler.spider is not None
    await record.end(crawler.spider, "database_unavailable")
    assert caplog.messages == []  # the pipeline has said so
    await record.end(crawler.spider, "finished")
    await context_of(crawler).close()
    [message] = caplog.messages
    assert message.startswith("The record of this crawl could not be kept: MongoDB does not answer")
    assert "s3cret" not in message


async def test_a_running_crawl_is_seen(
    mongo_uri: str,
    mongo_database: str,
    database: Database[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ali1688_spider.extensions.results.SEEN_SECONDS", 0.01)
    crawler = crawler_of(mongo_uri, mongo_database, ids="1 " * 999, _job="the-app-secret 1")
    record = CrawlRecord.from_crawler(crawler)
    assert crawler.spider is not None
    record.begin(crawler.spider)

    async def seen(calls: int) -> dict[str, Any]:
        crawler.stats.set_value("ali1688/calls", calls)
        async with asyncio.timeout(20):
            while True:
                await asyncio.sleep(0.005)
                found = database["crawls"].find_one({"stats.ali1688/calls": calls})
                if found is not None:
                    return found

    first, second = await seen(1), await seen(2)
    assert first["_id"] == second["_id"]
    assert first["started_at"] == second["started_at"] <= first["last_seen"] < second["last_seen"]
    assert not {"finished_at", "reason"} & second.keys()
    assert second["arguments"]["ids"] == ("1 " * 999)[:200]
    assert second["arguments"]["_job"] == "*** 1"
    await record.end(crawler.spider, "shutdown")
    await context_of(crawler).close()
    (ended,) = database["crawls"].find()
    assert (ended["reason"], ended["stats"]) == ("shutdown", {"ali1688/calls": 2})
    assert ended["last_seen"] >= second["last_seen"]
