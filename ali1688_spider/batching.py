"""Group commit: what arrives while a batch is being written forms the next batch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

LARGEST_BATCH = 500


@dataclass(eq=False)
class BatchWriter(Generic[_Item, _Result]):
    """Gathers items into batches without ever waiting for a batch to fill.

    While nothing is being written, an item is written at once, or after *gather_seconds*; the
    busier the crawl and the slower the database, the larger the batches become by themselves.
    Putting an item waits for its batch, which is the back-pressure on the crawl.

    Attributes:
        write: Writes a batch and returns one result for each item, in order. A result that is an
            exception is raised for its item alone; an exception that *write* raises, for all.
        largest: Items in a batch at most.
        at_once: Batches being written at the same time at most.
        gather_seconds: How long a batch that is not full waits for more. A batch costs much more
            than an item in it, so a little waiting saves a lot of work.
    """

    write: Callable[[Sequence[_Item]], Awaitable[Sequence[_Result | Exception]]]
    _: KW_ONLY
    largest: int = LARGEST_BATCH
    at_once: int = 1
    gather_seconds: float = 0.0

    def __post_init__(self) -> None:
        self._waiting: deque[tuple[_Item, asyncio.Future[_Result]]] = deque()
        self._writers: set[asyncio.Task[None]] = set()

    async def put(self, item: _Item) -> _Result:
        """Return the result for *item* once its batch is written."""
        future: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._writers) < self.at_once:
            self._writers.add(asyncio.create_task(self._write_all()))
        return await future

    async def close(self) -> None:
        """Wait until everything that was put is written."""
        while self._writers:
            await asyncio.wait(self._writers)

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                if self.gather_seconds and len(self._waiting) < self.largest:
                    await asyncio.sleep(self.gather_seconds)
                size = min(len(self._waiting), self.largest)
                await self._write_batch([self._waiting.popleft() for _ in range(size)])
        finally:
            self._writers -= {asyncio.current_task()}

    async def _write_batch(self, batch: list[tuple[_Item, asyncio.Future[_Result]]]) -> None:
        try:
            results = await self.write([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  # it belongs to those that wait for this batch
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():  # its put() was cancelled
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
