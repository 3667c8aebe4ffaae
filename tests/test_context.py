from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as RedisConnectionError
from scrapy.utils.test import get_crawler

from ali1688_spider import settings
from ali1688_spider.addon import context_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from scrapy.crawler import Crawler


def crawler_with(redis_url: str) -> Crawler:
    values: dict[str, Any] = {name: getattr(settings, name) for name in dir(settings)}
    values = {name: value for name, value in values.items() if name.isupper()}
    values |= {"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "test123"}
    return get_crawler(settings_dict=values | {"REDIS_URL": redis_url, "MONGO_URI": ""})


async def test_redis_is_waited_for_and_each_wait_is_counted(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    crawler = crawler_with("redis://127.0.0.1:1/0")
    context = context_of(crawler)
    context.shutdown = SimpleNamespace(in_progress=False)  # type: ignore[assignment]
    failures = [RedisConnectionError("gone")]

    async def operation() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert await context.redis_retry.run(operation) == "done"
    assert crawler.stats.get_value("ali1688/redis/errors") == 1
    assert "Redis does not answer (gone)" in caplog.messages[-2]
    assert caplog.messages[-1].startswith("Redis is back after")


def test_without_its_address_there_is_no_client_of_redis() -> None:
    assert context_of(crawler_with("")).redis is None
    assert context_of(crawler_with("redis://127.0.0.1:1/0")).redis is not None
