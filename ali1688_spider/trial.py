"""The first calls of a crawl, which show whether the gateway takes any."""

from __future__ import annotations

import asyncio

FIRST_CALLS = 4
"""So many go ahead: few when credentials are wrong, and a slow one does not hold up the rest."""


class Trial:
    """Lets a few calls go ahead of the others.

    With wrong credentials every call is refused, and a platform may lock an app for too many of
    them: the others wait until one of the first has come back without such a refusal.
    """

    def __init__(self) -> None:
        self._left = FIRST_CALLS
        self._passed = asyncio.Event()

    def take_part(self) -> bool:
        """Return whether a call may be made now, the trial being over or it being a first one."""
        if self._passed.is_set():
            return True
        self._left -= 1
        return self._left >= 0

    async def over(self) -> None:
        """Return when the trial is over."""
        await self._passed.wait()

    def end(self) -> None:
        """Note that the gateway takes calls, or that nothing speaks against it."""
        self._passed.set()
