from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError
from scrapy.utils.test import get_crawler

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.scheduling.outage import Outage

if TYPE_CHECKING:
    from scrapy.statscollectors import StatsCollector

LOGGER = "ali1688_spider.scheduling.outage"


class Server:
    """Fails in the ways it is told, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def answer(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


@pytest.fixture
def stats() -> StatsCollector:
    return get_crawler().stats


@pytest.fixture
def outage(stats: StatsCollector) -> Outage:
    return Outage(stats, Backoff(base=0.001, cap=0.001))


async def test_an_answer_is_passed_on(outage: Outage, stats: StatsCollector) -> None:
    assert await outage.patiently(Server().answer) == "answer"
    assert not outage.lasts
    assert not outage.is_recent(3600)
    assert stats.get_value("ali1688/redis/errors") is None


async def test_it_waits_until_there_is_an_answer_and_says_so_once(
    outage: Outage, stats: StatsCollector, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    server = Server(RedisConnectionError("refused"), RedisConnectionError("refused"))
    assert await outage.patiently(server.answer) == "answer"
    assert stats.get_value("ali1688/redis/errors") == 2
    assert not outage.lasts
    assert outage.is_recent(3600)
    away, back = (record for record in caplog.records if record.name == LOGGER)
    expected = "Redis does not answer; waiting, nothing is lost (refused)"
    assert (away.levelno, away.getMessage()) == (logging.WARNING, expected)
    assert (back.levelno, back.getMessage()[:19]) == (logging.INFO, "Redis is back after")


async def test_what_a_person_has_to_mend_is_an_error(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(OutOfMemoryError("command not allowed"))
    assert await outage.patiently(server.answer) == "answer"
    expected = "Redis refuses; waiting until somebody mends it (command not allowed)"
    assert (LOGGER, logging.ERROR, expected) in caplog.record_tuples


async def test_other_errors_are_none_of_its_business(outage: Outage) -> None:
    with pytest.raises(ZeroDivisionError):
        await outage.patiently(Server(ZeroDivisionError()).answer)
