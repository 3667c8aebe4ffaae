from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.quota.exceptions import DailyQuotaExhaustedError, QuotaUnavailableError
from ali1688_spider.quota.memory_quota import MemoryQuota
from ali1688_spider.quota.slot_pacer import SlotPacer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ali1688_spider.quota.quota import Quota, Reservation

T = TypeVar("T")
QPS = 10.3
INTERVAL = 0.1
NOON_IN_CHINA = 4 * 3600.0


class Time:
    """Time that passes when all have done what they can and somebody sleeps, or a thread works."""

    def __init__(self) -> None:
        self.now = 100.0
        self.thread_seconds = 0.0

    def clock(self) -> float:
        return self.now

    def unix_time(self) -> float:
        return NOON_IN_CHINA + self.now

    async def sleep(self, seconds: float) -> None:
        end = self.now + seconds
        for _ in range(20):
            await asyncio.sleep(0)
        self.now = max(self.now, end)

    async def run(self, function: Callable[[], T], /) -> T:
        await asyncio.sleep(0)
        result = function()
        self.now += self.thread_seconds
        return result


class FailingQuota(MemoryQuota):
    """A quota that cannot be reached for some times, and tells what it was asked for."""

    failures = 0
    error: Exception = QuotaUnavailableError("Redis is away")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.asked: list[int] = []

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise self.error

    def reserve(self, count: int, lead_seconds: float = 0.0) -> Reservation:
        self._fail()
        self.asked.append(count)
        return super().reserve(count, lead_seconds)

    def give_back(self, count: int, day: int) -> None:
        self._fail()
        super().give_back(count, day)

    def pause(self, seconds: float) -> None:
        self._fail()
        super().pause(seconds)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def quota(time: Time) -> FailingQuota:
    return FailingQuota(QPS, 0, clock=time.clock, unix_time=time.unix_time)


@pytest.fixture
def pacer(quota: Quota, time: Time) -> SlotPacer:
    backoff = Backoff(base=1, cap=8, random=lambda: 0.5)
    return SlotPacer(quota, run=time.run, clock=time.clock, sleep=time.sleep, backoff=backoff)


async def moments(pacer: SlotPacer, time: Time, count: int) -> list[float]:
    """Ask for slots at once and return when they came, in the order in which they were asked."""

    async def moment() -> float:
        await pacer.slot()
        return round(time.now - 100, 6)

    return await asyncio.gather(*(moment() for _ in range(count)))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # it is other tasks that make it true
        await asyncio.sleep(0)


async def until_idle(pacer: SlotPacer) -> None:
    await until(lambda: pacer._driver is None)


async def test_calls_go_one_after_the_other_in_order(pacer: SlotPacer, time: Time) -> None:
    assert await moments(pacer, time, 6) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]


async def test_idle_time_gives_no_burst(pacer: SlotPacer, time: Time) -> None:
    await pacer.slot()
    time.now += 60

    assert await moments(pacer, time, 3) == [60, 60.1, 60.2]


async def test_without_a_rate_nobody_waits(
    pacer: SlotPacer, time: Time, quota: FailingQuota
) -> None:
    quota.qps = 0
    quota.daily_quota = 1000

    assert await moments(pacer, time, 250) == [0] * 250
    assert quota.usage().used == 250
    assert pacer.stats.utilisation == 0


async def test_a_changed_rate_holds_from_the_next_slots_on(
    pacer: SlotPacer, time: Time, quota: FailingQuota
) -> None:
    await pacer.slot()
    quota.qps = QPS / 10

    assert await moments(pacer, time, 3) == [0.1, 1.1, 2.1]


async def test_slots_are_reserved_in_batches(
    pacer: SlotPacer, time: Time, quota: FailingQuota
) -> None:
    quota.qps = 103

    await moments(pacer, time, 60)

    assert quota.asked == [25, 25, 10]


async def test_statistics_tell_how_long_calls_waited(pacer: SlotPacer, time: Time) -> None:
    await moments(pacer, time, 3)

    statistics = pacer.stats
    assert (statistics.granted, statistics.discarded) == (3, 0)
    assert statistics.waited_seconds == pytest.approx(0.3)
    assert statistics.utilisation == 1
    time.now += 0.55
    assert await pacer.slot() == 0
    assert pacer.stats.utilisation == pytest.approx(4 * INTERVAL / 0.75)


async def test_the_time_of_an_answer_is_allowed_for(
    pacer: SlotPacer, time: Time, quota: FailingQuota
) -> None:
    """The first slot is late before it is known; the next ones are reserved far enough ahead."""
    time.thread_seconds = 0.5

    await pacer.slot()
    assert pacer.stats.discarded == 1
    time.now += 60
    await pacer.slot()
    assert pacer.stats.discarded == 1
    await until_idle(pacer)
    assert quota.usage().used == 2


async def test_a_late_slot_is_given_back(pacer: SlotPacer, time: Time, quota: FailingQuota) -> None:
    async def oversleep(seconds: float) -> None:
        pacer._supply._sleep = time.sleep
        await time.sleep(seconds + 0.03)

    pacer._supply._sleep = oversleep
    assert await moments(pacer, time, 3) == [0, 0.2, 0.3]
    await until_idle(pacer)
    assert pacer.stats.discarded == 1
    assert quota.usage().used == 3


