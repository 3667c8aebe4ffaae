"""The breaker: what it lets through, with a clock of the test's own; and what workers share."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ali1688_spider.quota.breaker import (
    EXCUSES,
    FAILURES_TO_OPEN,
    FAILURES_TO_SUSPECT,
    FIRST_CALLS,
    PROBE_SECONDS,
    PROBES,
    CircuitBreaker,
    MemoryOutage,
    RedisOutage,
)
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Outage = MemoryOutage | RedisOutage


class Time:
    """Passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


async def at_once(function: Callable[[], object]) -> object:
    return function()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def make(time: Time) -> Callable[..., CircuitBreaker]:
    """Make breakers, by default with a state of their own."""

    def make(state: Outage | None = None) -> CircuitBreaker:
        state = state or MemoryOutage(time.clock)
        return CircuitBreaker(state, run=at_once, clock=time.clock, sleep=time.sleep)  # type: ignore[arg-type]

    return make


@pytest.fixture
def breaker(make: Callable[..., CircuitBreaker]) -> CircuitBreaker:
    return make()


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def entering(breaker: CircuitBreaker, count: int) -> list[asyncio.Task[bool]]:
    tasks = [asyncio.ensure_future(breaker.enter()) for _ in range(count)]
    await settled()
    return tasks


def passed(tasks: list[asyncio.Task[bool]]) -> int:
    return sum(task.done() for task in tasks)


async def open_it(breaker: CircuitBreaker) -> None:
    await breaker.succeeded()
    for number in range(FAILURES_TO_OPEN):
        await breaker.failed(f"opening {number}", "500")


async def test_a_few_calls_go_ahead_until_one_is_answered(breaker: CircuitBreaker) -> None:
    tasks = await entering(breaker, FIRST_CALLS + 3)
    assert passed(tasks) == FIRST_CALLS
    await breaker.succeeded()
    await settled()
    assert passed(tasks) == len(tasks)
    assert passed(await entering(breaker, 9)) == 9


async def test_a_first_call_that_fails_makes_room_for_its_next_try(breaker: CircuitBreaker) -> None:
    assert passed(await entering(breaker, FIRST_CALLS)) == FIRST_CALLS
    assert not await breaker.failed("1", "500")
    assert passed(await entering(breaker, 2)) == 1


async def test_it_opens_when_calls_fail_as_a_whole(
    breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture
) -> None:
    await breaker.succeeded()
    excused = [await breaker.failed(str(number), "500: why") for number in range(20)]
    assert excused == [False] * (FAILURES_TO_SUSPECT - 1) + [True] * (20 - FAILURES_TO_SUSPECT + 1)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("The gateway takes no calls; they wait and lose no try")
    assert "500: why" in record.getMessage()


async def test_calls_that_fail_among_others_that_do_not_are_their_own_fault(
    breaker: CircuitBreaker,
) -> None:
    for number in range(50):
        assert not await breaker.failed(str(number), "500")
        await breaker.succeeded()


async def test_calls_that_failed_before_tell_nothing_of_the_gateway(
    breaker: CircuitBreaker,
) -> None:
    """What is left at the end of a crawl are the products that always fail."""
    for number in range(FAILURES_TO_OPEN - 1):
        await breaker.succeeded()
        assert not await breaker.failed(str(number), "500")
    await breaker.succeeded()
    for _ in range(4):
        for number in range(FAILURES_TO_OPEN - 1):
            assert not await breaker.failed(str(number), "500")


async def test_before_it_opens_each_call_is_excused_once(breaker: CircuitBreaker) -> None:
    """One that has failed elsewhere already would be given up for what is the gateway's fault."""
    await breaker.succeeded()
    for number in range(FAILURES_TO_SUSPECT - 1):
        assert not await breaker.failed(str(number), "500")
    assert [await breaker.failed("its last try", "500") for _ in range(3)] == [True, False, False]


async def test_it_opens_when_the_only_call_fails_twice(breaker: CircuitBreaker) -> None:
    await breaker.enter()
    assert not await breaker.failed("1", "500")
    await breaker.enter()
    assert await breaker.failed("1", "500")


async def test_it_opens_when_all_first_calls_fail(breaker: CircuitBreaker) -> None:
    await entering(breaker, FIRST_CALLS + 5)
    excused = [await breaker.failed(str(number), "500") for number in range(FIRST_CALLS)]
    assert excused == [False] * (FIRST_CALLS - 1) + [True]


async def test_one_call_that_cannot_reach_the_gateway_is_enough(breaker: CircuitBreaker) -> None:
    await breaker.succeeded()
    assert await breaker.failed("1", "refused", blameless=True)
    assert all([await breaker.failed("1", "refused", blameless=True) for _ in range(99)])


async def test_one_probe_at_a_time_and_less_and_less_often(
    breaker: CircuitBreaker, time: Time
) -> None:
    await open_it(breaker)
    waits = []
    for _ in range(8):
        before = time.now
        tasks = await entering(breaker, 1)
        others = await entering(breaker, 5)
        assert passed(tasks) == 1
        assert tasks[0].result() is True
        assert passed(others) == 0
        waits.append(round(time.now - before, 3))
        for task in others:
            task.cancel()
        await settled()
        await breaker.failed("probe", "500", probe=True)
    assert waits == [0.25, 0.5, 1, 2, 4, 8, PROBES.cap, PROBES.cap]


