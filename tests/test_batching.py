from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.batching import BatchWriter

if TYPE_CHECKING:
    from collections.abc import Sequence


class Doubler:
    """Doubles numbers when it is let; refuses 13 alone, and a batch with 666 in it."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = asyncio.Semaphore(0)
        self.let = asyncio.Semaphore(0)

    async def write(self, batch: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(batch))
        self.begun.release()
        await self.let.acquire()
        if 666 in batch:
            raise ConnectionError("gone")
        return [ValueError("unlucky") if number == 13 else 2 * number for number in batch]

    def let_all(self) -> None:
        for _ in range(100):
            self.let.release()


async def test_what_arrives_during_a_write_is_the_next_batch() -> None:
    doubler = Doubler()
    writer = BatchWriter[int, int](doubler.write)
    first = asyncio.create_task(writer.put(1))
    await doubler.begun.acquire()
    others = [asyncio.create_task(writer.put(number)) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    assert doubler.batches == [[1]]
    doubler.let_all()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8]
    assert doubler.batches == [[1], [2, 3, 4]]


async def test_a_batch_has_a_largest_size() -> None:
    doubler = Doubler()
    doubler.let_all()
    writer = BatchWriter[int, int](doubler.write, largest=4)
    results = await asyncio.gather(*(writer.put(number) for number in range(10)))
    assert results == [2 * number for number in range(10)]
    assert [len(batch) for batch in doubler.batches] == [4, 4, 2]


async def test_batches_at_once() -> None:
    doubler = Doubler()
    writer = BatchWriter[int, int](doubler.write, largest=2, at_once=2)
    puts = [asyncio.create_task(writer.put(number)) for number in range(6)]
    await doubler.begun.acquire()
    await doubler.begun.acquire()
    assert doubler.batches == [[0, 1], [2, 3]]
    doubler.let_all()
    await asyncio.gather(*puts)
    assert doubler.batches == [[0, 1], [2, 3], [4, 5]]


async def test_one_result_fails_alone_and_a_batch_together() -> None:
    doubler = Doubler()
    doubler.let_all()
    writer = BatchWriter[int, int](doubler.write)
    results = await asyncio.gather(*map(writer.put, (1, 13, 2)), return_exceptions=True)
    assert results[::2] == [2, 4]
    assert repr(results[1]) == "ValueError('unlucky')"
    results = await asyncio.gather(*map(writer.put, (1, 666)), return_exceptions=True)
    assert [repr(result) for result in results] == ["ConnectionError('gone')"] * 2
    assert await writer.put(21) == 42


async def test_who_no_longer_waits_does_not_disturb() -> None:
    doubler = Doubler()
    writer = BatchWriter[int, int](doubler.write)
    cancelled, other = (asyncio.create_task(writer.put(number)) for number in (1, 2))
    await doubler.begun.acquire()
    cancelled.cancel()
    doubler.let_all()
    assert await other == 4
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_closing_waits_for_the_last_batch() -> None:
    doubler = Doubler()
    doubler.let_all()
    writer = BatchWriter[int, int](doubler.write)
    puts = [asyncio.create_task(writer.put(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    await writer.close()
    assert doubler.batches == [[1, 2]]
    assert await asyncio.gather(*puts) == [2, 4]


async def test_closing_at_once_after_the_last_batch_returns() -> None:
    doubler = Doubler()
    doubler.let_all()
    writer = BatchWriter[int, int](doubler.write)
    assert await writer.put(1) == 2
    await writer.close()
    assert doubler.batches == [[1]]
