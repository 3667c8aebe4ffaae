from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ali1688_spider.gateway.clock import GatewayClock, http_date

HOST_TIME = datetime(2026, 10, 10, 8, 45, 52, 250_000, tzinfo=UTC).timestamp()


def clock_at(host_time: float = HOST_TIME) -> GatewayClock:
    return GatewayClock(lambda: host_time)


def date_at(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(int(seconds), UTC), usegmt=True)


def test_it_starts_in_agreement_with_the_host() -> None:
    clock = clock_at()
    assert clock.skew_seconds == 0
    assert clock.now() == datetime(2026, 10, 10, 8, 45, 52, 250_000, tzinfo=UTC)
    assert clock.timestamp() == "2026-10-10 16:45:52"
    assert clock.milliseconds() == 1_791_621_952_250


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_china_time_comes_on_a_host_in_any_zone(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        stamp, milliseconds = clock_at().timestamp(), clock_at().milliseconds()
    time.tzset()
    assert (stamp, milliseconds) == ("2026-10-10 16:45:52", 1_791_621_952_250)


@pytest.mark.parametrize("hours", [2, -2, 24 * 365])
def test_a_host_that_is_off_is_corrected(hours: int) -> None:
    clock = clock_at()
    clock.learn(date_at(HOST_TIME + hours * 3600))
    assert abs(clock.skew_seconds - hours * 3600) <= 0.5
    assert abs(clock.now().timestamp() - (HOST_TIME + hours * 3600)) <= 0.5


def test_half_of_the_round_trip_is_taken_off() -> None:
    clock = clock_at()
    # Written 4 s before it arrived, by a gateway that is 100 s ahead.
    clock.learn(date_at(HOST_TIME + 100 - 4), round_trip=8.0)
    assert abs(clock.skew_seconds - 100) <= 0.5


@pytest.mark.parametrize("skew", [-3, -1, 0, 1, 2])
def test_what_the_resolution_explains_changes_nothing(skew: int) -> None:
    clock = clock_at()
    clock.learn(date_at(HOST_TIME + skew))
    assert clock.skew_seconds == 0


def test_a_slow_answer_is_no_skew() -> None:
    clock = clock_at()
    clock.learn(date_at(HOST_TIME - 20), round_trip=20.0)
    assert clock.skew_seconds == 0


def test_a_refused_timestamp_makes_small_differences_count() -> None:
    clock = clock_at()
    clock.learn(date_at(HOST_TIME + 2), refused=True)
    assert clock.skew_seconds == 2.25


def test_a_corrected_clock_stays_until_it_is_off_again() -> None:
    clock = clock_at()
    clock.learn(date_at(HOST_TIME + 7200))
    learnt = clock.skew_seconds
    clock.learn(date_at(HOST_TIME + 7201))
    assert clock.skew_seconds == learnt
    clock.learn(date_at(HOST_TIME))
    assert abs(clock.skew_seconds) <= 0.5


@pytest.mark.parametrize(
    "date",
    [
        None,
        "",
        "yesterday",
        "Sat, 99 Oct 2026 08:45:52 GMT",
        "Sat, 10 Oct 1926 08:45:52 GMT",
        "Sat, 10 Oct 9999 23:59:59 GMT",
        "Sat, 10 Oct 2026 08:45:52 +99999999999999999999",
    ],
)
@pytest.mark.parametrize("refused", [True, False])
def test_a_date_without_sense_teaches_nothing(date: str | None, *, refused: bool) -> None:
    clock = clock_at()
    clock.learn(date, refused=refused)
    assert clock.skew_seconds == 0


def test_an_unknown_zone_is_utc() -> None:
    assert http_date("Sat, 10 Oct 2026 08:45:52 -0000") == datetime(
        2026, 10, 10, 8, 45, 52, tzinfo=UTC
    )


@given(st.text(max_size=60))
@settings(deadline=None)
def test_no_text_is_too_odd_for_a_date(text: str) -> None:
    date = http_date(text)
    assert date is None or date.tzinfo is not None
