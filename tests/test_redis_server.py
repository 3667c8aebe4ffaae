from __future__ import annotations

import logging

import pytest
from redis.exceptions import BusyLoadingError, OutOfMemoryError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ali1688_spider.redis_server import redis_outage
from ali1688_spider.retrying import Unavailable


@pytest.mark.parametrize("kind", [RedisConnectionError, RedisTimeoutError, BusyLoadingError])
def test_a_redis_that_does_not_answer_is_an_outage(kind: type[RedisError]) -> None:
    assert redis_outage(kind("refused")) == Unavailable(
        "Redis does not answer (refused)", logging.WARNING
    )


def test_a_rejected_command_is_an_outage_that_a_person_has_to_end() -> None:
    assert redis_outage(OutOfMemoryError("command not allowed")) == Unavailable(
        "Redis rejects the command (command not allowed)", logging.ERROR
    )


def test_other_errors_are_none() -> None:
    assert redis_outage(ZeroDivisionError()) is None
    assert redis_outage(TimeoutError()) is None
