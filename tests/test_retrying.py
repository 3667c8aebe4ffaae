from __future__ import annotations

import asyncio
import logging

import pytest
from redis.exceptions import BusyLoadingError, OutOfMemoryError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ali1688_spider.retrying import ServerRetry, Unavailable, redis_outage


class Server:
    """Fails with *failures*, one at a time, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def answer(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def classify(error: Exception) -> Unavailable | None:
    match error:
        case ConnectionError():
            return Unavailable(f"Start it ({error})")
        case PermissionError():
            return Unavailable("Grant it", logging.ERROR)
    return None


def quick(**options: object) -> ServerRetry:
    return ServerRetry("The server", classify, base=0.001, cap=0.002, **options)  # type: ignore[arg-type]


async def test_an_outage_is_waited_for_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    waits: list[None] = []
    server = Server(*[ConnectionError("refused")] * 3)
    retry = quick(on_wait=lambda: waits.append(None))
    assert await retry.run(server.answer) == "answer"
    assert (server.calls, len(waits)) == (4, 3)
    away, back = caplog.messages
    assert away == ("The server is unavailable; retrying, nothing is lost. Start it (refused)")
    assert back.startswith("The server is back after ")


async def test_what_a_person_has_to_end_is_an_error_even_when_it_comes_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server(ConnectionError(), PermissionError(), ConnectionError())
    await quick().run(server.answer)
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


async def test_other_errors_are_raised_at_once() -> None:
    server = Server(ValueError("wrong"))
    with pytest.raises(ValueError, match="wrong"):
        await quick().run(server.answer)
    assert server.calls == 1


async def test_many_may_wait_at_the_same_time() -> None:
    retry = quick()
    servers = [Server(*[ConnectionError()] * count) for count in range(10)]
    assert await asyncio.gather(*(retry.run(server.answer) for server in servers)) == [
        "answer"
    ] * len(servers)
    assert not retry.is_away


async def test_it_is_known_whether_the_server_was_away_lately() -> None:
    retry = quick()
    assert not retry.was_away_within(60)
    await retry.run(Server(ConnectionError()).answer)
    assert retry.was_away_within(60)
    assert not retry.was_away_within(0)


async def test_a_program_that_closes_waits_for_some_seconds_only() -> None:
    server = Server(*[ConnectionError()] * 1000)
    retry = quick(is_closing=lambda: True, on_give_up=RuntimeError, grace_seconds=0)
    with pytest.raises(RuntimeError, match="The server stayed away while the crawl was closing"):
        await retry.run(server.answer)
    # What comes now does not wait for it once more.
    calls = server.calls
    with pytest.raises(RuntimeError):
        await retry.run(server.answer)
    assert server.calls == calls


async def test_a_program_that_closes_still_waits_when_the_server_comes_back() -> None:
    retry = quick(is_closing=lambda: True, grace_seconds=3600)
    assert await retry.run(Server(*[ConnectionError()] * 3).answer) == "answer"


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


async def test_an_operation_that_never_gives_up_shares_what_is_known_of_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    retry = quick(is_closing=lambda: True, on_give_up=RuntimeError, grace_seconds=0)
    with pytest.raises(RuntimeError):
        await retry.run(Server(*[ConnectionError()] * 9).answer)
    assert await retry.run(Server(*[ConnectionError()] * 9).answer, give_up=False) == "answer"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
