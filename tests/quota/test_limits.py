"""The quota in memory with clocks of the test's own; then what it has in common with Redis's."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.retry import Retry

from ali1688_spider.quota.limits import (
    HORIZON_SECONDS,
    DailyQuotaExhaustedError,
    MemoryQuota,
    RedisQuota,
    Reservation,
    slot_interval,
)
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

CHINA = timezone(timedelta(hours=8))
NOON = datetime(2026, 10, 1, 12, tzinfo=CHINA).timestamp()
DAY = 20_727
SECOND = 1_000_000  # microseconds
QPS = 2.06
"""A slot each half second."""


class Clocks:
    """Two clocks that go only when a test says so."""

    def __init__(self, unix_time: float = NOON) -> None:
        self.now = 100.0
        self._offset = unix_time - self.now

    def quota(self, qps: float = QPS, daily_quota: int = 0) -> MemoryQuota:
        return MemoryQuota(
            qps,
            daily_quota,
            clock=lambda: self.now,
            unix_time=lambda: self.now + self._offset,
        )


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_slots_follow_one_another(clocks: Clocks) -> None:
    quota = clocks.quota()

    assert quota.reserve(3) == Reservation(0, 0.5, 3, DAY)
    assert quota.reserve(2) == Reservation(1.5, 0.5, 2, DAY)
    clocks.now += 1
    assert quota.reserve(1) == Reservation(1.5, 0.5, 1, DAY)


def test_time_that_nobody_used_gives_no_burst(clocks: Clocks) -> None:
    quota = clocks.quota()
    quota.reserve(1)
    clocks.now += 100

    assert quota.reserve(2) == Reservation(0, 0.5, 2, DAY)
    assert quota.reserve(1) == Reservation(1.0, 0.5, 1, DAY)


def test_a_lead_keeps_the_first_slot_away(clocks: Clocks) -> None:
    quota = clocks.quota()

    assert quota.reserve(1, 0.2) == Reservation(0.2, 0.5, 1, DAY)
    assert quota.reserve(1, 0.2).wait_seconds == pytest.approx(0.7)


def test_slots_are_not_given_out_far_ahead(clocks: Clocks) -> None:
    quota = clocks.quota()
    quota.reserve(120)

    assert quota.reserve(5) == Reservation(60 - HORIZON_SECONDS, 0.5, 0, DAY)
    clocks.now += 60 - HORIZON_SECONDS
    assert quota.reserve(5) == Reservation(HORIZON_SECONDS, 0.5, 5, DAY)


def test_a_pause_gives_out_no_slot_until_it_ends(clocks: Clocks) -> None:
    quota = clocks.quota()
    quota.pause(60)

    assert quota.reserve(5) == Reservation(60, 0.5, 0, DAY)
    clocks.now += 60
    assert quota.reserve(5) == Reservation(0, 0.5, 5, DAY)


def test_a_pause_can_be_ended(clocks: Clocks) -> None:
    quota = clocks.quota()
    quota.pause(60)
    clocks.now += 1
    quota.pause(0)

    assert quota.reserve(5) == Reservation(0, 0.5, 5, DAY)


def test_a_second_pause_never_shortens_the_first(clocks: Clocks) -> None:
    quota = clocks.quota()
    quota.pause(4)
    quota.pause(1)

    assert quota.reserve(1).wait_seconds == 4


def test_calls_that_were_not_made_are_given_back(clocks: Clocks) -> None:
    quota = clocks.quota(daily_quota=5)
    quota.reserve(5)

    quota.give_back(2, DAY)
    clocks.now += 100
    assert quota.reserve(5).count == 2
    quota.give_back(2, DAY - 1)
    assert quota.usage().used == 5
    quota.give_back(99, DAY)
    assert quota.usage().used == 0


def test_a_new_day_begins_at_midnight_in_china() -> None:
    clocks = Clocks(datetime(2026, 10, 1, 23, 59, 50, tzinfo=CHINA).timestamp())
    quota = clocks.quota(daily_quota=5)
    quota.reserve(5)

    clocks.now += 9.5
    with pytest.raises(DailyQuotaExhaustedError) as caught:
        quota.reserve(1)
    assert caught.value.reset_in == 0.5
    clocks.now += 0.5
    assert quota.usage().used == 0
    assert quota.reserve(9) == Reservation(0, 0.5, 5, DAY + 1)


def test_no_slot_is_beyond_midnight() -> None:
    clocks = Clocks(datetime(2026, 10, 1, 23, 59, 59, tzinfo=CHINA).timestamp())
    quota = clocks.quota()

    assert quota.reserve(9).count == 3
    clocks.now += 0.25
    assert quota.reserve(9) == Reservation(0.75, 0.5, 0, DAY)


def test_no_rate_is_no_wait(clocks: Clocks) -> None:
    quota = clocks.quota(qps=0)

    assert [quota.reserve(1000) for _ in range(2)] == [Reservation(0, 0, 1000, DAY)] * 2


@pytest.mark.parametrize(("qps", "interval"), [(0, 0), (2, 0.515), (40, 0.02575)])
def test_slots_leave_a_margin(qps: float, interval: float) -> None:
    assert slot_interval(qps) == pytest.approx(interval)


@given(
    qps=st.integers(1, 200),
    steps=st.lists(st.tuples(st.integers(1, 30), st.floats(0, 2)), min_size=1, max_size=30),
)
def test_no_second_has_more_calls_than_allowed(qps: int, steps: list[tuple[int, float]]) -> None:
    clocks, slots = Clocks(), []
    quota = clocks.quota(qps)
    for count, passed in steps:
        clocks.now += passed
        answer = quota.reserve(count)
        first = clocks.now + answer.wait_seconds
        slots += [first + number * answer.interval for number in range(answer.count)]

    assert all(later - slot > 1.02 for slot, later in zip(slots, slots[qps:], strict=False))


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


@pytest.fixture(params=["memory", "redis", "redis that decodes"])
def quota(redis_url: str, request: pytest.FixtureRequest) -> Iterator[MemoryQuota | RedisQuota]:
    if request.param == "memory":
        yield MemoryQuota(1, 10)
        return
    client = redis.Redis.from_url(redis_url, decode_responses="decodes" in request.param)
    yield RedisQuota(client, "1000000", 1, 10)
    client.close()


def test_slots_of_either_quota_follow_one_another(quota: MemoryQuota | RedisQuota) -> None:
    first, second = quota.reserve(3), quota.reserve(1)

    assert (first.wait_seconds, first.interval, first.count) == (0, 1.03, 3)
    assert second.wait_seconds == pytest.approx(3.09, abs=1)
    assert second.day == first.day


def test_the_lead_is_kept(quota: MemoryQuota | RedisQuota) -> None:
    assert quota.reserve(1, 0.25).wait_seconds == 0.25


def test_the_day_is_used_up_until_it_ends_or_has_more(quota: MemoryQuota | RedisQuota) -> None:
    quota.qps = 0
    assert quota.reserve(7).count == 7
    answer = quota.reserve(7)
    assert (answer.count, answer.interval) == (3, 0)

    with pytest.raises(DailyQuotaExhaustedError) as caught:
        quota.reserve(1)
    assert caught.value.reset_in == pytest.approx(quota.usage().reset_in, abs=5)
    quota.give_back(2, answer.day)
    quota.give_back(2, answer.day - 1)
    assert quota.reserve(7).count == 2
    quota.daily_quota = 12
    assert quota.reserve(7).count == 2
    quota.daily_quota = 0
    assert quota.reserve(700).count == 700


def test_a_pause_holds_everybody_until_somebody_ends_it(quota: MemoryQuota | RedisQuota) -> None:
    for seconds in (3, 60):
        quota.pause(seconds)
        answer = quota.reserve(1)
        assert answer.count == 0
        assert answer.wait_seconds == pytest.approx(seconds, abs=1)
        assert quota.usage().paused_seconds == pytest.approx(seconds, abs=1)

    quota.pause(0)
    assert quota.usage().paused_seconds == 0
    assert quota.reserve(1).count == 1


def test_no_slot_is_given_for_another_day(quota: MemoryQuota | RedisQuota) -> None:
    answer = quota.reserve(1, 86_400)

    assert answer.count == 0
    assert answer.wait_seconds == pytest.approx(quota.usage().reset_in, abs=5)


def test_usage_is_told(quota: MemoryQuota | RedisQuota) -> None:
    assert quota.usage().used == 0
    quota.reserve(4)

    usage = quota.usage()
    assert (usage.used, usage.daily_quota) == (4, 10)
    assert usage.lag_seconds == pytest.approx(4.12, abs=1)
    assert 0 < usage.reset_in <= 86_400


def test_the_state_in_redis_is_one_key_that_expires(client: redis.Redis) -> None:
    quota = RedisQuota(client, "1000000", 1, 10)
    quota.reserve(1)

    assert len(client.keys("*")) == 1
    assert 0 < client.ttl("{ali1688:quota:1000000}:schedule") <= 2 * 86_400


def test_workers_share_the_quota_of_their_app(client: redis.Redis) -> None:
    RedisQuota(client, "1000000", 1, 10).reserve(3)

    assert RedisQuota(client, "1000000", 1, 10).usage().used == 3
    assert RedisQuota(client, "1000001", 1, 10).usage().used == 0


def test_a_new_day_begins_with_nothing_used(client: redis.Redis) -> None:
    quota = RedisQuota(client, "1000000", 0, 10)
    quota.reserve(10)
    client.hincrby(quota.key, "day", -1)

    assert quota.usage().used == 0
    assert quota.reserve(20).count == 10


def test_redis_that_takes_no_writes_is_an_error(client: redis.Redis) -> None:
    quota = RedisQuota(client, "1000000", 1, 10)
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.RedisError):
            quota.reserve(1)
    finally:
        client.config_set("maxmemory", 0)


def test_no_redis_is_an_error() -> None:
    client = redis.Redis(port=free_port(), retry=Retry(NoBackoff(), 0))

    with pytest.raises(redis.ConnectionError):
        RedisQuota(client, "1000000", 1, 10).usage()
    client.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("next_slot", "{now+3600}"),  # the clock has gone back by an hour
        ("next_slot", "9" * 300),
        ("next_slot", "-1"),
        ("next_slot", "nan"),
        ("next_slot", "inf"),
        ("next_slot", "soon"),
        ("next_slot", ""),
        ("used", "some"),
        ("used", "-5"),
        ("used", "nan"),
        ("day", "today"),
        ("paused_until", "{now+999999}"),
        ("paused_until", "later"),
    ],
)
def test_what_makes_no_sense_in_redis_silences_nobody(
    client: redis.Redis, field: str, value: str
) -> None:
    quota = RedisQuota(client, "1000000", 1, 10)
    quota.reserve(1)
    now = client.time()[0]
    if value.startswith("{now+"):
        value = str((now + int(value[5:-1])) * SECOND)
    client.hset(quota.key, field, value)

    answer = quota.reserve(1)
    assert answer.count == 1
    assert answer.wait_seconds < HORIZON_SECONDS
    assert 0 < quota.usage().used <= 2


def test_a_pause_from_before_the_clock_went_back_does_not_last(client: redis.Redis) -> None:
    quota = RedisQuota(client, "1000000", 1, 10)
    quota.pause(60)
    later = (client.time()[0] + 3600) * SECOND
    client.hset(quota.key, mapping={"paused_at": later, "paused_until": later + 60 * SECOND})

    assert quota.reserve(1).count == 1


def test_a_key_of_another_type_is_set_aside(client: redis.Redis) -> None:
    quota = RedisQuota(client, "1000000", 1, 10)
    client.set(quota.key, "mine")

    assert quota.reserve(1).count == 1
    assert client.get(f"{quota.key}:broken") == b"mine"
