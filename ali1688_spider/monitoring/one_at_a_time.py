"""Asks what may hang, again and again, for years, without piling up threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

_Result = TypeVar("_Result")

SERVER_SECONDS = 6.0
"""How long a server may take to answer before it counts as away."""


class OneAtATime(Generic[_Result]):
    """Runs a blocking function in a thread, never twice at the same time.

    Args:
        function: What is to be run.
    """

    def __init__(self, function: Callable[[], _Result]) -> None:
        self._function = function
        self._running: asyncio.Task[_Result] | None = None

    async def run(self, seconds: float = SERVER_SECONDS) -> _Result:
        """Return what the function returns, or raise what it raises.

        A run that has taken too long is waited for again, instead of beginning another.

        Raises:
            TimeoutError: It takes more than *seconds*.
        """
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(asyncio.to_thread(self._function))
            self._running.add_done_callback(_note)
        async with asyncio.timeout(seconds):
            return await asyncio.shield(self._running)


def _note(task: asyncio.Task[_Result]) -> None:
    """Take what a run has raised that nobody waits for: else asyncio logs a traceback."""
    if not task.cancelled():
        task.exception()
