"""``scrapy failed`` with more calls than it takes at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.keys import QUEUE_KEY
from ali1688_spider.scheduling.queue import LeaseQueue, open_queue
from ali1688_spider.storage.failed_calls import FailedCall, RedisFailedCallStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scrapy.settings import BaseSettings

FIRST = 610_000_000_001
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def failed(
    run_command: Callable[..., int], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Runs the command, five calls at once."""
    monkeypatch.setattr("ali1688_spider.commands.failed.AT_ONCE", 5)
    settings = {"REDIS_URL": redis_url, "ALI1688_APP_KEY": "1", "ALI1688_APP_SECRET": "x"}
    return partial(run_command, "failed", **settings)


def fail(redis: Redis, spider: str, numbers: range, **values: str) -> None:
    calls = [
        FailedCall(
            spider=spider,
            call=values.get("call", ApiCall.product(FIRST + number).encode()),
            api=values.get("api", "alibaba.product.get"),
            params={"product_id": FIRST + number},
            error=values.get("error", "isp.remote-service-timeout"),
            attempts=5,
            at=NOON + timedelta(seconds=number),
        )
        for number in numbers
    ]
    asyncio.run(RedisFailedCallStore(redis).keep_all(calls))


def queued(redis: Redis, spider: str) -> int:
    return LeaseQueue(redis, SimpleNamespace(name=spider), QUEUE_KEY).counts().ready


def test_the_oldest_are_shown_and_all_are_counted(
    failed: Callable[..., int], redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(redis, "product", range(250))
    redis.zadd("ali1688:failed_calls", {"half a li": 1})
    assert failed("list", "--limit", "3") == 0
    out = capsys.readouterr().out
    assert "250 calls were given up" in out
    assert [str(FIRST + number) in out for number in range(5)] == [True] * 3 + [False] * 2
    assert "These are the oldest 3; --limit N shows more." in out
    assert out.endswith("1 entries cannot be read; they are left as they are.\n")
    assert failed("list") == 0
    assert "These are the oldest 100; --limit N shows more." in capsys.readouterr().out
    assert failed("list", "--limit", "0") == 1
    assert capsys.readouterr().err == "Error: --limit is below 1: say how many calls at most.\n"


def test_all_are_queued_in_portions(
    failed: Callable[..., int], redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(redis, "product", range(23))
    fail(redis, "search", range(23, 30))
    fail(redis, "product", range(30, 32), call="spam", api="")
    redis.zadd("ali1688:failed_calls", {"half a li": 1})
    assert failed("retry") == 0
    assert capsys.readouterr().out == (
        "2 are messages that ask for no call; they stay listed.\n"
        "1 entries cannot be read; they are left as they are.\n"
        "30 calls queued again.\n"
    )
    assert (queued(redis, "product"), queued(redis, "search")) == (23, 7)
    assert redis.zcard("ali1688:failed_calls") == 3
    assert failed("retry") == 0
    assert capsys.readouterr().out.startswith("There is no call to retry.\n")


def test_what_is_queued_before_an_interruption_is_listed_no_longer(
    failed: Callable[..., int],
    redis: Redis,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail(redis, "product", range(12))
    fail(redis, "search", range(12, 24))

    def interrupted(settings: BaseSettings, spider: str) -> LeaseQueue:
        if spider == "search":
            raise RedisConnectionError("interrupted")
        return open_queue(settings, spider)

    with monkeypatch.context() as patch:
        patch.setattr("ali1688_spider.scheduling.requeue.open_queue", interrupted)
        assert failed("retry") == 1
    out, error = capsys.readouterr()
    assert out == "10 calls queued again.\n"
    assert error.startswith("Error: Redis does not answer (")
    assert queued(redis, "product") == 10
    assert failed("retry") == 0
    assert capsys.readouterr().out == "14 calls queued again.\n"
    assert (queued(redis, "product"), queued(redis, "search")) == (12, 12)
    assert redis.zcard("ali1688:failed_calls") == 0


def test_one_row_for_each_error(
    failed: Callable[..., int],
    redis: Redis,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for number in range(7):
        fail(redis, "product", range(number, number + 1), error=f"waited {number}.5 s, code 77")
    fail(redis, "search", range(20, 23), error="no such thing")
    assert failed("list", "--by-error") == 0
    out = capsys.readouterr().out
    assert "10 calls were given up" in out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines()]
    assert [row for row in rows if row] == [
        ["7", "waited # s, code #", "2026-11-23 12:00:00", "2026-11-23 12:00:06", f"{FIRST + 6}"],
        ["3", "no such thing", "2026-11-23 12:00:20", "2026-11-23 12:00:22", f"{FIRST + 22}"],
    ]
    assert failed("list", "--by-error", "--limit", "1", "--spider", "product") == 0
    assert "no such thing" not in capsys.readouterr().out
    assert failed("list", "--by-error", "--limit", "1") == 0
    assert "These are the 1 most frequent errors; " in capsys.readouterr().out
    assert failed("list", "--by-error", "--error", "nobody") == 0
    assert capsys.readouterr().out == "No such call was given up.\n"


def test_some_are_dropped_and_others_stay(
    failed: Callable[..., int], redis: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(redis, "product", range(12), error="waited 30 s")
    fail(redis, "product", range(12, 14), error="waited 30 min")
    fail(redis, "search", range(14, 28), error="waited 9 s")
    redis.zadd("ali1688:failed_calls", {"half a li": 1})
    assert failed("drop", "--error", "waited # s") == 1
    assert capsys.readouterr().err == (
        "Error: Drop 26 of the calls that were given up? They are not tried again. There is no "
        "terminal to answer on: say --yes.\n"
    )
    assert failed("drop", "--error", "waited # s", "--spider", "product", "--yes") == 0
    assert capsys.readouterr().out.startswith("12 calls dropped.\n")
    assert failed("drop", "--limit", "6", "--spider", "search", "--yes") == 0
    assert capsys.readouterr().out.startswith("6 calls dropped.\n")
    assert failed("list") == 0
    out = capsys.readouterr().out
    kept = [number for number in range(30) if f"{FIRST + number}" in out]
    assert kept == [12, 13, *range(20, 28)]
    assert failed("drop", "--error", "nobody") == 0
    assert capsys.readouterr().out.startswith("No such call was given up.\n")
    assert failed("retry", "--error", "30 min") == 0
    assert queued(redis, "product") == 2
    assert redis.zcard("ali1688:failed_calls") == 9


def test_only_so_many(failed: Callable[..., int], redis: Redis) -> None:
    fail(redis, "product", range(3), call="spam", api="")
    fail(redis, "search", range(3, 6))
    fail(redis, "product", range(6, 20))
    assert failed("retry", "--spider", "product", "--limit", "7") == 0
    assert (queued(redis, "product"), queued(redis, "search")) == (7, 0)
    assert redis.zcard("ali1688:failed_calls") == 13
