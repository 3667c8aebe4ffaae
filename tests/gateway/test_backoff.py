from __future__ import annotations

import pytest

from ali1688_spider.gateway.backoff import Backoff


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    backoff = Backoff(base=2.0, cap=30.0)
    assert [backoff.ceiling(attempt) for attempt in range(1, 7)] == [2, 4, 8, 16, 30, 30]


def test_any_number_of_attempts_has_a_wait() -> None:
    assert Backoff(base=1.0, cap=60.0).ceiling(10**9) == 60.0
    assert Backoff(base=1.0, cap=60.0).ceiling(0) == 1.0


@pytest.mark.parametrize(("drawn", "wait"), [(0.0, 0.0), (0.25, 2.0), (0.5, 4.0)])
def test_the_whole_wait_is_drawn(drawn: float, wait: float) -> None:
    assert Backoff(base=2.0, cap=60.0, random=lambda: drawn).delay(3) == wait


def test_nobody_comes_back_before_the_platform_wants() -> None:
    assert Backoff(base=2.0, cap=60.0, random=lambda: 0.0).delay(1, not_before=30.0) == 30.0
    assert Backoff(base=2.0, cap=60.0, random=lambda: 0.5).delay(1, not_before=30.0) == 31.0
    assert Backoff(base=2.0, cap=60.0, random=lambda: 0.5).delay(1, not_before=None) == 1.0


def test_waits_differ_without_an_injected_source() -> None:
    backoff = Backoff()
    delays = {backoff.delay(5) for _ in range(50)}
    assert len(delays) > 1
    assert all(0 <= delay < 16 for delay in delays)
