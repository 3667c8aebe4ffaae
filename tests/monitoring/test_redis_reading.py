from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from ali1688_spider.monitoring.redis_reading import calls_wanted, explain_redis, used_up_at
from ali1688_spider.scheduling.steering import QueueCounts, QueueStatus
from ali1688_spider.statistics.sums import Minute

NOW = datetime(2026, 11, 29, 10, 30, 20, tzinfo=UTC)


def minutes(*calls: int) -> tuple[Minute, ...]:
    """Return minutes with so many calls; the present one is the last."""
    return tuple(Minute(NOW, 0, number, 0, 0, 0) for number in calls)


def queue(messages: int, ready: int, delayed: int, leased: int) -> QueueStatus:
    return QueueStatus(QueueCounts(messages, ready, delayed, leased, None), None, None, ())


@pytest.mark.parametrize(
    ("calls", "left", "minutes_left"),
    [
        ([10] * 20, 100, 10.0),
        ([0] * 10 + [10] * 3, 100, 10.0),  # of late alone
        ([20, 0, 0, 20, 7], 100, 10.0),
        ([1000, *[10] * 15, 7], 100, 10.0),
        ([10, 10, 10], 0, 0.0),
        ([0] * 20, 100, None),
        ([0] * 20 + [50], 100, None),  # this minute is not over
        ([50], 100, None),
        ([], 100, None),
    ],
)
def test_when_the_calls_will_be_used_up(
    calls: list[int], left: int, minutes_left: float | None
) -> None:
    expected = None if minutes_left is None else NOW + timedelta(minutes=minutes_left)
    assert used_up_at(minutes(*calls), left, NOW) == expected


def test_an_end_in_the_far_future_is_a_time_as_well() -> None:
    end = used_up_at(minutes(1, 0), 10**18, NOW)
    assert end is not None
    assert end > NOW + timedelta(days=600)


def test_queues_want_what_is_in_them() -> None:
    queues = {"product": queue(1, 2, 3, 4), "search": queue(0, 5, 0, 0)}
    assert calls_wanted(queues) == 15
    assert calls_wanted({**queues, "watch": queue(9, 0, 0, 0)}) == 24
    assert calls_wanted({**queues, "watch": queue(0, 0, 1, 0)}) == math.inf


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TimeoutError(), "no answer within 6 s"),
        (RedisConnectionError("Error 111 connecting to a:1. Refused."), "Error 111 connecting "),
        (AuthenticationError("WRONGPASS"), "it refuses the user name or the password of REDIS_URL"),
        (NoPermissionError("this user"), "it does not let the user of REDIS_URL do this (this "),
        (ResponseError("LOADING"), "LOADING"),
        (RedisError(), "RedisError"),
    ],
)
def test_why_redis_cannot_be_asked(error: Exception, told: str) -> None:
    text = explain_redis(error)
    assert text.startswith(told)
    assert not text.endswith(".")