async def test_a_probe_that_succeeds_lets_all_go(
    breaker: CircuitBreaker, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await open_it(breaker)
    tasks = await entering(breaker, 10)
    assert passed(tasks) == 1
    await breaker.succeeded()  # of a call that was under way
    assert passed(await entering(breaker, 1)) == 0
    time.now += 5
    await breaker.succeeded(probe=True)
    await settled()
    assert [task.result() for task in tasks] == [True] + [False] * 9
    assert caplog.messages[-1] == "The gateway is back after 5.2 s"
    assert not await breaker.failed("later", "500")


async def test_a_call_that_waits_may_be_cancelled(breaker: CircuitBreaker) -> None:
    await open_it(breaker)
    first, second, third = await entering(breaker, 3)
    second.cancel()
    await breaker.failed("probe", "500", probe=first.result())
    await settled()
    assert second.cancelled()
    assert third.result() is True


async def test_a_call_is_not_excused_for_ever(breaker: CircuitBreaker) -> None:
    """Else a few products that always fail would keep a crawl from ending."""
    await open_it(breaker)
    excused = [await breaker.failed("x", "500") for _ in range(EXCUSES + 3)]
    assert excused == [True] * EXCUSES + [False] * 3


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


@pytest.fixture(params=["memory", "redis"])
def state(client: redis.Redis, request: pytest.FixtureRequest) -> Outage:
    return MemoryOutage() if request.param == "memory" else RedisOutage(client, "1")


def test_an_outage_from_its_begin_to_its_end(state: Outage) -> None:
    assert (state.is_known(), state.ask()) == (False, None)
    state.probe_failed()
    assert not state.is_known()

    state.begin()
    assert state.is_known()
    wait = state.ask()
    assert wait is not None
    assert 0 < wait <= PROBES.base
    for failed in range(1, 8):
        state.probe_failed()
        wait = state.ask()
        assert wait is not None
        assert wait == pytest.approx(min(PROBES.cap, PROBES.base * 2**failed), rel=0.2)

    state.end()
    assert (state.is_known(), state.ask()) == (False, None)


def test_one_worker_probes_and_the_others_learn_of_it(client: redis.Redis) -> None:
    one, other = RedisOutage(client, "1"), RedisOutage(client, "1")
    one.begin()
    client.hset(one.key, "next_probe", 0)  # its time has come
    assert one.ask() == 0
    wait = other.ask()
    assert wait == pytest.approx(PROBE_SECONDS, rel=0.1)  # unless the first one is never heard of
    one.end()
    assert other.ask() is None


@pytest.mark.parametrize("value", ["soon", "9" * 300, "-1", "nan", "inf", ""])
@pytest.mark.parametrize("field", ["probes", "next_probe"])
def test_what_makes_no_sense_keeps_nobody_waiting(
    client: redis.Redis, field: str, value: str
) -> None:
    state = RedisOutage(client, "1")
    state.begin()
    client.hset(state.key, field, value)
    wait = state.ask()
    assert wait is not None
    assert wait <= PROBE_SECONDS
    state.probe_failed()
    wait = state.ask()
    assert wait is not None
    assert wait <= PROBES.cap
    client.set(state.key, "something else")
    assert state.ask() is None


async def test_a_worker_opens_with_its_first_failure_when_another_has(
    client: redis.Redis, make: Callable[..., CircuitBreaker]
) -> None:
    one, other = (make(RedisOutage(client, "1")) for _ in range(2))
    await open_it(one)
    await other.succeeded()
    assert await other.failed("x", "500")


async def test_without_redis_a_worker_decides_alone(make: Callable[..., CircuitBreaker]) -> None:
    client = redis.Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    breaker = make(RedisOutage(client, "1"))
    await open_it(breaker)
    (task,) = await entering(breaker, 1)
    assert not task.done()
    task.cancel()
    await breaker.succeeded(probe=True)
    assert passed(await entering(breaker, 3)) == 3
    client.close()


async def test_no_question_overtakes_what_was_noted_before_it(time: Time) -> None:
    """A call must not ask for the outage before the state knows of it, and take it for over."""

    async def slowly(function: Callable[[], object]) -> object:
        for _ in range(9 if function.__name__ in {"begin", "end"} else 1):
            await asyncio.sleep(0)
        return function()

    state = MemoryOutage(time.clock)
    breaker = CircuitBreaker(state, run=slowly, clock=time.clock, sleep=time.sleep)  # type: ignore[arg-type]
    await breaker.succeeded()
    opening = asyncio.ensure_future(breaker.failed("1", "refused", blameless=True))
    await asyncio.sleep(0)
    first, second = await entering(breaker, 2)
    assert (await opening, first.result(), second.done()) == (True, True, False)
    assert state.is_known()

    ending = asyncio.ensure_future(breaker.succeeded(probe=True))
    await asyncio.sleep(0)
    assert await breaker.failed("2", "refused", blameless=True)
    await ending
    assert state.is_known()
