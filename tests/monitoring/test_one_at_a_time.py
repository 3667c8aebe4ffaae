from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.monitoring.one_at_a_time import OneAtATime

if TYPE_CHECKING:
    from collections.abc import Iterator


class Hanging:
    """A function that returns, or raises, when it is let go."""

    def __init__(self) -> None:
        self.runs = 0
        self.error: Exception | None = None
        self.let_go = threading.Event()

    def __call__(self) -> int:
        self.runs += 1
        self.let_go.wait(60)
        if self.error is not None:
            raise self.error
        return self.runs


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    function = Hanging()
    yield function
    function.let_go.set()


async def test_what_returns_is_run_each_time(hanging: Hanging) -> None:
    hanging.let_go.set()
    asking = OneAtATime(hanging)
    assert [await asking.run(), await asking.run()] == [1, 2]


async def test_what_hangs_is_run_once(hanging: Hanging) -> None:
    asking = OneAtATime(hanging)
    threads = threading.active_count()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            await asking.run(0.01)
    assert hanging.runs == 1
    assert threading.active_count() <= threads + 1
    hanging.let_go.set()
    assert await asking.run() == 1
    assert await asking.run() == 2


async def test_what_it_raises_is_raised(hanging: Hanging) -> None:
    hanging.error = ConnectionError("away")
    hanging.let_go.set()
    with pytest.raises(ConnectionError, match="away"):
        await OneAtATime(hanging).run()


async def test_an_error_for_which_nobody_waits_is_no_traceback(
    hanging: Hanging, caplog: pytest.LogCaptureFixture
) -> None:
    hanging.error = ConnectionError("away")
    asking = OneAtATime(hanging)
    with pytest.raises(TimeoutError):
        await asking.run(0.01)
    caplog.set_level(logging.DEBUG)
    hanging.let_go.set()
    assert asking._running is not None
    await asyncio.wait({asking._running})
    del asking
    assert caplog.messages == []
