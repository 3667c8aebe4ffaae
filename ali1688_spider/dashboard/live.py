"""The state, read again and again for as many as look at it, and sent to them as it changes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from ali1688_spider.monitoring.state import State

logger = logging.getLogger(__name__)

READ_SECONDS = 2.0
"""How often the state is read while somebody looks."""
QUIET_SECONDS = 15.0
"""After which a connection gets a comment, so that nobody takes it for dead."""
MOST_LISTENERS = 500


Parts: TypeAlias = "dict[tuple[str, str], bytes]"


class TooManyListenersError(Exception):
    """So many listen already that another one is refused."""


class LiveState:
    """Reads the state while somebody looks, and tells listeners what has changed of it.

    A listener has nothing waiting for it: when it is ready for more it gets what is then the
    newest, so that slow ones cost no memory.

    Args:
        read: Returns the state.
        parts: Returns, of a state, what listeners get: by kind and name, an event ready to be sent,
            which is when it differs from the one before.

    Attributes:
        max_age: For how many seconds a state that was read is good.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[State]],
        parts: Callable[[State], Awaitable[Parts]],
    ) -> None:
        self._read = read
        self._make_parts = parts
        self.max_age = READ_SECONDS / 2
        self._state: State | None = None
        self._read_at = 0.0
        self._parts: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._version = 0
        self._changed = asyncio.Condition()
        self._reading = asyncio.Lock()
        self._listeners = 0
        self._is_closed = False
        self._task: asyncio.Task[None] | None = None

    async def state(self) -> State:
        """Return the state, at most :attr:`max_age` seconds old."""
        async with self._reading:
            if self._state is None or time.monotonic() - self._read_at > self.max_age:
                self._state = await self._read()
                self._read_at = time.monotonic()
            return self._state

    async def listen(self, kind: str) -> AsyncGenerator[list[bytes]]:
        """Yield events of a *kind*: all at first, then those that changed; none when it is quiet.

        Raises:
            TooManyListenersError: There are too many already.
        """
        if self._listeners >= MOST_LISTENERS:
            raise TooManyListenersError
        self._listeners += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._renew_often())
        seen = 0
        try:
            if not self._parts:
                await self._renew()
            while not self._is_closed:
                parts = self._parts.items()
                news = [part for (its, _), (at, part) in parts if its == kind and at > seen]
                seen = self._version
                yield news
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(QUIET_SECONDS), self._changed:
                        while self._version == seen and not self._is_closed:
                            await self._changed.wait()
        finally:
            self._listeners -= 1

    async def close(self) -> None:
        """Stop reading, and let all listeners end."""
        self._is_closed = True
        async with self._changed:
            self._changed.notify_all()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _renew_often(self) -> None:
        # Not until it is cancelled alone: of all that reads, something may lose that.
        while self._listeners and not self._is_closed:
            try:
                await self._renew()
            except Exception:
                # Nobody awaits this task: without this the page would stand still for ever.
                logger.exception("The state cannot be read; trying again")
            await asyncio.sleep(READ_SECONDS)

    async def _renew(self) -> None:
        parts = await self._make_parts(await self.state())
        changed = {n: part for n, part in parts.items() if self._parts.get(n, (0, b""))[1] != part}
        if changed:
            async with self._changed:
                self._version += 1
                self._parts |= {name: (self._version, part) for name, part in changed.items()}
                self._changed.notify_all()


def event(name: str, data: Any) -> bytes:
    """Return a server-sent event, with *data* as JSON."""
    text = json.dumps(data, ensure_ascii=False, default=str)
    return f"event: {name}\ndata: {text}\n\n".encode(errors="backslashreplace")
