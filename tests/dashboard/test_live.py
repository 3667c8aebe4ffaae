"""What listeners of the state get, and what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.dashboard import live
from ali1688_spider.dashboard.live import LiveState, TooManyListenersError, event
from ali1688_spider.monitoring.state import State

if TYPE_CHECKING:
    from ali1688_spider.dashboard.live import Parts


class Source:
    """States that are read, and what listeners get of them."""

    def __init__(self) -> None:
        self.reads = 0
        self.value = "one"
        self.error: Exception | None = None
        self.failed = asyncio.Event()

    async def read(self) -> State:
        self.reads += 1
        if self.error is not None:
            self.failed.set()
            raise self.error
        return State(at=datetime.now(UTC), version="0")

    async def parts(self, _: State) -> Parts:
        value = self.value.encode()
        return {("html", "a"): value, ("html", "b"): b"same", ("json", "state"): value}


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setattr(live, "READ_SECONDS", 0.01)
    return Source()


async def test_a_listener_gets_all_and_then_what_changes(source: Source) -> None:
    state = LiveState(source.read, source.parts)
    state.max_age = 0.0
    async with aclosing(state.listen("html")) as listener:
        assert await anext(listener) == [b"one", b"same"]
        source.value = "two"
        assert await anext(listener) == [b"two"]
    await state.close()


async def test_kinds_are_apart(source: Source) -> None:
    state = LiveState(source.read, source.parts)
    async with aclosing(state.listen("json")) as listener:
        assert await anext(listener) == [b"one"]
    await state.close()


async def test_a_slow_listener_gets_the_newest_only(source: Source) -> None:
    state = LiveState(source.read, source.parts)
    state.max_age = 0.0
    async with aclosing(state.listen("html")) as slow, aclosing(state.listen("html")) as quick:
        await anext(slow)
        await anext(quick)
        for number in range(5):
            source.value = str(number)
            assert await anext(quick) == [source.value.encode()]
        assert await anext(slow) == [b"4"]
    await state.close()


async def test_nothing_is_read_when_nobody_looks(source: Source) -> None:
    state = LiveState(source.read, source.parts)
    async with aclosing(state.listen("html")) as listener:
        await anext(listener)
    task = state._task
    assert task is not None
    await asyncio.wait_for(task, 5)
    await state.close()


async def test_a_state_is_shared_by_those_who_ask_at_the_same_time(source: Source) -> None:
    state = LiveState(source.read, source.parts)
    await asyncio.gather(*(state.state() for _ in range(50)))
    assert source.reads == 1


async def test_an_unexpected_error_is_logged_and_the_page_goes_on(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    state = LiveState(source.read, source.parts)
    state.max_age = 0.0
    async with aclosing(state.listen("html")) as listener:
        await anext(listener)
        source.error = RuntimeError("unforeseen")
        await source.failed.wait()
        source.error, source.value = None, "two"
        assert await anext(listener) == [b"two"]
    assert "unforeseen" in caplog.text
    await state.close()


async def test_a_quiet_listener_hears_that_the_connection_lives(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "QUIET_SECONDS", 0.02)
    state = LiveState(source.read, source.parts)
    async with aclosing(state.listen("html")) as listener:
        await anext(listener)
        assert await anext(listener) == []
    await state.close()


async def test_too_many_listeners_are_refused(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_LISTENERS", 1)
    state = LiveState(source.read, source.parts)
    async with aclosing(state.listen("html")) as listener:
        await anext(listener)
        with pytest.raises(TooManyListenersError):
            await anext(state.listen("html"))
    async with aclosing(state.listen("html")) as listener:  # one is gone
        await anext(listener)
    await state.close()


async def test_at_the_end_listeners_end_whatever_the_reading_makes_of_it(source: Source) -> None:
    reading = asyncio.Event()

    async def read() -> State:
        reading.set()
        with contextlib.suppress(asyncio.CancelledError):  # as a library may lose it
            await asyncio.sleep(3600)
        return await source.read()

    state = LiveState(source.read, source.parts)
    state.max_age = 0.0
    listener = state.listen("html")
    await anext(listener)
    state._read = read
    await reading.wait()
    waiting = asyncio.ensure_future(anext(listener, None))
    await asyncio.wait_for(state.close(), 10)
    assert await waiting is None
    assert await anext(listener, None) is None


def test_an_event_is_one_line_of_json_whatever_it_holds() -> None:
    text = "<script>\n杯\ud800\r\n\u2028data: x"
    head, data, *end = event("section", {"html": text}).decode().split("\n")
    assert head == "event: section"
    assert end == ["", ""]
    assert json.loads(data.removeprefix("data: "))["html"].startswith("<script>\n杯")
