from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali1688_spider.quota.exceptions import DailyQuotaExhaustedError
from ali1688_spider.quota.quota import HORIZON_SECONDS, Reservation, slot_interval
from ali1688_spider.quota.schedule import Moment, Schedule

CHINA = timezone(timedelta(hours=8))
NOON = datetime(2026, 10, 1, 12, tzinfo=CHINA).timestamp()
DAY = 20_727


def moment(now: float, unix_time: float = NOON) -> Moment:
    return Moment(now, unix_time)


def reserve(
    schedule: Schedule,
    count: int,
    at: Moment,
    *,
    interval: float = 0.5,
    daily_quota: int = 0,
    lead: float = 0.0,
) -> Reservation:
    return schedule.reserve(count, at, interval=interval, daily_quota=daily_quota, lead=lead)


def test_slots_follow_one_another() -> None:
    schedule = Schedule()

    assert reserve(schedule, 3, moment(100)) == Reservation(0, 0.5, 3, DAY)
    assert reserve(schedule, 2, moment(100)) == Reservation(1.5, 0.5, 2, DAY)
    assert reserve(schedule, 1, moment(101)) == Reservation(1.5, 0.5, 1, DAY)


def test_time_that_nobody_used_gives_no_burst() -> None:
    schedule = Schedule()
    reserve(schedule, 1, moment(100))

    assert reserve(schedule, 2, moment(200)) == Reservation(0, 0.5, 2, DAY)
    assert reserve(schedule, 1, moment(200)) == Reservation(1.0, 0.5, 1, DAY)


def test_a_lead_keeps_the_first_slot_away() -> None:
    schedule = Schedule()

    assert reserve(schedule, 1, moment(100), lead=0.2) == Reservation(0.2, 0.5, 1, DAY)
    assert reserve(schedule, 1, moment(100), lead=0.2).wait_seconds == pytest.approx(0.7)


def test_slots_are_not_given_out_far_ahead() -> None:
    schedule = Schedule()
    reserve(schedule, 120, moment(100))

    assert reserve(schedule, 5, moment(100)) == Reservation(60 - HORIZON_SECONDS, 0.5, 0, DAY)
    assert reserve(schedule, 5, moment(155)) == Reservation(HORIZON_SECONDS, 0.5, 5, DAY)


def test_a_pause_gives_out_no_slot_until_it_ends() -> None:
    schedule = Schedule()
    schedule.pause(60, moment(100))

    assert reserve(schedule, 5, moment(100)) == Reservation(60, 0.5, 0, DAY)
    assert reserve(schedule, 5, moment(160)) == Reservation(0, 0.5, 5, DAY)


def test_a_pause_can_be_ended() -> None:
    schedule = Schedule()
    schedule.pause(60, moment(100))
    schedule.pause(0, moment(101))

    assert reserve(schedule, 5, moment(101)) == Reservation(0, 0.5, 5, DAY)


def test_a_second_pause_never_shortens_the_first() -> None:
    schedule = Schedule()
    schedule.pause(4, moment(100))
    schedule.pause(1, moment(100))

    assert reserve(schedule, 1, moment(100)).wait_seconds == 4


def test_the_day_is_used_up() -> None:
    schedule = Schedule()

    assert reserve(schedule, 3, moment(100), daily_quota=5).count == 3
    assert reserve(schedule, 3, moment(100), daily_quota=5).count == 2
    with pytest.raises(DailyQuotaExhaustedError) as caught:
        reserve(schedule, 1, moment(100), daily_quota=5)
    assert caught.value.reset_in == 12 * 3600
    assert reserve(schedule, 1, moment(100), daily_quota=6).count == 1


def test_calls_that_were_not_made_are_given_back() -> None:
    schedule = Schedule()
    reserve(schedule, 5, moment(100), daily_quota=5)

    schedule.give_back(2, DAY)
    assert reserve(schedule, 5, moment(200), daily_quota=5).count == 2
    schedule.give_back(2, DAY - 1)
    schedule.give_back(99, DAY)
    assert schedule.used_on(DAY) == 0


def test_a_new_day_begins_at_midnight_in_china() -> None:
    schedule = Schedule()
    midnight = datetime(2026, 10, 2, tzinfo=CHINA).timestamp()
    reserve(schedule, 5, moment(100), daily_quota=5)

    with pytest.raises(DailyQuotaExhaustedError) as caught:
        reserve(schedule, 1, moment(200, midnight - 0.5), daily_quota=5)
    assert caught.value.reset_in == 0.5
    answer = reserve(schedule, 9, moment(200.5, midnight), daily_quota=5)
    assert answer == Reservation(0, 0.5, 5, DAY + 1)


def test_no_slot_is_beyond_midnight() -> None:
    schedule = Schedule()
    before = datetime(2026, 10, 1, 23, 59, 59, tzinfo=CHINA).timestamp()

    assert reserve(schedule, 9, moment(100, before)).count == 3
    answer = reserve(schedule, 9, moment(100.25, before + 0.25))
    assert answer == Reservation(0.75, 0.5, 0, DAY)


def test_no_rate_is_no_wait() -> None:
    schedule = Schedule()

    assert reserve(schedule, 1000, moment(100), interval=0) == Reservation(0, 0, 1000, DAY)
    assert reserve(schedule, 1000, moment(100), interval=0) == Reservation(0, 0, 1000, DAY)


@pytest.mark.parametrize(("qps", "interval"), [(0, 0), (2, 0.515), (40, 0.02575)])
def test_slots_leave_a_margin(qps: float, interval: float) -> None:
    assert slot_interval(qps) == pytest.approx(interval)


@given(
    qps=st.integers(1, 200),
    steps=st.lists(st.tuples(st.integers(1, 30), st.floats(0, 2)), min_size=1, max_size=30),
)
def test_no_second_has_more_calls_than_allowed(qps: int, steps: list[tuple[int, float]]) -> None:
    schedule, now, slots = Schedule(), 0.0, []
    for count, passed in steps:
        now += passed
        answer = reserve(schedule, count, moment(now), interval=slot_interval(qps))
        slots += [now + answer.wait_seconds + i * answer.interval for i in range(answer.count)]

    assert all(later - slot > 1.02 for slot, later in zip(slots, slots[qps:], strict=False))
