"""The rate limiter, with time of the test's own: it passes only while somebody sleeps."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
import redis

from ali1688_spider.quota.limits import DailyQuotaExhaustedError, MemoryQuota
from ali1688_spider.quota.rate_limiter import ASK_AGAIN_SECONDS, RateLimiter
from ali1688_spider.retrying import ServerRetry, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ali1688_spider.quota.limits import Reservation

QPS = 10.3
INTERVAL = 0.1
NOON_IN_CHINA = 86_400 + 4 * 3600.0


class Time:
    """Time that passes when all have done what they can and somebody sleeps, or a thread works."""

    def __init__(self) -> None:
        self.now = 100.0
        self.thread_seconds = 0.0
        self.oversleep = 0.0
        self.on_sleep: Callable[[], object] = lambda: None

    def clock(self) -> float:
        return self.now

    def unix_time(self) -> float:
        return NOON_IN_CHINA + self.now

    async def sleep(self, seconds: float) -> None:
        self.on_sleep()
        end = self.now + seconds + self.oversleep
        self.oversleep = 0.0
        await settled()
        self.now = max(self.now, end)

    async def run(self, function: Callable[[], Any]) -> Any:
        await asyncio.sleep(0)
        result = function()
        self.now += self.thread_seconds
        return result


class FailingQuota(MemoryQuota):
    """A quota that cannot be reached for some times, and remembers what it was asked for."""

    failures = 0
    error: Exception = redis.ConnectionError("Redis is away")

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


def classify(error: Exception) -> Unavailable | None:
    return Unavailable(str(error)) if isinstance(error, redis.RedisError) else None


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def quota(time: Time) -> FailingQuota:
    return FailingQuota(QPS, 0, clock=time.clock, unix_time=time.unix_time)


@pytest.fixture
def limiter(quota: FailingQuota, time: Time) -> RateLimiter:
    retry = ServerRetry("Redis", classify, base=0.001, cap=0.002)
    return RateLimiter(quota, retry, run=time.run, clock=time.clock, sleep=time.sleep)


async def moments(limiter: RateLimiter, time: Time, count: int) -> list[float]:
    """Ask for slots at once and return when they came, in the order in which they were asked."""

    async def moment() -> float:
        await limiter.acquire()
        return round(time.now - 100, 6)

    return await asyncio.gather(*(moment() for _ in range(count)))


def ask(limiter: RateLimiter, count: int) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(limiter.acquire()) for _ in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # it is other tasks that make it true
        await asyncio.sleep(0)


async def settled() -> None:
    """Return when all tasks have done what they can without time passing."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_calls_go_one_after_the_other_in_order(limiter: RateLimiter, time: Time) -> None:
    assert await moments(limiter, time, 6) == [0, 0.1, 0.2, 0.3, 0.4, 0.5]


async def test_idle_time_gives_no_burst(limiter: RateLimiter, time: Time) -> None:
    await limiter.acquire()
    time.now += 60

    assert await moments(limiter, time, 3) == [60, 60.1, 60.2]


async def test_without_a_rate_nobody_waits(
    limiter: RateLimiter, time: Time, quota: FailingQuota
) -> None:
    quota.qps = 0
    quota.daily_quota = 1000

    assert await moments(limiter, time, 250) == [0] * 250
    assert quota.usage().used == 250


async def test_a_changed_rate_holds_from_the_next_slots_on(
    limiter: RateLimiter, time: Time, quota: FailingQuota
) -> None:
    await limiter.acquire()
    quota.qps = QPS / 10

    assert await moments(limiter, time, 3) == [0.1, 1.1, 2.1]


async def test_slots_are_reserved_in_batches(
    limiter: RateLimiter, time: Time, quota: FailingQuota
) -> None:
    quota.qps = 103

    await moments(limiter, time, 60)

    assert quota.asked == [25, 25, 10]


async def test_statistics_say_how_long_calls_waited(limiter: RateLimiter, time: Time) -> None:
    await moments(limiter, time, 3)

    assert (limiter.slots_used, limiter.slots_discarded) == (3, 0)
    assert limiter.wait_seconds == pytest.approx(0.3)
    time.now += 0.55
    await limiter.acquire()
    assert limiter.wait_seconds == pytest.approx(0.3)


async def test_the_time_of_an_answer_is_allowed_for(
    limiter: RateLimiter, time: Time, quota: FailingQuota
) -> None:
    """The first slot is late before it is known; the next ones are reserved far enough ahead."""
    time.thread_seconds = 0.5

    await limiter.acquire()
    assert limiter.slots_discarded == 1
    time.now += 60
    await limiter.acquire()
    assert limiter.slots_discarded == 1
    await settled()
    assert quota.usage().used == 2


async def test_a_late_slot_is_given_back(
    limiter: RateLimiter, time: Time, quota: FailingQuota
) -> None:
    time.oversleep = 0.03
    assert await moments(limiter, time, 3) == [0, 0.2, 0.3]
    await settled()
    assert limiter.slots_discarded == 1
    assert quota.usage().used == 3


async def test_a_pause_drops_the_slots_and_holds_all(
    limiter: RateLimiter, time: Time, quota: FailingQuota
) -> None:
    quota.qps = 103
    asked = asyncio.gather(*ask(limiter, 20))
    await until(lambda: limiter.slots_used == 5)
    before = time.now

    await limiter.pause(30)
    await asked

    assert time.now - before == pytest.approx(30 + 14 * 0.01, abs=0.02)
    assert quota.usage().lag_seconds == pytest.approx(0.01, abs=0.02)
    await settled()
    assert quota.usage().used == 20