async def test_a_penalty_drops_the_slots_and_holds_all(
    pacer: SlotPacer, time: Time, quota: FailingQuota
) -> None:
    quota.qps = 103
    asked = asyncio.gather(*(pacer.slot() for _ in range(20)))
    await until(lambda: pacer.stats.granted == 5)
    before = time.now

    await pacer.pause(30)
    await asked

    assert time.now - before == pytest.approx(30 + 14 * 0.01, abs=0.02)
    assert quota.usage().lag_seconds == pytest.approx(0.01, abs=0.02)
    await until_idle(pacer)
    assert quota.usage().used == 20


async def test_a_penalty_holds_this_worker_even_when_the_others_cannot_be_told(
    pacer: SlotPacer, time: Time, quota: FailingQuota, caplog: pytest.LogCaptureFixture
) -> None:
    quota.failures = 1

    await pacer.pause(30)

    assert await moments(pacer, time, 1) == [30]
    assert "The other workers are not told to slow down: Redis is away" in caplog.text


async def test_a_penalty_of_another_worker_is_kept(
    pacer: SlotPacer, time: Time, quota: FailingQuota
) -> None:
    quota.pause(60)

    assert await moments(pacer, time, 2) == [60, 60.1]


async def test_nobody_goes_without_the_quota(
    pacer: SlotPacer, time: Time, quota: FailingQuota, caplog: pytest.LogCaptureFixture
) -> None:
    quota.failures = 3

    assert await moments(pacer, time, 2) == [0.5 + 1 + 2, 3.6]
    assert caplog.record_tuples == [
        (
            "ali1688_spider.quota.slot_supply",
            logging.WARNING,
            "No call is made until the quota is known: Redis is away",
        )
    ]


async def test_the_end_of_the_day_reaches_everybody_who_waits(
    pacer: SlotPacer, time: Time, quota: FailingQuota
) -> None:
    quota.daily_quota = 2

    answers = await asyncio.gather(*(pacer.slot() for _ in range(4)), return_exceptions=True)

    assert answers[:2] == [0, pytest.approx(0.1)]
    assert [type(answer) for answer in answers[2:]] == [DailyQuotaExhaustedError] * 2
    quota.daily_quota = 3
    await pacer.slot()
    with pytest.raises(DailyQuotaExhaustedError):
        await pacer.slot()
    time.now += 86_400
    await pacer.slot()


async def test_a_bug_in_the_quota_is_not_waited_for(pacer: SlotPacer, quota: FailingQuota) -> None:
    quota.failures, quota.error = 1, ZeroDivisionError()

    with pytest.raises(ZeroDivisionError):
        await pacer.slot()


async def test_the_slot_of_who_left_goes_to_the_next(
    pacer: SlotPacer, time: Time, quota: FailingQuota
) -> None:
    tasks = [asyncio.create_task(pacer.slot()) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    rest = await asyncio.gather(*tasks, return_exceptions=True)
    await until_idle(pacer)

    assert isinstance(rest[1], asyncio.CancelledError)
    assert [rest[0], rest[2], rest[3]] == [0, pytest.approx(0.1), pytest.approx(0.2)]
    assert quota.usage().used == 3
    assert time.now == pytest.approx(100.2)


async def test_a_slot_that_was_granted_to_who_left_is_given_back(
    pacer: SlotPacer, quota: FailingQuota
) -> None:
    first, second = (asyncio.create_task(pacer.slot()) for _ in range(2))
    await asyncio.sleep(0)
    waiter = pacer._waiters[0]
    await until(waiter.done)
    first.cancel()

    assert await second == pytest.approx(0.1)
    assert first.cancelled()
    assert pacer.stats.discarded == 1
    await until_idle(pacer)
    assert quota.usage().used == 1


async def test_slots_that_nobody_wants_are_given_back(
    pacer: SlotPacer, quota: FailingQuota
) -> None:
    quota.qps = 103
    tasks = [asyncio.create_task(pacer.slot()) for _ in range(20)]
    await until(lambda: pacer.stats.granted == 5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until_idle(pacer)

    assert quota.usage().used == pacer.stats.granted == 5


async def test_closing_gives_back_what_is_reserved(pacer: SlotPacer, quota: FailingQuota) -> None:
    quota.qps = 103
    tasks = [asyncio.create_task(pacer.slot()) for _ in range(20)]
    await until(lambda: pacer.stats.granted == 5)

    await pacer.close()

    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(answer, asyncio.CancelledError) for answer in answers) == 15
    assert quota.usage().used == 5
    await pacer.close()


async def test_what_cannot_be_given_back_stays_counted(
    pacer: SlotPacer, quota: FailingQuota, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tasks = [asyncio.create_task(pacer.slot()) for _ in range(2)]
    await until(lambda: pacer.stats.granted == 1)
    quota.failures = 1
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until_idle(pacer)

    assert quota.usage().used == 2
    assert "1 calls that were not made stay counted: Redis is away" in caplog.text
