"""What the quota in memory and the one in Redis have in common, each on its real clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ali1688_spider.local_servers import free_port
from ali1688_spider.quota.exceptions import DailyQuotaExhaustedError, QuotaUnavailableError
from ali1688_spider.quota.memory_quota import MemoryQuota
from ali1688_spider.quota.quota import HORIZON_SECONDS
from ali1688_spider.quota.redis_quota import RedisQuota

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ali1688_spider.quota.quota import Quota


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


@pytest.fixture(params=["memory", "redis", "redis that decodes"])
def quota(redis_url: str, request: pytest.FixtureRequest) -> Iterator[Quota]:
    if request.param == "memory":
        yield MemoryQuota(1, 10)
        return
    client = redis.Redis.from_url(redis_url, decode_responses="decodes" in request.param)
    yield RedisQuota(client, "1000000", 1, 10)
    client.close()


def test_slots_follow_one_another(quota: Quota) -> None:
    first, second = quota.reserve(3), quota.reserve(1)

    assert (first.wait_seconds, first.interval, first.count) == (0, 1.03, 3)
    assert second.wait_seconds == pytest.approx(3.09, abs=1)
    assert second.day == first.day


def test_the_lead_is_kept(quota: Quota) -> None:
    assert quota.reserve(1, 0.25).wait_seconds == 0.25


def test_the_day_is_used_up_until_it_ends_or_has_more(quota: Quota) -> None:
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


def test_a_pause_holds_everybody_until_somebody_ends_it(quota: Quota) -> None:
    for seconds in (3, 60):
        quota.pause(seconds)
        answer = quota.reserve(1)
        assert answer.count == 0
        assert answer.wait_seconds == pytest.approx(seconds, abs=1)
        assert quota.usage().paused_seconds == pytest.approx(seconds, abs=1)

    quota.pause(0)
    assert quota.usage().paused_seconds == 0
    assert quota.reserve(1).count == 1


def test_no_slot_is_given_for_another_day(quota: Quota) -> None:
    answer = quota.reserve(1, 86_400)

    assert answer.count == 0
    assert answer.wait_seconds == pytest.approx(quota.usage().reset_in, abs=5)


def test_usage_is_told(quota: Quota) -> None:
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


def test_a_refusal_of_redis_is_said_so(client: redis.Redis) -> None:
    quota = RedisQuota(client, "1000000", 1, 10)
    client.config_set("maxmemory", 1)  # it takes no more writes
    try:
        with pytest.raises(QuotaUnavailableError, match="Redis does not tell the quota"):
            quota.reserve(1)
    finally:
        client.config_set("maxmemory", 0)


def test_no_redis_is_said_so() -> None:
    client = redis.Redis(port=free_port(), retry=Retry(NoBackoff(), 0))

    with pytest.raises(QuotaUnavailableError, match="Redis does not tell the quota"):
        RedisQuota(client, "1000000", 1, 10).usage()
    client.close()


SECOND = 1_000_000


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