async def test_a_pause_holds_this_worker_even_when_the_others_do_not_know_of_it(
    limiter: RateLimiter, time: Time, quota: FailingQuota, caplog: pytest.LogCaptureFixture
) -> None:
    quota.failures = 1

    await limiter.pause(30)

    assert limiter.is_paused
    assert await moments(limiter, time, 1) == [30]
    assert "The pause is not known to the other workers: Redis is away" in caplog.text


async def test_a_pause_of_another_worker_is_kept_and_said_once(
    limiter: RateLimiter, time: Time, quota: FailingQuota, caplog: pytest.LogCaptureFixture
) -> None:
    quota.pause(60)

    assert await moments(limiter, time, 2) == [60, 60.1]
    (message,) = caplog.messages
    assert message.startswith("No call is made for 60 s: another worker was asked to wait.")


async def test_a_pause_that_somebody_ends_does_not_last(
    limiter: RateLimiter, time: Time, quota: FailingQuota
) -> None:
    await limiter.pause(600)
    time.on_sleep = lambda: quota.pause(0)

    assert await moments(limiter, time, 1) == [ASK_AGAIN_SECONDS]


async def test_no_call_is_made_without_the_quota(
    limiter: RateLimiter, time: Time, quota: FailingQuota, caplog: pytest.LogCaptureFixture
) -> None:
    quota.failures = 3

    assert await moments(limiter, time, 2) == [0, 0.1]
    (message,) = caplog.messages
    assert message.startswith("Redis is unavailable; retrying, nothing is lost. Redis is away")


async def test_the_end_of_the_day_reaches_every_call_that_waits(
    limiter: RateLimiter, time: Time, quota: FailingQuota
) -> None:
    quota.daily_quota = 2
    day = quota.reserve(0).day

    answers = await asyncio.gather(*ask(limiter, 4), return_exceptions=True)

    assert answers[:2] == [day, day]
    assert [type(answer) for answer in answers[2:]] == [DailyQuotaExhaustedError] * 2
    quota.daily_quota = 3
    await limiter.acquire()
    with pytest.raises(DailyQuotaExhaustedError):
        await limiter.acquire()
    time.now += 86_400
    assert await limiter.acquire() == day + 1


async def test_the_last_call_of_a_day_is_made_although_its_slot_came_too_late(
    limiter: RateLimiter, quota: FailingQuota, time: Time
) -> None:
    quota.daily_quota = 2
    time.thread_seconds = 0.01

    def oversleep() -> None:
        # The next slots are asked for, of which the day has none, while the last one gets late.
        time.oversleep = 1.0
        time.on_sleep = lambda: None

    time.on_sleep = oversleep
    calls = (limiter.acquire() for _ in range(4))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [int] * 2 + [DailyQuotaExhaustedError] * 2
    assert limiter.slots_discarded == 1
    assert quota.usage().used == 2


async def test_a_call_that_did_not_reach_the_gateway_is_given_back(
    limiter: RateLimiter, quota: FailingQuota
) -> None:
    limiter.count_unmade(await limiter.acquire())
    limiter.count_unmade(0)
    await limiter.acquire()

    assert quota.usage().used == 1


async def test_a_bug_in_the_quota_is_not_waited_for(
    limiter: RateLimiter, quota: FailingQuota
) -> None:
    quota.failures, quota.error = 1, ZeroDivisionError()

    with pytest.raises(ZeroDivisionError):
        await limiter.acquire()


async def test_the_slot_of_a_cancelled_call_goes_to_the_next(
    limiter: RateLimiter, time: Time, quota: FailingQuota
) -> None:
    first, second, *others = ask(limiter, 4)
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, second, *others, return_exceptions=True)
    await settled()

    assert second.cancelled()
    assert limiter.wait_seconds == pytest.approx(0 + 0.1 + 0.2)
    assert quota.usage().used == 3
    assert time.now == pytest.approx(100.2)


async def test_a_slot_that_a_cancelled_call_already_has_is_given_back(
    limiter: RateLimiter, time: Time, quota: FailingQuota
) -> None:
    first, second = ask(limiter, 2)
    time.on_sleep = first.cancel  # it has its slot, and has not gone on yet

    await second
    assert first.cancelled()
    assert (limiter.slots_used, limiter.slots_discarded) == (1, 1)
    assert limiter.wait_seconds == pytest.approx(0.1)
    await settled()
    assert quota.usage().used == 1


async def test_the_slot_of_the_last_call_is_given_back_when_it_is_cancelled(
    limiter: RateLimiter, quota: FailingQuota
) -> None:
    (first,) = ask(limiter, 1)
    await until(lambda: bool(quota.asked))
    assert quota.usage().used == 1
    first.cancel()
    await settled()

    assert first.cancelled()
    assert quota.usage().used == 0


async def test_slots_that_nobody_wants_are_given_back(
    limiter: RateLimiter, quota: FailingQuota
) -> None:
    quota.qps = 103
    tasks = ask(limiter, 20)
    await until(lambda: limiter.slots_used == 5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await settled()

    assert quota.usage().used == limiter.slots_used == 5


async def test_closing_gives_back_what_is_reserved(
    limiter: RateLimiter, quota: FailingQuota
) -> None:
    quota.qps = 103
    tasks = ask(limiter, 20)
    await until(lambda: limiter.slots_used == 5)

    await limiter.close()

    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(answer, asyncio.CancelledError) for answer in answers) == 15
    assert quota.usage().used == 5
    await limiter.close()


async def test_what_cannot_be_given_back_stays_counted(
    limiter: RateLimiter, quota: FailingQuota, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tasks = ask(limiter, 2)
    await until(lambda: limiter.slots_used == 1)
    quota.failures = 1
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await settled()

    assert quota.usage().used == 2
    assert "1 calls that were not made stay counted: Redis is away" in caplog.text
